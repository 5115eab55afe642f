"""This sample does not reach the layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.records import Verdict
from gradcheck_cli.rules.dead.unused import unused
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View
from gradcheck_cli.rules.wording import listing


class NotReached:
    """This sample does not reach the layer.

    The layer did not run on this sample, or some of its parameters were not read, and nothing says that they never are: experts
    that got no token, optional inputs, mask tokens.

    What to do. A sample that uses it.

    Source. The method's look-alikes.
    """

    code: ClassVar[str] = "GC909"
    name: ClassVar[str] = "not-reached"
    verdict: ClassVar[Verdict] = Verdict.HEALTHY

    def check(self, view: View) -> Iterator[Hit]:
        """Note the layers concerned."""
        for layer in view.parametric:
            silent = [p.name for p in layer.parameters if p.trainable and not p.reached]
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
