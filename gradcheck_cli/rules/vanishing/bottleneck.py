"""The signal is lost at one layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.records import Verdict
from gradcheck_cli.rules import depth
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View
from gradcheck_cli.rules.wording import confidence, number


class Bottleneck:
    """The signal is lost at this one layer, and everything in front of it suffers.

    What it measures. Along the loudest path from an ill layer to the output, each layer's gain (the norm of the gradient at its
    input over that at its output). A layer is the culprit if it alone takes away far more than its neighbours do, and such
    layers make at least half of the loss.

    Why it matters. The layer itself may hear the output well; mending it mends all the victims.

    Remedy. Re-initialise the layer by its activation (He, Xavier), remove the scaling, put a normalisation or a skip there.

    Source. Glorot & Bengio 2010; Hanin & Nica 2018 for how far chance alone moves a layer's gain.

    Ill.

        layers = []
        for _ in range(6):
            layers += [nn.Linear(16, 16), nn.Tanh()]
        model = nn.Sequential(*layers, nn.Linear(16, 2))
        nn.init.normal_(model[6].weight, std=1e-6)
        # GC102 at 6

    Healthy.

        layers = []
        for _ in range(6):
            layers += [nn.Linear(16, 16), nn.Tanh()]
        model = nn.Sequential(*layers, nn.Linear(16, 2))
        nn.init.xavier_normal_(model[6].weight)
    """

    code: ClassVar[str] = "GC102"
    name: ClassVar[str] = "bottleneck"
    verdict: ClassVar[Verdict] = Verdict.VANISHING

    def check(self, view: View) -> Iterator[Hit]:
        """Hit each layer that makes most of a decay by itself."""
        for ailment in depth.fading(view):
            for share in ailment.culprits:
                saturated = depth.cause(share) == "activation-slope"
                by = f"the slope of its {share.activation}" if saturated else "the scale of its weights"
                yield Hit(
                    layer=share.layer,
                    culprit=True,
                    confidence=confidence(share.factor, 1 / view.thresholds.outlier),
                    message=f"lets only {number(share.factor)} of the signal through, by {by}; "
                    f"{len(ailment.layers)} layers in front of it hear too little",
                    evidence={"factor": share.factor, "cause": depth.cause(share), "activation": share.activation},
                )
