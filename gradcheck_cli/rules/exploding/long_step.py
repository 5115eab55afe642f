"""One step would replace the weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.records import Verdict
from gradcheck_cli.rules import course
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View
from gradcheck_cli.rules.wording import number


class LongStep:
    """One optimiser step at the given learning rate would replace this layer's weights.

    What it measures. The relative update lr·‖∂L/∂W‖/‖W‖ of each weight matrix, for SGD and momentum, where a learning rate was
    given. Weights that are zero have no relative update and are not judged; nor is a step after which the rehearsal's loss
    went down.

    Why it matters. What the layer has learned, or its initialisation, is gone after one step; the loss jumps.

    Remedy. A lower learning rate, warm-up, clipping by norm.

    Source. The method's symptom 'relative update above 1'; usual healthy updates are near 1e-3.

    Ill.

        model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1))
        data = torch.randn(128, 8), torch.randn(128, 1)
        options = dict(lr=100.0)
        # GC208 at 0

    Healthy.

        model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1))
        data = torch.randn(128, 8), torch.randn(128, 1)
        options = dict(lr=0.01)
    """

    code: ClassVar[str] = "GC208"
    name: ClassVar[str] = "long-step"
    verdict: ClassVar[Verdict] = Verdict.EXPLODING

    def check(self, view: View) -> Iterator[Hit]:
        """Hit layers whose update is as large as their weights."""
        lr = view.readings.lr
        ran = view.readings.rehearsal
        if lr is None or view.readings.optimizer not in ("sgd", "momentum") or not view.finite:
            return
        if ran is not None and ran.losses and course.ending(ran) < ran.losses[0]:
            return  # such steps were taken, and the loss went down
        for layer in view.parametric:
            for weight in layer.weights:
                if not weight.norm or weight.loss_gradient is None:
                    continue
                update = lr * weight.loss_gradient / weight.norm
                if update > view.thresholds.relative_update:
                    yield Hit(
                        layer=layer.name,
                        culprit=True,
                        confidence=0.9,
                        message=f"one step at lr {number(lr)} would move {weight.name} by {number(update)} times its own norm",
                        evidence={"relative_update": update, "lr": lr, "cause": "learning-rate"},
                    )
                    break
