"""The gradient-flow picture: transmission of every layer on a log axis over depth, as SVG that scales without a script.

Places along the depth are percentages, so that shapes and letters keep their size in a page of any width; what is drawn
in units of layers lies in a nested picture that is stretched.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from gradcheck_cli.config import Thresholds
from gradcheck_cli.records import SEVERITY, Diagnosis, LayerReport, Verdict
from gradcheck_cli.render.bar import BAND
from gradcheck_cli.render.glyphs import UNICODE, word
from gradcheck_cli.render.html import marks
from gradcheck_cli.render.html.safe import LONGEST, elided, name, text
from gradcheck_cli.render.html.scale import Scale, decades, power
from gradcheck_cli.render.html.words import CLASSES
from gradcheck_cli.render.numbers import count, number

HEIGHT = 280
"""Pixels of the log axis."""
LANE = 26
"""Pixels of the lane above it for what is infinite or NaN, and of the one below it for what is exactly 0."""
GAP = 8
"""Pixels between a lane and the axis."""
TOP = 30
"""Pixels above for the culprit's name."""
FOOT = 24
"""Pixels below for the layers' numbers."""
MOST_SHAPES = 1500
"""Ill layers drawn as a shape each; of more, the others are dots."""
MOST_RINGS = 60
SHORT_NAME = 36
EDGE = 0.02
"""Share of the width at either end where a number is not centred."""
CROWDED = 150
"""Layers from which marks are drawn smaller …"""
CROWDED_SIZE = 0.55
"""… by this factor."""


def picture(diagnosis: Diagnosis, baseline: Diagnosis | None = None) -> str:
    """Return the figure, with the course of the baseline behind; the empty text where the model has no layers."""
    layers = diagnosis.layers
    if not layers:
        return ""
    was = {layer.name: layer.readings.transmission for layer in baseline.layers} if baseline is not None else {}
    plot = _Plot(layers, [was.get(layer.name) for layer in layers])
    crowded = len(layers) > CROWDED
    sides = '<div class="sides"><span>← input</span><span>depth, in forward order</span><span>output →</span></div>'
    size = f'width="100%" height="{plot.height}" data-layers="{len(layers)}"'
    return (
        f'<figure class="flow{" crowded" if crowded else ""}" id="flow-figure"><div class="plotted">'
        f'<svg class="scale" width="52" height="{plot.height}" aria-hidden="true">{"".join(plot.labels())}</svg>'
        f'<div class="scroll"><svg class="plot" id="flow-plot" {size} role="img" aria-label="{text(_told(diagnosis))}">'
        f"{marks.defined(CROWDED_SIZE if crowded else 1)}{''.join(plot.drawn())}</svg></div></div>"
        f"{sides}<figcaption>{_legend(plot)}</figcaption></figure>"
    )


class _Plot:
    """Where everything lies in the picture."""

    def __init__(self, layers: Sequence[LayerReport], before: Sequence[float | None]) -> None:
        self.layers = layers
        self.before = before
        """Transmissions in the baseline; none without one."""
        self.now = values = [layer.readings.transmission for layer in layers]
        known = [value for value in values if value is not None]
        past = [value for value in before if value is not None]
        self.scale: Scale = decades([*known, *past], HEIGHT, at_least=(BAND[0] - 1, BAND[1] + 1))
        self.has_zero = any(value == 0 for value in known)
        self.has_infinite = any(not math.isfinite(value) for value in known)
        self.has_unknown = len(known) < len(values)
        self.top = TOP + (LANE + GAP) * self.has_infinite
        self.zero = self.top + HEIGHT + GAP
        self.unknown = self.top + HEIGHT + (LANE + GAP) * self.has_zero + GAP
        self.foot = self.top + HEIGHT + (LANE + GAP) * (self.has_zero + self.has_unknown)
        self.height = self.foot + FOOT

    def x(self, place: float) -> str:
        """Percent from the left of the middle of a layer's column."""
        return f"{(place + 0.5) / len(self.layers) * 100:.3f}".rstrip("0").rstrip(".") + "%"

    def y(self, value: float | None) -> float:
        """Pixels from the top; what has no place on the axis is in a lane of its own."""
        if value is None:
            return self.unknown + LANE / 2
        if not math.isfinite(value):
            return TOP + LANE / 2
        return self.zero + LANE / 2 if value <= 0 else self.top + self.scale.place(value)

    def lanes(self) -> list[tuple[float, str]]:
        """Top and label of every lane that something is in."""
        lanes = (
            (TOP, "∞, nan", self.has_infinite),
            (self.zero, "0", self.has_zero),
            (self.unknown, "not m.", self.has_unknown),
        )
        return [(top, label) for top, label, there in lanes if there]

    def labels(self) -> Iterator[str]:
        """The axis beside the plot."""
        yield f'<text x="44" y="{TOP - 14}" class="title">T</text>'
        for value, label in self.scale.ticks():
            yield f'<text x="44" y="{self.top + self.scale.place(value) + 4:g}">{label}</text>'
        for top, label in self.lanes():
            yield f'<text x="44" y="{top + LANE / 2 + 4:g}">{label}</text>'

    def drawn(self) -> Iterator[str]:
        """The plot, from the background to the front."""
        yield from self._ground()
        width = len(self.layers)
        stretched = (
            f'viewBox="0 0 {width} {self.height}" preserveAspectRatio="none" width="100%" height="{self.height}"'
        )
        past = f'<path class="course before" d="{self._course(self.before)}"/>' if self.compared else ""
        yield f'<svg {stretched}>{past}<path class="course" d="{self._course(self.now)}"/>{"".join(self._dots())}</svg>'
        yield from self._marks()
        yield from self._culprits()
        yield f'<line class="cross" id="flow-cross" y1="{TOP}" y2="{self.foot}" x1="-9" x2="-9"/>'
        yield '<circle class="cursor" id="flow-cursor" cx="-99" cy="0" r="8"/>'

    def _ground(self) -> Iterator[str]:
        low, high = (self.top + self.scale.place(10.0**decade) for decade in BAND)
        yield f'<rect class="band" x="0" width="100%" y="{high:g}" height="{low - high:g}"/>'
        for top, _ in self.lanes():
            yield f'<rect class="lane" x="0" width="100%" y="{top:g}" height="{LANE}"/>'
        for value, _ in self.scale.ticks():
            y = self.top + self.scale.place(value)
            yield f'<line class="{"one" if value == 1 else "grid"}" x1="0" x2="100%" y1="{y:g}" y2="{y:g}"/>'
        for value in self.thresholds():
            y = self.top + self.scale.place(value)
            yield f'<line class="limit" x1="0" x2="100%" y1="{y:g}" y2="{y:g}"/>'
        yield from self._numbers()

    def thresholds(self) -> list[float]:
        """The two transmissions that the rules over depth ask about, where the axis reaches them."""
        known = Thresholds()
        return [
            value
            for value in (known.vanishing, known.exploding)
            if self.scale.low < math.log10(value) < self.scale.high
        ]

    def _numbers(self) -> Iterator[str]:
        total = len(self.layers)
        step = next(step for step in _steps() if total / step <= 10)
        places = [0, *(place - 1 for place in range(step, total + 1, step) if place > 1)]
        for place in places:
            if place in (0, places[-1]) or place < total - step / 2:
                # A number in the middle of a narrow column at either end would be cut.
                at = (place + 0.5) / total
                between = (place + 1) % (2 * step) and place not in (0, places[-1])
                kinds = ["first" * (at < EDGE), "last" * (at > 1 - EDGE), "between" * bool(between)]
                anchor = f' class="{" ".join(filter(None, kinds))}"' if any(kinds) else ""
                yield f'<text x="{self.x(place)}" y="{self.foot + 16}"{anchor}>{place + 1:,}</text>'

    @property
    def compared(self) -> bool:
        """True where the baseline has a course to draw."""
        return any(value is not None and 0 < value < math.inf for value in self.before)

    def _course(self, values: Sequence[float | None]) -> str:
        """The line through the layers in forward order, with a gap where there is no place on the log axis."""
        steps, drawing = [], False
        for place, value in enumerate(values):
            on_axis = value is not None and 0 < value < math.inf
            if on_axis:
                steps.append(f"{'L' if drawing else 'M'}{place + 0.5:g} {self.y(value):g}")
            drawing = on_axis
        return "".join(steps)

    def _dots(self) -> Iterator[str]:
        """One path for all layers of a verdict that need no shape of their own: strokes of no length with round ends."""
        shaped = {id(layer) for layer in self._shaped()}
        for verdict in reversed(SEVERITY):
            dots = [
                f"M{place + 0.5:g} {self.y(layer.readings.transmission):g}h0"
                for place, layer in enumerate(self.layers)
                if layer.verdict is verdict and id(layer) not in shaped
            ]
            if dots:
                yield f'<path class="dots {CLASSES[verdict]}" d="{"".join(dots)}"/>'

    def _shaped(self) -> list[LayerReport]:
        ill = [layer for layer in self.layers if layer.verdict is not Verdict.HEALTHY]
        return sorted(ill, key=lambda layer: not layer.culprit)[:MOST_SHAPES]

    def _marks(self) -> Iterator[str]:
        shaped = {id(layer) for layer in self._shaped()}
        for place, layer in enumerate(self.layers):
            if id(layer) in shaped:
                yield f'<use href="#m-{CLASSES[layer.verdict]}" x="{self.x(place)}" y="{self.y(layer.readings.transmission):g}"/>'

    def _culprits(self) -> Iterator[str]:
        ringed = [(place, layer) for place, layer in enumerate(self.layers) if layer.culprit][:MOST_RINGS]
        for place, layer in ringed:
            yield f'<circle class="ring" cx="{self.x(place)}" cy="{self.y(layer.readings.transmission):g}" r="9"/>'
        for place, layer in ringed[:1]:
            x, colour = self.x(place), CLASSES[layer.verdict]
            end = max(self.y(layer.readings.transmission) - 10, TOP - 6)
            side = "start" if place < len(self.layers) * 0.5 else "end"
            more = f", and {len(ringed) - 1} more ringed" if len(ringed) > 1 else ""
            shown = f"culprit: {name(elided(layer.name, SHORT_NAME))}{more}"
            yield f'<line class="leader {colour}" x1="{x}" x2="{x}" y1="{TOP - 6}" y2="{end:g}"/>'
            yield f'<text class="culprit {side} {colour}" x="{x}" y="{TOP - 13}">{shown}</text>'


def _steps() -> Iterator[int]:
    scale = 1
    while True:
        yield from (scale, 2 * scale, 5 * scale)
        scale *= 10


def _legend(plot: _Plot) -> str:
    seen = {layer.verdict for layer in plot.layers}
    keys = [
        f'<span class="key">{marks.drawn(verdict)}{word(verdict)}</span>' for verdict in SEVERITY if verdict in seen
    ]
    if any(layer.culprit for layer in plot.layers):
        keys.append('<span class="key"><i class="k-ring"></i>culprit</span>')
    if plot.compared:
        keys.append('<span class="key"><i class="k-before"></i>in the baseline</span>')
    keys.append(f'<span class="key"><i class="k-band"></i>usual: T from {power(BAND[0])} to {power(BAND[1])}</span>')
    if limits := plot.thresholds():
        where = " and ".join(number(value) for value in limits)
        keys.append(f'<span class="key"><i class="k-limit"></i>{where}: beyond, the rules look closer</span>')
    for label, there, meaning in (
        ("∞, nan", plot.has_infinite, "infinite or not a number"),
        ("0", plot.has_zero, "exactly 0, nothing arrives"),
        ("not m.", plot.has_unknown, "not measured"),
    ):
        if there:
            keys.append(f'<span class="key"><i class="k-lane"></i>lane {label}: {meaning}</span>')
    return f'<div class="legend">{"".join(keys)}</div>'


def _told(diagnosis: Diagnosis) -> str:
    """The picture in one sentence, for those who do not see it."""
    values = [value for layer in diagnosis.layers if (value := layer.readings.transmission) is not None]
    finite = [value for value in values if math.isfinite(value)]
    reach = f"from {number(min(finite))} to {number(max(finite))}" if finite else "unknown"
    at = ", ".join(elided(culprit, LONGEST) for culprit in diagnosis.culprits[:3])
    culprits = f"; culprit: {at}" if at else ""
    symbol = UNICODE.verdicts[diagnosis.verdict]
    return f"Transmission over {count(len(diagnosis.layers), 'layer')}, {reach}{culprits}. {symbol} {word(diagnosis.verdict)}"
