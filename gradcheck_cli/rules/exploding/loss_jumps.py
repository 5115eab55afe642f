"""The loss jumps from step to step."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.records import Verdict
from gradcheck_cli.rules import course
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View
from gradcheck_cli.rules.wording import listing, number


class LossJumps:
    """The loss jumps up and down from step to step.

    What it measures. The rehearsal, at the rate given: how often the loss of a batch has grown by half since its last visit.
    Ill if that happens in a quarter of at least eight comparisons, and the loss is not lower in the end.

    Why it matters. Steps overshoot: the model is thrown from one side of the valley to the other and learns slowly or not at all.

    Remedy. A lower learning rate, warm-up, clipping by norm, less momentum.

    Source. The method's symptom 'loss jumps from step to step'; Zhang et al. 2021 (AutoTrainer's 'oscillating loss').

    Ill.

        model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 2))
        data = torch.randn(128, 8), torch.randint(2, (128,))
        options = dict(lr=5.0)
        # GC210 at 2

    Healthy.

        model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 2))
        data = torch.randn(128, 8), torch.randint(2, (128,))
        options = dict(lr=0.1)
    """

    code: ClassVar[str] = "GC210"
    name: ClassVar[str] = "loss-jumps"
    verdict: ClassVar[Verdict] = Verdict.EXPLODING

    def check(self, view: View) -> Iterator[Hit]:
        """Hit the layer that the first step moves furthest."""
        ran = course.chosen(view)
        layer = course.furthest(view, ran) if ran is not None else None
        if ran is None or layer is None or not view.finite:
            return
        limits = view.thresholds
        last = course.ending(ran)
        jumps, comparisons = course.rises(ran, limits.jump)
        diverges = not math.isfinite(last) or last > limits.divergence * abs(ran.losses[0])
        few = comparisons < limits.comparisons or jumps < limits.jump_share * comparisons
        if few or diverges or last < ran.losses[0]:
            return
        guilty = course.explained(view)
        because = f", because of {listing(list(guilty))}" if guilty and layer.name not in guilty else ""
        yield Hit(
            layer=layer.name,
            culprit=not because,
            because_of=guilty if because else (),
            confidence=0.8,
            message=f"the loss jumps: in {jumps} of {comparisons} steps of {ran.optimizer} at lr {number(ran.lr)} it grew by half "
            f"or more{because}",
            evidence={"jumps": jumps, "comparisons": comparisons, "lr": ran.lr, "cause": "learning-rate"},
        )
