"""Over the run, weights grew out of all proportion."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.records import Verdict
from gradcheck_cli.rules import course, run
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View
from gradcheck_cli.rules.wording import number


class RunGrowth:
    """Over the checkpoints of the run, the weights of this layer grew exponentially, and still do.

    What it measures. ‖W‖ at every checkpoint, where three or more were given. Ill if the last is over ten times the first (or what
    torch's default gives a layer of this shape, if that is more), and the last interval still grew it by a fifth.

    Why it matters. Weights that grow by a factor in every interval end as infinity; what they had learned is gone before.

    Remedy. A lower learning rate, clipping by norm, weight regularisation; go back to an earlier checkpoint.

    Source. The method's symptom 'weights grow exponentially'.

    Ill.

        from copy import deepcopy
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
        checkpoints = []
        for _ in range(4):
            checkpoints.append(deepcopy(model))
            model[0].weight.data *= 4
        # GC213 at 0

    Healthy.

        from copy import deepcopy
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
        checkpoints = []
        for _ in range(4):
            checkpoints.append(deepcopy(model))
            model[0].weight.data *= 1.04
    """

    code: ClassVar[str] = "GC213"
    name: ClassVar[str] = "run-growth"
    verdict: ClassVar[Verdict] = Verdict.EXPLODING

    def check(self, view: View) -> Iterator[Hit]:
        """Hit every such layer; culprit is the one that grew most."""
        growth = {}
        for layer in view.parametric:
            values = run.norms(view, layer)
            if values and values[-1] > view.thresholds.still_growing * values[-2]:
                growth[layer.name] = values[-1] / max(values[0], course.default_norm(layer))
        grown = {name: factor for name, factor in growth.items() if factor > view.thresholds.weight_growth}
        most = max(grown, key=lambda name: grown[name], default="")
        for name, factor in grown.items():
            yield Hit(
                layer=name,
                culprit=name == most,
                because_of=() if name == most else (most,),
                confidence=0.9,
                message=f"its weights grew by a factor of {number(factor)} over {run.span(view)}",
                evidence={"growth": factor, "checkpoints": len(view.readings.checkpoints), "cause": "learning-rate"},
            )
