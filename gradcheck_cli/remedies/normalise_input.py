"""Bring the input to zero mean and unit variance.

Large or shifted inputs drive the first layer out of range.
"""

from __future__ import annotations

from gradcheck_cli.remedies.interface import Case, RemedyUnit


def _fits(case: Case) -> bool:
    """The first layer; a loss or values out of range anywhere."""
    return case.first or case.code in {"GC205", "GC207"}


REMEDY = RemedyUnit(
    id="normalise-input",
    title="Normalise the input",
    answers={"GC103": 3, "GC205": 4, "GC207": 4, "GC301": 4},
    cures=frozenset({"input"}),
    source="LeCun 1998, Efficient backprop; neerc wiki, exploding and vanishing gradients",
    fits=_fits,
    why=(
        "Initialisations assume inputs of zero mean and unit variance; raw ones of, say, 0 to 255 push the first "
        "layer's units to the flat side or out of range."
    ),
    how=(
        "mean, std = x.mean(0), x.std(0).clamp(min=1e-6)  # of the training data; keep them for later data\n"
        "x = (x - mean) / std"
    ),
)
