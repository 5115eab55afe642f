"""Which layers of a long network are worth a row: the ill, their neighbours and the two ends; the rest is folded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from gradcheck_cli.records import LayerReport, Verdict

SHORT = 16
"""A network of so many layers is shown whole."""
LONGEST = 28
"""Rows: where the ill layers alone are more, runs of victims are folded too."""
CULPRITS = 6
"""Culprits that keep their row in a network where runs of ill layers are folded."""
TURNS = 4
"""Changes from one verdict to another that keep their two rows there."""
SHORTEST_FOLD = 4
"""Folding fewer layers than this saves no reading."""


def rows(layers: Sequence[LayerReport], *, verbose: bool = False) -> list[range]:
    """Return the rows in forward order: a range of one layer stands for itself, a longer one is folded."""
    everything = range(len(layers))
    if verbose or len(layers) <= SHORT:
        return [range(index, index + 1) for index in everything]
    kept = {0, len(layers) - 1, *_with_neighbours(i for i in everything if layers[i].verdict is not Verdict.HEALTHY)}
    folded = _fold(kept, len(layers))
    if len(folded) <= LONGEST:
        return folded
    culprits = islice((i for i in everything if layers[i].culprit), CULPRITS)
    turns = islice((i for i in everything[1:] if layers[i].verdict is not layers[i - 1].verdict), TURNS)
    kept = {0, len(layers) - 1, *_with_neighbours(culprits), *(i - step for i in turns for step in (0, 1))}
    return _fold(kept, len(layers))


def _with_neighbours(indices: Iterable[int]) -> set[int]:
    return {index + step for index in indices for step in (-1, 0, 1)}


def _fold(kept: set[int], length: int) -> list[range]:
    """Return the kept layers one by one, and what lies between them folded where it is long enough."""
    result: list[range] = []
    start = 0
    for stop in [*sorted(index for index in kept if 0 <= index < length), length]:
        gap = range(start, stop)
        result += [gap] if len(gap) >= SHORTEST_FOLD else [range(index, index + 1) for index in gap]
        if stop < length:
            result.append(range(stop, stop + 1))
        start = stop + 1
    return result
