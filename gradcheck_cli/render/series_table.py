"""The checkpoints of a run: one line a layer, with a sparkline of its weights' norm and one of its transmission."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text

from gradcheck_cli.records import Diagnosis, LayerTrace, SeriesFacts, Verdict
from gradcheck_cli.render.glyphs import COLOURS
from gradcheck_cli.render.numbers import count, number
from gradcheck_cli.render.page import Page

POINTS = 24
"""Checkpoints of a sparkline; of a longer run, evenly spaced ones are drawn."""
LAYERS = 12
"""Layers that are listed unless all are asked for: the ill ones first of all."""
NAME = 32
GAP = "  "
FIGURES = 17
"""Cells of ``1.2e+10 → 3.4e-10``."""
SPARE = 48
"""Width of the page, beside the sparklines, below which the transmission is left out."""


def write(page: Page, diagnosis: Diagnosis, *, verbose: bool = False) -> bool:
    """Write the section, if there were several checkpoints; return whether layers were left out."""
    series = diagnosis.series
    if series is None or not series.checkpoints:
        return False
    named = [layer.name for layer in diagnosis.layers if layer.parameters and layer.name in series.layers]
    ill = {layer.name: layer.verdict for layer in diagnosis.layers if layer.verdict is not Verdict.HEALTHY}
    chosen = named if verbose else sorted(sorted(named, key=lambda name: name not in ill)[:LAYERS], key=named.index)
    page.heading("Over the run", _range(page, series))
    room = min(POINTS, len(series.checkpoints))
    both = page.width >= SPARE + 2 * room
    width = max([min(NAME, cell_len(page.layer(name))) for name in chosen] + [len("layer")])
    head = [_fit("layer", width), _fit("weights", max(room, 7)), _fit("norm", FIGURES)]
    page.line(page.cut(Text(GAP + GAP.join([*head, *(["transmission"] if both else [])]), "dim")))
    for name in chosen:
        page.line(
            page.cut(_line(page, name, series.layers[name], width, room, both, COLOURS[ill.get(name, Verdict.HEALTHY)]))
        )
    if len(chosen) < len(named):
        page.paragraph(
            f"{page.glyphs.ellipsis} and {count(len(named) - len(chosen), 'more layer')}", indent=2, style="dim"
        )
    return len(chosen) < len(named)


def _range(page: Page, series: SeriesFacts) -> str:
    first, last = (page.elide(page.name(series.checkpoints[place]), 30) for place in (0, -1))
    losses = [loss for loss in series.losses if loss is not None]
    loss = f", loss {number(losses[0])} to {number(losses[-1])}" if losses else ""
    return f"{first} to {last}, {count(len(series.checkpoints), 'checkpoint')}{loss}"


def _line(page: Page, name: str, trace: LayerTrace, width: int, room: int, both: bool, colour: str) -> Text:
    line = Text(GAP + _fit(page.elide(page.layer(name), width), width) + GAP)
    line.append(_fit(sparkline(page, trace.norms, room), max(room, 7)), colour)
    known = [norm for norm in trace.norms if norm is not None]
    figures = f"{number(known[0])} to {number(known[-1])}" if known else ""
    line.append(GAP + _fit(page.prose(figures), FIGURES))
    if both:
        line.append(GAP).append(sparkline(page, trace.transmissions, room), colour)
        line.append(f" {page.prose(number(trace.transmissions[-1] if trace.transmissions else None))}")
    return line


def sparkline(page: Page, values: Sequence[float | None], room: int) -> str:
    """One cell a value, on a log scale from the smallest to the largest; flat below a factor of two, a gap for None.

    Zeros stand at the bottom; what is NaN or infinite is marked.
    """
    drawn = _thinned(values, room)
    logs = [math.log(value) for value in drawn if value is not None and 0 < value < math.inf]
    low, high = min(logs, default=0.0), max(logs, default=0.0)
    middle = (low + high) / 2
    half = max(high - low, math.log(2)) / 2
    steps = page.glyphs.sparks
    cells = []
    for value in drawn:
        if value is None:
            cells.append(" ")
        elif not math.isfinite(value):
            cells.append("!")
        elif value <= 0:
            cells.append(steps[0])
        else:
            share = (math.log(value) - middle + half) / (2 * half)
            cells.append(steps[min(len(steps) - 1, max(0, int(share * len(steps))))])
    return "".join(cells)


def _thinned(values: Sequence[float | None], room: int) -> list[float | None]:
    if len(values) <= room or room < 2:
        return list(values)
    return [values[round(place * (len(values) - 1) / (room - 1))] for place in range(room)]


def _fit(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))
