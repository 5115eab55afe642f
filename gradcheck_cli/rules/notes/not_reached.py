"""This sample does not reach the layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.records import Verdict
from gradcheck_cli.rules.dead.unused import unused
from gradcheck_cli.rules.dead.zero_gradient import fed_nothing
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View
from gradcheck_cli.rules.wording import listing


class NotReached:
    """This sample does not reach the layer.

    The layer did not run on this sample, or some of its parameters were not read, and nothing says that they never are: experts
    that got no token, optional inputs, mask tokens. Or it read nothing of it but zeros, or the padding row of a table.

    What to do. A sample that uses it.

    Source. The method's look-alikes.

    Said.

        class Experts(nn.Module):
            def __init__(self):
                super().__init__()
                self.experts = nn.ModuleList(nn.Linear(8, 2) for _ in range(2))
            def forward(self, x):
                return self.experts[0](x)
        model = Experts()
        # GC909 at experts.1

    Not said.

        class Experts(nn.Module):
            def __init__(self):
                super().__init__()
                self.experts = nn.ModuleList(nn.Linear(8, 2) for _ in range(2))
            def forward(self, x):
                return self.experts[0](x) + self.experts[1](x)
        model = Experts()
    """

    code: ClassVar[str] = "GC909"
    name: ClassVar[str] = "not-reached"
    verdict: ClassVar[Verdict] = Verdict.HEALTHY

    def check(self, view: View) -> Iterator[Hit]:
        """Note the layers concerned."""
        for layer in view.parametric:
            silent = [p.name for p in layer.parameters if p.trainable and not p.reached]
            if layer.weights and not silent and fed_nothing(view, layer):
                yield Hit(layer=layer.name, message="this sample gives it nothing but zeros or padding", evidence={})
            if (
                not silent
                or unused(view, layer)
                or (layer.called and not layer.reached and not layer.container and len(silent) == len(layer.parameters))
            ):
                continue
            yield Hit(
                layer=layer.name,
                message=f"this sample does not reach {listing(silent)}",
                evidence={"parameters": silent},
            )
