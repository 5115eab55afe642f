"""A chart of curves, twice: as SVG, for print and without a script, and as data that the page's script gives to uPlot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gradcheck_cli.records import Verdict
from gradcheck_cli.render.html.safe import LONGEST, data, elided, text
from gradcheck_cli.render.html.scale import Scale, decades, linear
from gradcheck_cli.render.html.words import CLASSES
from gradcheck_cli.text import plain

HEIGHT = 200
"""Pixels of the plot."""
TOP, FOOT = 10, 22
POINTS = 200
"""Points of a curve in the data; of a longer one, evenly spaced ones."""
DRAWN = 64
"""The same for the SVG."""
LANE = 0.1
"""Share of the axis that is added for 0, and for infinity."""
DECADES, STEPS = 2, 128
"""Decimals of a decade, and steps of a linear axis, to which the script is told values: finer ones cannot be told apart."""
WIDE = 50.0
"""Largest value over the smallest from which an axis is logarithmic."""


@dataclass(frozen=True)
class Curve:
    """One line of a chart."""

    name: str
    values: Sequence[float | None]
    verdict: Verdict | None = None
    """None: the chart is about this curve alone."""
    culprit: bool = False

    @property
    def style(self) -> str:
        """Return the classes of its line."""
        colour = "main" if self.verdict is None else CLASSES[self.verdict]
        return f"{colour}{' first' if self.culprit else ''}"


@dataclass(frozen=True)
class Chart:
    """A picture with one horizontal axis, shared by its curves."""

    id: str
    title: str
    told: str
    """One or two sentences below the title, as HTML."""
    xs: Sequence[float]
    x_label: str
    curves: Sequence[Curve]
    log: bool | None = None
    """None: where the values ask for it."""


def figure(chart: Chart) -> str:
    """Return the chart as a figure; the empty text where nothing finite is on it."""
    values = [value for curve in chart.curves for value in curve.values if value is not None]
    finite = [value for value in values if math.isfinite(value)]
    if not finite or not chart.xs:
        return ""
    log = chart.log if chart.log is not None else min(finite) > 0 and max(finite) > WIDE * min(finite)
    lanes = _Lanes(values, decades(_positive(finite), HEIGHT) if log else linear(finite, HEIGHT))
    remark = f" {lanes.told}" if lanes.told else ""
    return (
        f'<figure class="chart" id="{chart.id}"><figcaption><h3>{text(chart.title)}</h3>'
        f'<p class="muted">{chart.told}{remark}</p></figcaption>'
        f'<div class="canvas" role="img" aria-label="{text(_aloud(chart, finite))}">{_drawn(chart, lanes)}</div>'
        f'<p class="x-label">{text(chart.x_label)}</p>'
        f'<script type="application/json" class="curves">{data(_data(chart, lanes))}</script></figure>'
    )


class _Lanes:
    """The axis, and where on it stands what it has no place for: 0 a decade below, infinity above."""

    def __init__(self, values: Sequence[float], scale: Scale) -> None:
        below = scale.log and any(value <= 0 for value in values)
        above = any(math.isinf(value) and value > 0 for value in values)
        room = max(int(scale.log), (scale.high - scale.low) * LANE)
        self.scale = Scale(scale.low - room * below, scale.high + room * above, scale.log, scale.height)
        self.zero = self.value(self.scale.low) if below else None
        self.infinite = self.value(self.scale.high) if above else None
        gaps = any(math.isnan(value) for value in values)
        self.told = " ".join(
            told
            for told, there in (
                ("What is exactly 0 lies on the lowest line.", below),
                ("What is infinite lies on the highest line.", above),
                ("A gap: not a number.", gaps),
            )
            if there
        )

    def value(self, at: float) -> float:
        """Return a value on the axis; the ends of the numbers are ends here too."""
        return float(10.0 ** max(-307, min(307, at))) if self.scale.log else at

    def short(self, value: float | None) -> float | None:
        """Return `value`, on a log axis its decade, with no more digits than can be told apart on the axis."""
        if value is None:
            return None
        low, high = self.scale.low, self.scale.high
        at = min(high, max(low, math.log10(value) if self.scale.log else value))
        short = round(float(at), DECADES if self.scale.log else -math.floor(math.log10((high - low) / STEPS)))
        return int(short) if short.is_integer() and abs(short) < 1e6 else short

    def ticks(self) -> list[tuple[float, str]]:
        """Return value and label of every tick, those of the lanes among them."""
        ends = [(value, label) for value, label in ((self.zero, "0"), (self.infinite, "∞")) if value is not None]
        taken = {value for value, _ in ends}
        return [*((value, label) for value, label in self.scale.ticks() if value not in taken), *ends]

    def at(self, value: float | None) -> float | None:
        """Return what to draw for `value`; None for a gap."""
        if value is None or math.isnan(value):
            return None
        if math.isinf(value):
            return self.infinite if value > 0 else None
        return self.zero if self.scale.log and value <= 0 else value


def _positive(values: Sequence[float]) -> list[float]:
    """Return what stretches a log axis; 1 is on it only where nothing else is."""
    return [value for value in values if value > 0] or [1.0]


def _data(chart: Chart, lanes: _Lanes) -> dict[str, object]:
    keep = thinned(len(chart.xs), POINTS)
    curves = [
        [lanes.short(lanes.at(curve.values[at])) if at < len(curve.values) else None for at in keep]
        for curve in chart.curves
    ]
    low, high = (lanes.value(end) for end in (lanes.scale.low, lanes.scale.high))
    return {
        "x": [chart.xs[at] for at in keep],
        "y": curves,
        "names": [plain(elided(curve.name, LONGEST)) for curve in chart.curves],
        "styles": [curve.style for curve in chart.curves],
        "log": lanes.scale.log,
        "range": [low, high],
        "ticks": lanes.ticks(),
        "zero": lanes.short(lanes.zero),
        "infinite": lanes.short(lanes.infinite),
        "of": plain(chart.x_label),
    }


def _drawn(chart: Chart, lanes: _Lanes) -> str:
    """The SVG: an axis beside a plot that is stretched to the width that there is."""
    scale, low, high = lanes.scale, min(chart.xs), max(chart.xs)
    ticks = lanes.ticks()
    labels = "".join(f'<text x="46" y="{TOP + scale.place(value) + 4:g}">{label}</text>' for value, label in ticks)
    grid = "".join(
        f'<line class="grid" x1="0" x2="100%" y1="{TOP + scale.place(value):g}" y2="{TOP + scale.place(value):g}"/>'
        for value, _ in ticks
    )
    width = (high - low) or 1
    drawn: dict[str, list[str]] = {}
    for curve in sorted(chart.curves, key=_front):
        drawn.setdefault(curve.style, []).append(_path(curve, chart.xs, lanes))
    paths = "".join(f'<path class="curve {style}" d="{"".join(lines)}"/>' for style, lines in drawn.items())
    box = (
        f'viewBox="{low:g} 0 {width:g} {HEIGHT + TOP}" preserveAspectRatio="none" width="100%" height="{HEIGHT + TOP}"'
    )
    total = HEIGHT + TOP + FOOT
    return (
        f'<div class="plotted static"><svg class="scale" width="54" height="{total}" aria-hidden="true">{labels}</svg>'
        f'<svg class="plot" width="100%" height="{total}" aria-hidden="true">{grid}<svg {box}>{paths}</svg>'
        f'<text class="first" x="0" y="{total - 6}">{low:g}</text><text class="last" x="100%" y="{total - 6}">{high:g}</text>'
        "</svg></div>"
    )


def _path(curve: Curve, xs: Sequence[float], lanes: _Lanes) -> str:
    steps: list[tuple[str, int, int]] = []
    before = None
    for at in thinned(min(len(xs), len(curve.values)), DRAWN):
        value = lanes.at(curve.values[at])
        here = None if value is None else (round(xs[at]), round(TOP + lanes.scale.place(value)))
        if here is not None and before is None:
            steps.append(("M", *here))
        elif here is not None and before is not None:
            right, down = here[0] - before[0], here[1] - before[1]
            if steps[-1][0] == "l" and steps[-1][1] * down == steps[-1][2] * right:
                right, down = right + steps[-1][1], down + steps.pop()[2]  # straight on
            steps.append(("l", right, down))
        before = here
    # A line of no length is a dot, where a point stands alone.
    drawn = (
        "".join(f"M{x} {y}h0l" if step == "M" else f"{x} {y} " for step, x, y in steps)
        .replace(" -", "-")
        .replace("lM", "M")
    )
    return drawn.rstrip("l ")


def _front(curve: Curve) -> int:
    """Order of drawing: what is well behind, the culprit in front."""
    return 2 if curve.culprit else int(curve.verdict not in (Verdict.HEALTHY, Verdict.NOT_MEASURED))


def _aloud(chart: Chart, finite: Sequence[float]) -> str:
    one = len(chart.curves) == 1
    return f"{chart.title}: {'one curve' if one else f'{len(chart.curves)} curves'}, {min(finite):.2g} to {max(finite):.2g}"


def thinned(points: int, most: int) -> list[int]:
    """Return the places of at most `most` of so many points, evenly spaced, both ends among them."""
    if points <= most:
        return list(range(points))
    return sorted({round(at * (points - 1) / (most - 1)) for at in range(most)})
