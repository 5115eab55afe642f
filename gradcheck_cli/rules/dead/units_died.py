"""Over the run, units died."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.records import Verdict
from gradcheck_cli.rules import run
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View


class UnitsDied:
    """Units of this layer fired at the beginning of the run and are dead at its end, so many that the layer is.

    What it measures. The share of dead units (see GC301) at every checkpoint.

    Why it matters. The run killed them, so the next one with the same settings will; the checkpoint before still has them.

    Remedy. A lower learning rate, warm-up, leaky activations; go on from the checkpoint before.

    Source. The method's symptom 'units dying during training'; Lu et al. 2019 (Dying ReLU).

    Ill.

        from copy import deepcopy
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
        checkpoints = []
        for _ in range(4):
            checkpoints.append(deepcopy(model))
            model[0].bias.data -= 0.7
        # GC307 at 0

    Healthy.

        from copy import deepcopy
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
        checkpoints = []
        for _ in range(4):
            checkpoints.append(deepcopy(model))
            model[0].bias.data -= 0.05
    """

    code: ClassVar[str] = "GC307"
    name: ClassVar[str] = "units-died"
    verdict: ClassVar[Verdict] = Verdict.DEAD

    def check(self, view: View) -> Iterator[Hit]:
        """Hit the layers whose units died, with the checkpoint at which most were."""
        limit = view.thresholds.dead_share
        for name in view.silent_units:
            layer = view.layers[name]
            shares = [at.dead for at in run.trace(view, layer)]
            if not shares or any(share is None for share in shares) or (shares[0] or 0.0) >= limit:
                continue
            place = next(place for place, share in enumerate(shares) if (share or 0.0) >= limit)
            here = view.readings.checkpoints[place].name
            yield Hit(
                layer=view.stage(layer),
                culprit=True,
                confidence=0.95,
                message=f"{shares[0] or 0.0:.0%} of its units were dead at the start of the run and {shares[-1] or 0.0:.0%} "
                f"are now; most died before {here}",
                evidence={
                    "before": shares[0] or 0.0,
                    "after": shares[-1] or 0.0,
                    "checkpoint": here,
                    "activation": layer.kind,
                    "activation_layer": name,
                    "cause": "learning-rate",
                },
            )
