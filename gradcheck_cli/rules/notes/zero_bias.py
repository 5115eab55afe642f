"""A bias has no influence on the output, by structure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.records import Verdict
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View
from gradcheck_cli.rules.wording import listing


class ZeroBias:
    """A bias has no influence on the output, by structure.

    The gradient of a bias, or of another vector, is zero, or rounding noise, while the layer's output is heard well: a
    bias in front of a normalisation layer, an attention key's bias, a bias that every class shares.

    Source. The method's look-alikes: structural zeros.

    Said.

        first = nn.Linear(8, 16)
        model = nn.Sequential(first, nn.BatchNorm1d(16), nn.Tanh(),
                              nn.Linear(16, 2))
        # GC906 at 0

    Not said.

        first = nn.Linear(8, 16, bias=False)
        model = nn.Sequential(first, nn.BatchNorm1d(16), nn.Tanh(),
                              nn.Linear(16, 2))
    """

    code: ClassVar[str] = "GC906"
    name: ClassVar[str] = "zero-bias"
    verdict: ClassVar[Verdict] = Verdict.HEALTHY

    def check(self, view: View) -> Iterator[Hit]:
        """Note the layers concerned."""
        for layer in view.parametric:
            vectors = [p for p in layer.parameters if p.trainable and not p.matrix and p.signal is not None]
            quiet = [
                p.name
                for p in vectors
                if layer.weights and (p.structural or (p.signal or 0.0) < 1e-5 * (layer.transmission or 0.0))
            ]
            if quiet:
                yield Hit(
                    layer=layer.name,
                    message=f"{listing(quiet)} {'has' if len(quiet) == 1 else 'have'} no influence, by structure",
                    evidence={"parameters": quiet},
                )
