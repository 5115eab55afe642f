"""Gradients underflow the dtype."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.records import Verdict
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View
from gradcheck_cli.rules.wording import number


class Underflow:
    """Gradients underflow the dtype that they are stored in: they vanish only because of it.

    What it measures. For a float16 model, the root mean square of the elements of ∂L/∂W against float16's smallest number, 6e-8.
    With `--precision`, the share of the elements of ∂L/∂W, and of ∂L/∂y on the way there, that this precision would store as 0.

    Why it matters. Such elements are stored as 0 and the weights never move, although the mathematics is healthy.

    Remedy. Loss scaling, bfloat16, or float32 master weights.

    Source. Micikevicius et al. 2018, Mixed Precision Training.

    Ill.

        model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1))
        data = torch.randn(128, 8), torch.randn(128, 1)
        scale = 1e-6
        def loss(output, target):
            return scale * F.mse_loss(output, target)
        options = dict(loss=loss, precision="fp16")
        # GC105 at 0

    Healthy.

        model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1))
        data = torch.randn(128, 8), torch.randn(128, 1)
        scale = 1e-6 * 65536
        def loss(output, target):
            return scale * F.mse_loss(output, target)
        options = dict(loss=loss, precision="fp16")
    """

    code: ClassVar[str] = "GC105"
    name: ClassVar[str] = "underflow"
    verdict: ClassVar[Verdict] = Verdict.VANISHING

    def check(self, view: View) -> Iterator[Hit]:
        """Hit layers whose loss gradients are too small to be stored."""
        yield from _asked(view)
        if view.readings.dtype != "float16":
            return
        for layer in view.parametric:
            for weight in layer.weights:
                gradient = weight.loss_gradient
                if (
                    gradient is None
                    or gradient / weight.size**0.5 >= view.thresholds.half_underflow
                    or not weight.signal
                ):
                    continue
                yield Hit(
                    layer=layer.name,
                    culprit=True,
                    confidence=0.9,
                    message=f"the gradient of {weight.name} is {number(gradient / weight.size**0.5)} per element, below what "
                    "float16 can store",
                    evidence={"rms": gradient / weight.size**0.5, "dtype": "float16", "cause": "dtype"},
                )
                break


def _asked(view: View) -> Iterator[Hit]:
    """Those that another precision would lose; the one nearest the output is where it starts."""
    ill = [
        layer
        for layer in view.parametric
        if layer.weights and layer.precision is not None and layer.precision.lost >= view.thresholds.lost_share
    ]
    for layer in ill:
        assert layer.precision is not None
        start = ill[-1].name
        yield Hit(
            layer=layer.name,
            culprit=layer.name == start,
            because_of=() if layer.name == start else (start,),
            confidence=0.9,
            message=f"in {view.readings.precision}, {layer.precision.lost:.0%} of its gradient's elements would be stored as 0",
            evidence={"lost": layer.precision.lost, "dtype": view.readings.precision or "", "cause": "dtype"},
        )
