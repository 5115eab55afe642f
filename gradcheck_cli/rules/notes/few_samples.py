"""Too few samples to call a unit dead."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.records import Verdict
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View
from gradcheck_cli.rules.wording import number


class FewSamples:
    """Too few samples to call a unit dead.

    Half of the units or more were silent, on too few values to say that they are dead: a unit silent N times may still fire with
    a probability of up to 3/N (95 % confidence).

    What to do. Give a larger sample.

    Source. The rule of three (Hanley & Lippman-Hand 1983).

    Said.

        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
        model[0].bias.data[:12] = -0.9
        data = torch.randn(8, 8)
        # GC908 at 0

    Not said.

        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
        model[0].bias.data[:12] = -0.9
        data = torch.randn(128, 8)
    """

    code: ClassVar[str] = "GC908"
    name: ClassVar[str] = "few-samples"
    verdict: ClassVar[Verdict] = Verdict.HEALTHY

    def check(self, view: View) -> Iterator[Hit]:
        """Note the layers concerned."""
        for layer in view.readings.layers:
            units = layer.units
            if units is None or not units.units or not units.seen or units.seen >= view.thresholds.evidence:
                continue
            if len(units.dead) >= view.thresholds.dead_share * units.units:
                yield Hit(
                    layer=view.stage(layer),
                    message=f"{len(units.dead)} of {units.units} units silent on only {units.seen} values: "
                    f"each may still fire with a probability of up to {number(min(1.0, 3 / units.seen))}",
                    evidence={"seen": units.seen},
                )
