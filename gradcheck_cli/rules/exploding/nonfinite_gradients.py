"""Gradients are NaN or infinite."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.records import Verdict
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View


class NonfiniteGradients:
    """Gradients of this layer's parameters are NaN or infinite, although weights and values are finite.

    What it measures. ∂(v·out)/∂W and ∂L/∂W of every parameter, in the dtype that they are stored in.

    Why it matters. One step makes the weights NaN.

    Remedy. Guard sqrt and norms at 0, log and division; loss scaling or bfloat16 for float16; clip values before exp.

    Source. The method's symptom 'gradient elements overflow'; PyTorch's autograd notes on sub-gradients at 0.

    Ill.

        class Root(nn.Module):
            def forward(self, x):
                return x.abs().sqrt()
        first = nn.Linear(8, 16, bias=False)
        model = nn.Sequential(first, Root(), nn.Linear(16, 2))
        data = torch.randn(128, 8)
        data[0] = 0
        # GC206 at 0

    Healthy.

        class Root(nn.Module):
            def forward(self, x):
                return (x.abs() + 1e-3).sqrt()
        first = nn.Linear(8, 16, bias=False)
        model = nn.Sequential(first, Root(), nn.Linear(16, 2))
        data = torch.randn(128, 8)
        data[0] = 0
    """

    code: ClassVar[str] = "GC206"
    name: ClassVar[str] = "nonfinite-gradients"
    verdict: ClassVar[Verdict] = Verdict.EXPLODING

    def check(self, view: View) -> Iterator[Hit]:
        """Hit layers with non-finite gradients; the one nearest the output is where it starts."""
        bad = [
            layer
            for layer in view.parametric
            if any(p.signal_nonfinite or p.loss_gradient_nonfinite for p in layer.parameters)
        ] or [layer for layer in view.readings.layers if not math.isfinite(layer.transmission or 0.0)]
        if (
            not bad
            or view.readings.output_nonfinite
            or any(p.nonfinite for layer in view.parametric for p in layer.parameters)
        ):
            return
        start = bad[-1].name
        for layer in bad:
            count = sum(p.signal_nonfinite + p.loss_gradient_nonfinite for p in layer.parameters)
            yield Hit(
                layer=layer.name,
                culprit=layer.name == start,
                because_of=() if layer.name == start else (start,),
                message=f"its gradients are NaN or infinite in {view.readings.dtype}"
                + (f" ({count} elements)" if count else ""),
                evidence={"nonfinite": count, "dtype": view.readings.dtype, "cause": "dtype"},
            )
