"""Some units are saturated, or gates are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.records import Verdict
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View


class PartlySaturated:
    """Some units are saturated, or gates are.

    Some units of a bounded activation are saturated, fewer than make the layer ill; or they are gates or the model's last
    activation, where saturation is a decision and not a fault.

    Source. The method's look-alikes.

    Said.

        model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 2))
        model[0].bias.data[:4] = 10
        # GC911 at 0

    Not said.

        model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 2))
        model[0].bias.data[:4] = 0
    """

    code: ClassVar[str] = "GC911"
    name: ClassVar[str] = "partly-saturated"
    verdict: ClassVar[Verdict] = Verdict.HEALTHY

    def check(self, view: View) -> Iterator[Hit]:
        """Note the layers concerned."""
        for layer in view.readings.layers:
            units = layer.units
            if units is None or not units.saturated or units.seen < view.thresholds.evidence:
                continue
            share = len(units.saturated) / units.units
            if share < view.thresholds.saturated_share or layer.multiplied or (layer.final and not view.stuck):
                yield Hit(
                    layer=view.stage(layer),
                    message=f"{len(units.saturated)} of {units.units} units of {layer.name} are saturated",
                    evidence={"saturated": share, "activation": layer.kind},
                )
