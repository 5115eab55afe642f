"""Another precision could not hold the values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.records import Verdict
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View
from gradcheck_cli.rules.wording import number

LARGEST = {"fp16": 65504.0, "bf16": 3.3895e38, "fp32": 3.4028e38}
"""Largest number of each precision."""


class Overflow:
    """Values, weights or gradients of this layer are beyond what the precision asked for can hold.

    What it measures. With `--precision fp16` (or bf16, fp32): the largest value of the layer's outputs, and the elements of its
    weights and gradients, against the largest number of that precision (65504 in fp16), in one pass in the model's own dtype.

    Why it matters. What overflows becomes infinite, and NaN one operation later; loss scaling skips every such step.

    Remedy. bfloat16; smaller weights or values; normalisation; float32 for this layer alone.

    Source. Micikevicius et al. 2018, Mixed Precision Training; the method's symptom 'gradient elements overflow the dtype'.

    Ill.

        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
        data = 1e6 * torch.randn(128, 8), torch.randint(2, (128,))
        options = dict(precision="fp16")
        # GC212 at 0

    Healthy.

        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
        data = 1e6 * torch.randn(128, 8), torch.randint(2, (128,))
        options = dict(precision="bf16")
    """

    code: ClassVar[str] = "GC212"
    name: ClassVar[str] = "overflow"
    verdict: ClassVar[Verdict] = Verdict.EXPLODING

    def check(self, view: View) -> Iterator[Hit]:
        """Hit layers that overflow; the first in forward order is where it starts."""
        precision = view.readings.precision
        if precision is None or not view.finite:
            return
        limit = LARGEST[precision]
        ill = [
            layer
            for layer in view.readings.layers
            if layer.precision is not None and (layer.precision.overflowing or layer.precision.largest > limit)
        ]
        for layer in ill:
            assert layer.precision is not None
            start = ill[0].name
            what = (
                f"values reach {number(layer.precision.largest)}"
                if layer.precision.largest > limit
                else f"{layer.precision.overflowing} elements of its weights and gradients overflow"
            )
            yield Hit(
                layer=layer.name,
                culprit=layer.name == start,
                because_of=() if layer.name == start else (start,),
                confidence=0.95,
                message=f"{what}; {precision} ends at {number(limit)}",
                evidence={"largest": layer.precision.largest, "dtype": precision, "cause": "dtype"},
            )
