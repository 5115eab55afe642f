"""Cut the sequence into chunks and back-propagate through each alone.

The state is carried over, its history is not.
"""

from __future__ import annotations

from collections.abc import Sequence

from gradcheck_cli.remedies.interface import Case, RemedyUnit
from gradcheck_cli.remedies.kinds import RECURRENT
from gradcheck_cli.remedies.snippets import chosen_weights, submodule


def _fits(case: Case) -> bool:
    """Recurrent layers that run over a whole sequence."""
    return any(layer.kind in RECURRENT and not layer.kind.endswith("Cell") for layer in case.weights)


def _how(cases: Sequence[Case]) -> str:
    """Code of the training loop over ``x`` of shape (B, S, features), with ``optimizer`` as given."""
    layer = chosen_weights(cases)[0]
    detach = "state.detach()" if layer.kind != "LSTM" else "tuple(part.detach() for part in state)"
    return (
        "state = None\n"
        "for chunk in x.split(20, dim=1):  # x: (batch, steps, features)\n"
        f"    y, state = {submodule(layer.name)}(chunk, state)\n"
        f"    state = {detach}\n"
        "    # the loss on y, backward() and optimizer.step() belong here"
    )


REMEDY = RemedyUnit(
    id="truncated-bptt",
    title="Truncate back-propagation through time",
    answers={"GC203": 4},
    source="Williams, Peng 1990; Pascanu 2013; neerc wiki, exploding and vanishing gradients",
    fits=_fits,
    why=(
        "The gradient passes through 20 steps at most and cannot grow over more; what lies further back is still "
        "remembered, but no longer learnt from."
    ),
    how=_how,
)
