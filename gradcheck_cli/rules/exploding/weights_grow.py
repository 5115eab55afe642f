"""Weights grow out of all proportion."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.records import Verdict
from gradcheck_cli.rules import course
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View
from gradcheck_cli.rules.wording import number


class WeightsGrow:
    """The weights of this layer grow exponentially while training.

    What it measures. The rehearsal, at the rate given: ‖W‖ after the last step over ‖W‖ before the first, where that was at least
    what torch's default initialisation gives a layer of this shape (zero and tiny weights are there to grow).

    Why it matters. Weights that grow tenfold in a few steps will overflow; what they had learned is gone already.

    Remedy. A lower learning rate, clipping by norm, weight regularisation.

    Source. The method's symptom 'weights grow exponentially'.

    Ill.

        model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 2))
        data = torch.randn(128, 8), torch.randint(2, (128,))
        options = dict(lr=30.0)
        # GC211 at 2

    Healthy.

        model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 2))
        data = torch.randn(128, 8), torch.randint(2, (128,))
        options = dict(lr=0.1)
    """

    code: ClassVar[str] = "GC211"
    name: ClassVar[str] = "weights-grow"
    verdict: ClassVar[Verdict] = Verdict.EXPLODING

    def check(self, view: View) -> Iterator[Hit]:
        """Hit every layer with such weights; culprit is the one that grew most."""
        ran = course.chosen(view)
        if ran is None or not view.finite or course.explained(view):
            return
        growth = {
            layer.name: layer.norms[-1] / max(layer.norms[0], course.default_norm(view.layers[layer.name]))
            for layer in ran.layers
            if view.layers[layer.name].weights and math.isfinite(layer.norms[-1])
        }
        grown = {name: factor for name, factor in growth.items() if factor > view.thresholds.weight_growth}
        most = max(grown, key=lambda name: grown[name], default="")
        for name, factor in grown.items():
            yield Hit(
                layer=name,
                culprit=name == most,
                because_of=() if name == most else (most,),
                confidence=0.9,
                message=f"its weights grow by a factor of {number(factor)} in {ran.steps} steps of {ran.optimizer} at "
                f"lr {number(ran.lr)}",
                evidence={"growth": factor, "steps": ran.steps, "lr": ran.lr, "cause": "learning-rate"},
            )
