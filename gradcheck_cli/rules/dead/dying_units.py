"""Units die while training."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.records import Verdict
from gradcheck_cli.rules import course
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View
from gradcheck_cli.rules.wording import number


class DyingUnits:
    """Units that fire now are dead after a few optimiser steps, so many that the layer is.

    What it measures. The rehearsal, at the rate given: the units that GC301 calls dead, before the first step and after the last.

    Why it matters. A step that is too long pushes a unit's bias or weights so far to the flat side that no sample reaches it again.

    Remedy. A lower learning rate, warm-up, leaky activations.

    Source. The method's symptom 'units dying during training'; Lu et al. 2019 (Dying ReLU).

    Ill.

        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
        data = torch.rand(128, 8), torch.rand(128, 1)
        options = dict(optimizer="adam", lr=0.3)
        # GC305 at 0

    Healthy.

        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
        data = torch.rand(128, 8), torch.rand(128, 1)
        options = dict(optimizer="adam", lr=0.01)
    """

    code: ClassVar[str] = "GC305"
    name: ClassVar[str] = "dying-units"
    verdict: ClassVar[Verdict] = Verdict.DEAD

    def check(self, view: View) -> Iterator[Hit]:
        """Hit the layers whose units die."""
        ran = course.chosen(view)
        if ran is None or view.after is None or not view.after.finite or not math.isfinite(course.ending(ran)):
            return
        for name, share in view.after.silent_units.items():
            before = view.layers.get(name)
            if before is None or before.units is None or name in view.silent_units:
                continue
            now = view.after.layers[name].units
            assert now is not None
            died = sorted(set(now.dead) - set(before.units.dead))
            if len(died) < view.thresholds.dead_share * now.units / 2:
                continue
            yield Hit(
                layer=view.stage(before),
                culprit=True,
                confidence=0.9,
                message=f"{len(died)} of {now.units} units die within {ran.steps} steps of {ran.optimizer} at lr {number(ran.lr)}",
                evidence={
                    "died": len(died),
                    "units": died[:100],
                    "dead_units": share,
                    "lr": ran.lr,
                    "activation": before.kind,
                    "activation_layer": name,
                    "cause": "learning-rate",
                },
            )
