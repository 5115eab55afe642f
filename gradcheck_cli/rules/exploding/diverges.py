"""Training diverges."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.records import Verdict
from gradcheck_cli.rules import course
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View
from gradcheck_cli.rules.wording import listing, number


class Diverges:
    """A few optimiser steps make the loss grow out of range.

    What it measures. The rehearsal: optimiser steps on a copy in memory, on the sample, with the given optimiser and learning
    rate. Ill if the loss becomes NaN or infinite, or ends at ten times what it was and above the loss of chance. Where no
    rate was given, the rehearsal steps gently (1 % of the weights at most), and only NaN or infinity count.

    Why it matters. Training ends there, or learns poorly from a loss that stays high.

    Remedy. A lower learning rate, warm-up, clipping by norm; where the signal grows over depth, a smaller initialisation.

    Source. The method's symptoms 'loss becomes NaN or infinite' and 'loss high, the model learns poorly'; Pascanu et al. 2013.

    Ill.

        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
        data = torch.randn(128, 8), torch.randn(128, 1)
        options = dict(lr=5.0)
        # GC209 at 2

    Healthy.

        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
        data = torch.randn(128, 8), torch.randn(128, 1)
        options = dict(lr=0.05)
    """

    code: ClassVar[str] = "GC209"
    name: ClassVar[str] = "diverges"
    verdict: ClassVar[Verdict] = Verdict.EXPLODING

    def check(self, view: View) -> Iterator[Hit]:
        """Hit the layer that the first step moves furthest."""
        ran = view.readings.rehearsal
        layer = course.furthest(view, ran) if ran is not None else None
        if ran is None or layer is None or ran.failed is not None or not view.finite or not ran.losses:
            return
        first, last = ran.losses[0], course.ending(ran)
        grown = course.chosen(view) is not None and last > max(
            view.thresholds.divergence * abs(first), ran.chance or 0.0, 0.0
        )
        if math.isfinite(last) and not grown:
            return
        guilty = course.explained(view)
        update = layer.updates[0] / layer.norms[0]
        became = f"from {number(first)} to {number(last)}" if math.isfinite(last) else "to NaN or infinity"
        because = f", because of {listing(list(guilty))}" if guilty and layer.name not in guilty else ""
        yield Hit(
            layer=layer.name,
            culprit=not because,
            because_of=guilty if because else (),
            confidence=0.95 if view.readings.lr is not None else 0.7,
            message=f"{ran.steps} steps of {ran.optimizer} at lr {number(ran.lr)} take the loss {became}; the first moves "
            f"this layer by {number(update)} times its weights{because}",
            evidence={
                "steps": ran.steps,
                "lr": ran.lr,
                "loss_before": first,
                "loss_after": last,
                "relative_update": update,
                "cause": "learning-rate",
            },
        )
