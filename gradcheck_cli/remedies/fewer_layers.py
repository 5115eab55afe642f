"""Take every second hidden layer out.

Half the depth is the square root of the loss or growth.
"""

from __future__ import annotations

from collections.abc import Sequence

from gradcheck_cli.records import LayerReport
from gradcheck_cli.remedies.interface import Case, RemedyUnit
from gradcheck_cli.remedies.kinds import is_activation, module_path
from gradcheck_cli.remedies.residual_connection import SQUARE
from gradcheck_cli.remedies.snippets import chosen_weights, for_each


def _fits(case: Case) -> bool:
    """Stacks of at least four like layers."""
    return len(_stacked([case])) > 3


def _how(cases: Sequence[Case]) -> str:
    """Every second layer that keeps the shape becomes the identity, with its activation."""
    report = cases[0].report
    behind = dict(zip((layer.name for layer in report), report[1:], strict=False))
    dropped = _stacked(cases)[1::2]
    with_activations = []
    for layer in dropped:
        follower = behind.get(layer.name)
        with_activations.append(layer)
        if follower is not None and is_activation(follower) and module_path(follower):
            with_activations.append(follower)
    return for_each(with_activations, report, "model.set_submodule({name}, nn.Identity())  # keeps the shape")


def _stacked(cases: Sequence[Case]) -> list[LayerReport]:
    """Layers that may keep the shape; the first one brings the input to the width and stays."""
    return [layer for layer in chosen_weights(cases) if layer.kind in SQUARE]


REMEDY = RemedyUnit(
    id="fewer-layers",
    title="Use fewer layers",
    answers={"GC101": 6, "GC201": 6, "GC306": 3},
    source="neerc wiki, exploding and vanishing gradients; Hanin 2018 (finite width)",
    fits=_fits,
    why=(
        "The signal changes by about the same factor at each layer, so half the layers take the square root of the "
        "whole. It costs capacity: take it where the depth was not needed."
    ),
    how=_how,
)
