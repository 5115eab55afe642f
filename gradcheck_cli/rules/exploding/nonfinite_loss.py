"""The loss is NaN or infinite although the outputs are finite."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.records import Verdict
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View


class NonfiniteLoss:
    """The loss is NaN or infinite although the model's outputs are finite.

    What it measures. The loss of every batch.

    Why it matters. Its gradient is NaN, and one step makes every weight NaN.

    Remedy. Losses that take logits (cross-entropy, BCE with logits) instead of a logarithm of probabilities; check the target's
    range; smaller outputs.

    Source. The method's symptom 'loss becomes NaN or infinite'.

    Ill.

        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
        data = 1000 * torch.randn(128, 8), torch.randint(2, (128,))
        def loss(output, target):
            return F.nll_loss(output.softmax(1).log(), target)
        options = dict(loss=loss)
        # GC207 at 2

    Healthy.

        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
        data = 1000 * torch.randn(128, 8), torch.randint(2, (128,))
        def loss(output, target):
            return F.nll_loss(output.log_softmax(1), target)
        options = dict(loss=loss)
    """

    code: ClassVar[str] = "GC207"
    name: ClassVar[str] = "nonfinite-loss"
    verdict: ClassVar[Verdict] = Verdict.EXPLODING

    def check(self, view: View) -> Iterator[Hit]:
        """Hit the last layer that owns parameters."""
        loss = view.readings.loss
        if loss is None or math.isfinite(loss) or view.readings.output_nonfinite or not view.parametric:
            return
        yield Hit(
            layer=view.parametric[-1].name,
            culprit=True,
            message=f"the {view.readings.loss_name} loss is {loss} although the outputs are finite",
            evidence={"loss": loss, "cause": "nonfinite"},
        )
