"""What is zero now is not after a few steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.records import Verdict
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View


class Transient:
    """What is zero now is not after a few steps.

    The layer gets no signal, or most of its units are silent, and after the rehearsal's steps it hears the output and its
    units fire: the zero was a matter of where training begins.

    Source. The method's look-alikes: gates; after a step or two of rehearsal the zeros are gone.

    Said.

        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
        nn.init.zeros_(model[2].weight)
        data = torch.randn(128, 8), torch.randn(128, 1)
        # GC913 at 0

    Not said.

        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
        nn.init.xavier_normal_(model[2].weight)
        data = torch.randn(128, 8), torch.randn(128, 1)
    """

    code: ClassVar[str] = "GC913"
    name: ClassVar[str] = "transient"
    verdict: ClassVar[Verdict] = Verdict.HEALTHY

    def check(self, view: View) -> Iterator[Hit]:
        """Note the layers concerned."""
        steps = view.readings.rehearsal.steps if view.readings.rehearsal else 0
        for name in view.recovered:
            yield Hit(layer=name, message=f"silent now, and awake after {steps} steps of the rehearsal")
