"""Transmission drawn on a logarithmic track: the further the bar reaches from 1, the iller the layer."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.text import Text

from gradcheck_cli.render.glyphs import Glyphs

LOWEST, HIGHEST = -12, 6
"""Decades that the track covers: healthy networks, and the ill ones near enough to tell apart, lie inside."""
BAND = (-3, 2)
"""Decades drawn as usual: of 300 published architectures, three in four have no layer below 1e-3, and 95 % none
above 66. A help for the eye; no verdict hangs on it."""
WIDTHS = (37, 28, 19)
"""Cells that put the decades on a regular grid: 2, 1.5 and 1 a decade."""


def bar(value: float | None, width: int, glyphs: Glyphs, colour: str) -> Text:
    """Return a track of `width` cells, a head at `value` and a bar from there to 1; blank where nothing is known."""
    if value is None or math.isnan(value):
        return Text(" " * width)
    return _draw([value], [value, 1.0], width, glyphs, f"not dim {colour}")


def spread(values: Sequence[float], width: int, glyphs: Glyphs, colour: str) -> Text:
    """Return a track with a bar from the smallest of `values` to the largest; blank where nothing was measured."""
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return Text(" " * width)
    ends = [min(known), max(known)]
    return _draw(ends, ends, width, glyphs, colour)


def _draw(heads: Sequence[float], ends: Sequence[float], width: int, glyphs: Glyphs, style: str) -> Text:
    cells = list(_track(width, glyphs))
    left, right = sorted(_cell(end, width) for end in ends)
    for cell in range(left, right):
        cells[cell] = glyphs.fill
    cells[cell_of_one(width)] = glyphs.one
    for head in heads:
        cells[_cell(head, width)] = _head(head, glyphs)
    text = Text("".join(cells), "dim")
    text.stylize(style, left, right + 1)
    return text


def axis(width: int) -> str:
    """Return the header over a track: its ends, 1, and the quantity's name where there is room for it."""
    one = cell_of_one(width)
    low, high = f"1e{LOWEST}", f"1e+{HIGHEST}"
    middle = "transmission" if one - len(low) > len("transmission") + 2 else ""
    return f"{low}{middle:^{one - len(low)}}1{high:>{width - one - 1}}"


def cell_of_one(width: int) -> int:
    """Return the cell of transmission 1."""
    return _cell(1.0, width)


def _track(width: int, glyphs: Glyphs) -> str:
    low, high = (_cell(10.0**decade, width) for decade in BAND)
    return glyphs.track * low + glyphs.band * (high - low + 1) + glyphs.track * (width - high - 1)


def _cell(value: float, width: int) -> int:
    """Return the cell of `value`, 0 … width - 1; what is beyond an end sits on it."""
    if value <= 0:
        return 0
    decade = min(max(math.log10(value), LOWEST), HIGHEST)
    return round((decade - LOWEST) / (HIGHEST - LOWEST) * (width - 1))


def _head(value: float, glyphs: Glyphs) -> str:
    if value < 10.0**LOWEST:
        return glyphs.below
    return glyphs.above if value > 10.0**HIGHEST else glyphs.head
