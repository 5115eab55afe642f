"""Some units never fire, fewer than half."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.records import Verdict
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View


class PartlyDead:
    """Some units never fire, fewer than half.

    Some units of this layer never fired on the sample, fewer than make it dead.

    Why it matters. They are capacity that is lost on this data; growing numbers in later checkpoints are a warning.

    Source. Lu et al. 2019.

    Said.

        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
        model[0].bias.data[:4] = -10
        # GC907 at 0

    Not said.

        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
        model[0].bias.data[:4] = 0
    """

    code: ClassVar[str] = "GC907"
    name: ClassVar[str] = "partly-dead"
    verdict: ClassVar[Verdict] = Verdict.HEALTHY

    def check(self, view: View) -> Iterator[Hit]:
        """Note the layers concerned."""
        for layer in view.readings.layers:
            units = layer.units
            if units is None or units.bounded or not units.dead or layer.name in view.silent_units:
                continue
            if units.seen < view.thresholds.evidence or layer.name in view.behind_constant:
                continue
            yield Hit(
                layer=view.stage(layer),
                message=f"{len(units.dead)} of {units.units} units never fire in {layer.name}",
                evidence={
                    "dead_units": len(units.dead) / units.units,
                    "units": list(units.dead[:100]),
                    "activation": layer.kind,
                },
            )
