"""The loss hardly goes down."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.records import Verdict
from gradcheck_cli.rules import course
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View
from gradcheck_cli.rules.wording import number


class SlowLearning:
    """At the given rate the loss hardly goes down, and no weights move: an early stop would end this training.

    What it measures. The rehearsal, at the rate given: the loss over all batches before and after, and how far the layer that went
    furthest went, Σ‖ΔW‖/‖W‖. Ill if both changed by less than a hundred-thousandth. A model that has converged is not judged.

    Why it matters. At this pace, weights need millions of steps to become others.

    Remedy. A higher learning rate, momentum or Adam; what answers a vanishing signal, where there is one.

    Source. The method's symptom 'loss or accuracy improves very slowly; an early stop would fire'.

    Ill.

        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
        data = torch.randn(128, 8), torch.randn(128, 1)
        options = dict(lr=1e-8)
        # GC109 at 2

    Healthy.

        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
        data = torch.randn(128, 8), torch.randn(128, 1)
        options = dict(lr=1e-2)
    """

    code: ClassVar[str] = "GC109"
    name: ClassVar[str] = "slow-learning"
    verdict: ClassVar[Verdict] = Verdict.VANISHING

    def check(self, view: View) -> Iterator[Hit]:
        """Hit the layer that went furthest: even that hardly moves."""
        ran = course.chosen(view)
        before = view.readings.loss
        if ran is None or before is None or not view.finite or not ran.steps or not ran.layers:
            return
        after = course.ending(ran)
        layer = max(ran.layers, key=lambda each: each.moved)
        gained = abs(before - after) / abs(before) if before else 0.0
        slow = view.thresholds.slow
        if not math.isfinite(after) or gained >= slow or layer.moved >= slow or layer.norms[0] == 0.0:
            return
        yield Hit(
            layer=layer.name,
            culprit=True,
            confidence=0.8,
            message=f"{ran.steps} steps of {ran.optimizer} at lr {number(ran.lr)} change the loss by {number(gained)} of its "
            f"value, and no layer by more than {number(layer.moved)} of its weights",
            evidence={"gained": gained, "moved": layer.moved, "lr": ran.lr, "steps": ran.steps, "cause": "slow"},
        )
