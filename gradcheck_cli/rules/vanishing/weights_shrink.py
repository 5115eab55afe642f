"""Weights shrink away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.records import Verdict
from gradcheck_cli.rules import course
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View
from gradcheck_cli.rules.wording import number


class WeightsShrink:
    """The weights of this layer shrink exponentially while training.

    What it measures. The rehearsal, at the rate given: ‖W‖ after the last step over ‖W‖ before the first.

    Why it matters. Weights that lose nine tenths in a few steps tend to 0: neither values nor gradients will pass.

    Remedy. Less weight decay, a lower learning rate.

    Source. The method's symptom 'weights shrink exponentially'.

    Ill.

        first = nn.Linear(8, 16, bias=False)
        model = nn.Sequential(first, nn.Tanh(), nn.Linear(16, 1))
        data = torch.randn(128, 8), torch.randn(128, 1)
        decay = 10.0
        def loss(output, target):
            penalty = first.weight.square().sum()
            return F.mse_loss(output, target) + decay * penalty
        options = dict(loss=loss, lr=0.01)
        # GC110 at 0

    Healthy.

        first = nn.Linear(8, 16, bias=False)
        model = nn.Sequential(first, nn.Tanh(), nn.Linear(16, 1))
        data = torch.randn(128, 8), torch.randn(128, 1)
        decay = 1e-4
        def loss(output, target):
            penalty = first.weight.square().sum()
            return F.mse_loss(output, target) + decay * penalty
        options = dict(loss=loss, lr=0.01)
    """

    code: ClassVar[str] = "GC110"
    name: ClassVar[str] = "weights-shrink"
    verdict: ClassVar[Verdict] = Verdict.VANISHING

    def check(self, view: View) -> Iterator[Hit]:
        """Hit every layer with such weights; culprit is the one that shrank most."""
        ran = course.chosen(view)
        if ran is None or not view.finite:
            return
        share = {each.name: each.norms[-1] / each.norms[0] for each in ran.layers if each.norms[0] > 0.0}
        shrunk = {n: s for n, s in share.items() if s < view.thresholds.weight_shrinkage and view.layers[n].weights}
        most = min(shrunk, key=lambda name: shrunk[name], default="")
        for name, left in shrunk.items():
            yield Hit(
                layer=name,
                culprit=name == most,
                because_of=() if name == most else (most,),
                confidence=0.9,
                message=f"{ran.steps} steps of {ran.optimizer} at lr {number(ran.lr)} leave {number(left)} of its weights' norm",
                evidence={"left": left, "steps": ran.steps, "lr": ran.lr, "cause": "learning-rate"},
            )
