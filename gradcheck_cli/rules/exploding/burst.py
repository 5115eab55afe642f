"""The signal is blown up at one layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.records import Verdict
from gradcheck_cli.rules import depth
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View
from gradcheck_cli.rules.wording import confidence, number


class Burst:
    """The signal is blown up at this one layer, and everything in front of it suffers.

    What it measures. Each layer's gain along the loudest path to the output; the culprit amplifies far more than its neighbours
    do, and such layers make at least half of the growth.

    Why it matters. The layers in front get steps far too long; values behind it are large as well.

    Remedy. Re-initialise the layer, remove the scaling, normalise behind it, clip gradients.

    Source. Pascanu et al. 2013; He et al. 2015.

    Ill.

        layers = []
        for _ in range(4):
            layers += [nn.Linear(16, 16), nn.ReLU()]
        model = nn.Sequential(*layers, nn.Linear(16, 2))
        nn.init.normal_(model[4].weight, std=1e5)
        # GC202 at 4

    Healthy.

        layers = []
        for _ in range(4):
            layers += [nn.Linear(16, 16), nn.ReLU()]
        model = nn.Sequential(*layers, nn.Linear(16, 2))
        nn.init.kaiming_normal_(model[4].weight)
    """

    code: ClassVar[str] = "GC202"
    name: ClassVar[str] = "burst"
    verdict: ClassVar[Verdict] = Verdict.EXPLODING

    def check(self, view: View) -> Iterator[Hit]:
        """Hit each layer that makes most of a growth by itself."""
        for ailment in depth.growing(view):
            for share in ailment.culprits:
                yield Hit(
                    layer=share.layer,
                    culprit=True,
                    confidence=confidence(view.thresholds.outlier, share.factor),
                    message=f"amplifies the signal by {number(share.factor)}; "
                    f"{len(ailment.layers)} layers in front of it get too much",
                    evidence={"factor": share.factor, "cause": "weight-scale"},
                )
