"""Use an activation that does not flatten the signal on both sides.

ReLU (or tanh) in place of sigmoid in hidden layers.
"""

from __future__ import annotations

from collections.abc import Sequence

from gradcheck_cli.remedies.interface import Case, RemedyUnit
from gradcheck_cli.remedies.kinds import BOUNDED
from gradcheck_cli.remedies.reinitialise import drawing_code
from gradcheck_cli.remedies.snippets import chosen_activations, chosen_weights, for_each, literal

STEEP_AT_ZERO = frozenset({"tanh", "hardtanh", "softsign"})
"""Slope 1 at zero: only in the way where they are driven out of their middle."""

CURES = frozenset({"activation-slope", "saturation"})
"""Causes that it removes."""


def _fits(case: Case) -> bool:
    """Hidden sigmoids; tanh only where it is saturated, because its slope at zero is 1."""
    if case.activation not in BOUNDED or case.last:
        return False
    return case.activation not in STEEP_AT_ZERO or case.code == "GC103" or case.cause in CURES


def _why(cases: Sequence[Case]) -> str:
    if cases[0].activation in STEEP_AT_ZERO:
        return (
            "Its slope tends to 0 on both sides; ReLU keeps slope 1 on one side, whatever the input's size. Weights "
            "that were right for the old activation are not for the new one, so they are drawn anew (He)."
        )
    return (
        "Sigmoid's slope is at most 1/4, so every layer shrinks the gradient; ReLU's is 1 wherever it fires. Weights "
        "that were right for the old activation are not for the new one, so they are drawn anew (He)."
    )


def _how(cases: Sequence[Case]) -> str:
    """Exchange the modules and draw the weights for them; in ``forward`` a call, with ``y`` its input, is changed."""
    report, activations = cases[0].report, chosen_activations(cases)
    exchange = f"y = F.relu(y)  # in forward(), in place of {literal(cases[0].layer)}"
    if activations:
        exchange = for_each(activations, report, "model.set_submodule({name}, nn.ReLU())")
    return f"{exchange}\n{drawing_code([(layer, 'relu') for layer in chosen_weights(cases)], report)}".rstrip()


REMEDY = RemedyUnit(
    id="replace-sigmoid",
    title="Replace sigmoid or tanh in hidden layers by ReLU",
    answers={"GC101": 1, "GC102": 2, "GC103": 1, "GC108": 4},
    cures=CURES,
    source="Glorot, Bengio 2010, Understanding the difficulty of training deep feedforward networks",
    fits=_fits,
    why=_why,
    how=_how,
)
