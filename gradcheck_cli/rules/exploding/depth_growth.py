"""The signal grows over depth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.records import Verdict
from gradcheck_cli.rules import depth
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View
from gradcheck_cli.rules.wording import confidence, listing, number


class DepthGrowth:
    """The signal grows over depth: a small change here is a huge one at the output.

    What it measures. The transmission T of a random question put to the output (see GC101). Ill if T is far above 1 and the
    layer's values are not so small that they undo it.

    Why it matters. Gradient descent takes steps far too long for these layers: the loss jumps and then is NaN.

    Remedy. Smaller initialisation (He, Xavier), clipping by norm, normalisation with residual connections, fewer layers.

    Source. Pascanu et al. 2013; He et al. 2015; Yang et al. 2019 (batch norm without skips grows by 1.21 a layer).

    Ill.

        layers = []
        for _ in range(10):
            layers += [nn.Linear(16, 16), nn.ReLU()]
        model = nn.Sequential(*layers, nn.Linear(16, 2))
        for linear in model[::2]:
            nn.init.normal_(linear.weight, std=1.0)
        # GC201 at 0

    Healthy.

        layers = []
        for _ in range(10):
            layers += [nn.Linear(16, 16), nn.ReLU()]
        model = nn.Sequential(*layers, nn.Linear(16, 2))
        for linear in model[::2]:
            nn.init.kaiming_normal_(linear.weight)
    """

    code: ClassVar[str] = "GC201"
    name: ClassVar[str] = "depth-growth"
    verdict: ClassVar[Verdict] = Verdict.EXPLODING

    def check(self, view: View) -> Iterator[Hit]:
        """Hit every layer at which the signal is out of range; the one nearest the output is where it starts."""
        for ailment in depth.growing(view):
            alone = [share.layer for share in ailment.culprits]
            start = alone or [ailment.start]
            worst = max(view.loud(view.layers[name]) for name in ailment.layers)
            for name in ailment.layers:
                if name in alone:
                    continue
                layer = view.layers[name]
                t = layer.transmission or 0.0
                here = name == ailment.start and not alone
                behind = [culprit for culprit in start if culprit in view.descendants[name]]
                rate = depth.rate(ailment.descent)
                message = f"gets {number(t)} times what the output asks, because of {listing(start)}"
                if here:
                    message = (
                        f"the signal grows by a factor of {number(rate)} per layer; "
                        f"from here to the input it is out of range (T = {number(t)})"
                    )
                yield Hit(
                    layer=name,
                    culprit=here,
                    because_of=() if here else tuple(behind or start),
                    confidence=confidence(view.thresholds.exploding, worst if here else view.loud(layer)),
                    message=message,
                    evidence={"transmission": t, "factor_per_layer": rate, "cause": "weight-scale"},
                )
