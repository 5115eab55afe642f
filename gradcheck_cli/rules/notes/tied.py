"""The layer shares its weights with another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.records import Verdict
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View
from gradcheck_cli.rules.wording import listing


class Tied:
    """The layer shares its weights with another.

    A parameter of this layer is the same tensor as one of another layer; it is measured once, under its first name.

    Source. The method's look-alikes.

    Said.

        model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8),
                              nn.ReLU(), nn.Linear(8, 2))
        model[2].weight = model[0].weight
        # GC904 at 2

    Not said.

        model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8),
                              nn.ReLU(), nn.Linear(8, 2))
        model[2].weight = nn.Parameter(model[0].weight.detach().clone())
    """

    code: ClassVar[str] = "GC904"
    name: ClassVar[str] = "tied"
    verdict: ClassVar[Verdict] = Verdict.HEALTHY

    def check(self, view: View) -> Iterator[Hit]:
        """Note the layers concerned."""
        for layer in view.parametric:
            shared = [p for p in layer.parameters if p.tied_to]
            if shared:
                names = listing([str(p.tied_to) for p in shared])
                yield Hit(
                    layer=layer.name, message=f"tied to {names}", evidence={"tied_to": [str(p.tied_to) for p in shared]}
                )
