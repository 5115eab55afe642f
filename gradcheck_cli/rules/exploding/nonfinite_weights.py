"""Weights are NaN or infinite."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.records import Verdict
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View
from gradcheck_cli.rules.wording import listing


class NonfiniteWeights:
    """Weights of this layer are NaN or infinite.

    What it measures. The stored parameters.

    Why it matters. Every output that depends on them is NaN; no training can bring them back.

    Remedy. Go back to an earlier checkpoint, or re-initialise the layer; then find what blew it up (learning rate, log, division).

    Source. The method's symptom 'weights NaN or infinite'.

    Ill.

        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
        model[0].weight.data[3, 5] = float("nan")
        # GC204 at 0

    Healthy.

        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
        model[0].reset_parameters()
    """

    code: ClassVar[str] = "GC204"
    name: ClassVar[str] = "nonfinite-weights"
    verdict: ClassVar[Verdict] = Verdict.EXPLODING

    def check(self, view: View) -> Iterator[Hit]:
        """Hit layers with non-finite parameters."""
        for layer in view.parametric:
            bad = [p for p in layer.parameters if p.nonfinite]
            if bad:
                count = sum(p.nonfinite for p in bad)
                yield Hit(
                    layer=layer.name,
                    culprit=True,
                    message=f"{count} of {sum(p.size for p in bad)} values of {listing([p.name for p in bad])} are NaN or infinite",
                    evidence={"nonfinite": count, "parameters": [p.name for p in bad], "cause": "nonfinite"},
                )
