"""The layer is frozen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.records import Verdict
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View


class Frozen:
    """The layer is frozen.

    All parameters of this layer have `requires_grad=False`: it is not meant to learn, and gets no verdict.

    Source. The method's look-alikes.

    Said.

        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
        model[0].requires_grad_(False)
        # GC901 at 0

    Not said.

        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
        model[0].requires_grad_(True)
    """

    code: ClassVar[str] = "GC901"
    name: ClassVar[str] = "frozen"
    verdict: ClassVar[Verdict] = Verdict.HEALTHY

    def check(self, view: View) -> Iterator[Hit]:
        """Note the layers concerned."""
        for layer in view.parametric:
            if layer.parameters and not layer.trainable:
                yield Hit(layer=layer.name, message="frozen: requires_grad is False")
