"""Take longer steps: a higher learning rate, momentum, or Adam."""

from __future__ import annotations

from gradcheck_cli.remedies.interface import RemedyUnit

REMEDY = RemedyUnit(
    id="longer-steps",
    title="Raise the learning rate, or use Adam",
    answers={"GC109": 1},
    cures=frozenset({"slow"}),
    source="Kingma and Ba 2015 (Adam); neerc wiki, exploding and vanishing gradients",
    why=(
        "Steps of a hundred-thousandth of the weights lead nowhere. A thousandth per step is common in healthy training; Adam "
        "moves every weight by about its rate, however small the gradient."
    ),
    how="optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)",
)
