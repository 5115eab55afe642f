"""Most initialisations of this architecture are born dead."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.records import Verdict
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View


class BornDead:
    """Most initialisations of this architecture are born dead: this one may live, the next will not.

    What it measures. With `--reinit N`: the architecture drawn N times with other seeds, each measured on the same sample and
    judged by all rules. Ill if even the lower end of the share's 95 % interval is above a half.

    Why it matters. A training run that starts from a dead network learns nothing, and the next seed may be the one.

    Remedy. Wider layers, fewer layers, leaky activations, He initialisation with small positive biases; draw again until alive.

    Source. Lu et al. 2019 (Dying ReLU): with n units, L layers and zero bias, one input is cut off with probability 1 − (1 − 2⁻ⁿ)ᴸ.

    Ill.

        width = 2
        layers = []
        for _ in range(10):
            layers += [nn.Linear(width, width), nn.ReLU()]
        model = nn.Sequential(nn.Linear(8, width), *layers, nn.Linear(width, 1))
        options = dict(reinit=20)
        # GC306 at 5

    Healthy.

        width = 32
        layers = []
        for _ in range(10):
            layers += [nn.Linear(width, width), nn.ReLU()]
        model = nn.Sequential(nn.Linear(8, width), *layers, nn.Linear(width, 1))
        options = dict(reinit=20)
    """

    code: ClassVar[str] = "GC306"
    name: ClassVar[str] = "born-dead"
    verdict: ClassVar[Verdict] = Verdict.DEAD

    def check(self, view: View) -> Iterator[Hit]:
        """Hit the layer that was the culprit most often."""
        drawn = view.readings.redraws
        if drawn is None or drawn.dead_least <= view.thresholds.born_dead or drawn.layer not in view.layers:
            return
        yield Hit(
            layer=drawn.layer,
            culprit=True,
            confidence=round(drawn.dead_least, 3),
            message=f"{drawn.dead} of {drawn.draws} initialisations of this architecture are born dead "
            f"(95 % interval {drawn.dead_least:.0%} to {drawn.dead_most:.0%}), most often here",
            evidence={"draws": drawn.draws, "dead": drawn.dead, "least": drawn.dead_least, "most": drawn.dead_most,
                      "cause": "silent-units"},
        )  # fmt: skip
