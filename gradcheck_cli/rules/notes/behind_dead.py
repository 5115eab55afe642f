"""Its input is constant, because what is in front of it is dead."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.records import Verdict
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View


class BehindDead:
    """Its input is constant, because what is in front of it is dead.

    Everything in front of this layer is dead, so its input does not depend on the data; its own units cannot be judged.

    Source. The method's look-alikes.

    Said.

        model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8),
                              nn.ReLU(), nn.Linear(8, 2))
        nn.init.constant_(model[0].bias, -10)
        # GC910 at 3, in a dead model

    Not said.

        model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8),
                              nn.ReLU(), nn.Linear(8, 2))
        nn.init.constant_(model[0].bias, 0)
    """

    code: ClassVar[str] = "GC910"
    name: ClassVar[str] = "behind-dead"
    verdict: ClassVar[Verdict] = Verdict.HEALTHY

    def check(self, view: View) -> Iterator[Hit]:
        """Note the layers concerned."""
        for layer in view.readings.layers:
            if layer.name in view.behind_constant:
                yield Hit(layer=layer.name, message="its input is constant: everything in front of it is dead")
