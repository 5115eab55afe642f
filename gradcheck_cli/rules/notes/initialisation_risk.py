"""Some initialisations of this architecture are born dead."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.records import Verdict
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View


class InitialisationRisk:
    """Some initialisations of this architecture are born dead; fewer than most.

    With `--reinit N`: the architecture drawn N times with other seeds, each measured and judged; see GC306.

    Source. Lu et al. 2019 (Dying ReLU).

    Said.

        width = 4
        layers = []
        for _ in range(2):
            layers += [nn.Linear(width, width), nn.ReLU()]
        model = nn.Sequential(nn.Linear(8, width), *layers, nn.Linear(width, 1))
        options = dict(reinit=20)
        # GC914 at 3

    Not said.

        width = 32
        layers = []
        for _ in range(2):
            layers += [nn.Linear(width, width), nn.ReLU()]
        model = nn.Sequential(nn.Linear(8, width), *layers, nn.Linear(width, 1))
        options = dict(reinit=20)
    """

    code: ClassVar[str] = "GC914"
    name: ClassVar[str] = "initialisation-risk"
    verdict: ClassVar[Verdict] = Verdict.HEALTHY

    def check(self, view: View) -> Iterator[Hit]:
        """Note the layer that was the culprit most often."""
        drawn = view.readings.redraws
        if drawn is None or not drawn.dead or drawn.dead_least > view.thresholds.born_dead:
            return
        if drawn.layer in view.layers:
            yield Hit(
                layer=drawn.layer,
                message=f"{drawn.dead} of {drawn.draws} initialisations of this architecture are born dead (95 % interval "
                f"{drawn.dead_least:.0%} to {drawn.dead_most:.0%})",
                evidence={"draws": drawn.draws, "dead": drawn.dead},
            )
