"""Keep weights small by a penalty on them.

L2 regularisation through the optimiser.
"""

from __future__ import annotations

from gradcheck_cli.remedies.interface import RemedyUnit

REMEDY = RemedyUnit(
    id="weight-decay",
    title="Regularise the weights",
    answers={"GC201": 7, "GC202": 4, "GC203": 5, "GC211": 3, "GC213": 3},
    source="Pascanu 2013; Loshchilov, Hutter 2019 (AdamW); neerc wiki, exploding and vanishing gradients",
    why=(
        "A penalty on ‖W‖² pulls large weights back at each step, and with them each layer's gain. It works slowly: "
        "it keeps a cured net well rather than curing it."
    ),
    how='for group in optimizer.param_groups:\n    group["weight_decay"] = 1e-4',
)
