"""Give the flat side of an activation a slope.

LeakyReLU in place of ReLU and its kin.
"""

from __future__ import annotations

from collections.abc import Sequence

from gradcheck_cli.remedies.interface import Case, RemedyUnit
from gradcheck_cli.remedies.kinds import ONE_SIDED
from gradcheck_cli.remedies.snippets import chosen_activations, for_each, literal

FAR = 0.3
"""Slope where no unit fires any more: momentum or Adam alone do not bring those back."""
USUAL = 0.01


def _fits(case: Case) -> bool:
    """Behind an activation with one flat side, or behind nobody knows what if units are dead."""
    return case.activation in ONE_SIDED or (not case.activation and case.code in {"GC301", "GC907"})


def _how(cases: Sequence[Case]) -> str:
    """Exchange the modules; a functional call is changed in ``forward``, with ``y`` its input."""
    slope = FAR if any(_all_dead(case) for case in cases) else USUAL
    activations = chosen_activations(cases)
    if activations:
        return for_each(activations, cases[0].report, f"model.set_submodule({{name}}, nn.LeakyReLU({slope}))")
    return f"y = F.leaky_relu(y, {slope})  # in forward(), in place of {literal(cases[0].layer)}"


def _all_dead(case: Case) -> bool:
    shares = [case.finding.evidence.get("dead_units"), *(layer.readings.dead_units for layer in case.activations)]
    return 1.0 in shares


REMEDY = RemedyUnit(
    id="leaky-activation",
    title="Use a leaky activation",
    answers={"GC301": 1, "GC907": 1, "GC101": 5, "GC102": 5, "GC103": 2, "GC305": 2, "GC306": 1, "GC307": 2},
    source="Maas, Hannun, Ng 2013, Rectifier nonlinearities; He 2015 (PReLU); Lu 2019, Dying ReLU",
    fits=_fits,
    why=(
        "A unit on the flat side gets no gradient and cannot come back; with a slope there, 0.01 to 0.3, it always "
        "gets one. The slope must stay below 1, or the signal grows with depth."
    ),
    how=_how,
)
