"""How large the elements of a layer's gradient are: a histogram as small as a word."""

from __future__ import annotations

import math
from itertools import groupby

from gradcheck_cli.records import Spread
from gradcheck_cli.render.numbers import number, percent

HEIGHT = 24
"""Pixels of the highest bar."""
BAR = 6
"""Pixels of a bar's width."""
MOST_BARS = 24
"""Of more bins, several stand side by side in a bar."""


def typical(spread: Spread) -> float | None:
    """Return the size that half of the elements that are not 0 exceed, to a factor of two; None where all are 0."""
    total = sum(spread.counts)
    seen = 0
    for place, amount in enumerate(spread.counts):
        seen += amount
        if total and 2 * seen >= total:
            return _size(spread.lowest + place - 0.5)
    return None


def histogram(spread: Spread) -> str:
    """Return bars between the sizes of the smallest and the largest element, and the share of exact zeros; empty if all are."""
    filled = [place for place, amount in enumerate(spread.counts) if amount > 0]
    zeros = spread.zeros / ((sum(spread.counts) + spread.zeros) or 1)
    none = f"· {percent(zeros)} exactly 0" if spread.zeros else ""
    if not filled:
        return ""
    counts = spread.counts[filled[0] : filled[-1] + 1]
    each = math.ceil(len(counts) / MOST_BARS)
    bars = [sum(counts[at : at + each]) for at in range(0, len(counts), each)]
    low, high = (_size(spread.lowest + at) for at in (filled[0] - 1, filled[-1]))
    size = f'width="{len(bars) * BAR}" height="{HEIGHT}"'
    drawn = f'<svg {size} aria-hidden="true"><path d="{_outline(bars)}"/></svg>'
    return f"{number(low)}{drawn}{number(high)} {none}"


def _outline(bars: list[int]) -> str:
    """The edge of all bars together; what is there at all is at least a pixel high."""
    highest = max(bars)
    heights = [math.ceil(amount / highest * HEIGHT) for amount in bars]
    runs = [(height, len(list(same)) * BAR) for height, same in groupby(heights)]
    steps = "".join(f"V{HEIGHT - height}h{width}" for height, width in runs)
    return f"M0 {HEIGHT}{steps}V{HEIGHT}z"


def _size(exponent: float) -> float:
    return float(2.0 ** max(-1074.0, min(1023.0, exponent)))
