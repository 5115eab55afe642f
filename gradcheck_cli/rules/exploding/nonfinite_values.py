"""Values become NaN or infinite in the forward pass."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.records import Verdict
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View


class NonfiniteValues:
    """Values become NaN or infinite in the forward pass, starting at this layer.

    What it measures. What every module returns; where it is not finite, a second, watched pass finds the first call that makes
    NaN or infinity out of finite values.

    Why it matters. Everything behind it is NaN, the loss too, and so is every gradient.

    Remedy. Guard log, sqrt and divisions; smaller weights; normalisation; a wider dtype.

    Source. The method's symptom 'values that overflow'.

    Ill.

        class Log(nn.Module):
            def forward(self, x):
                return x.log()
        model = nn.Sequential(nn.Linear(8, 16), Log(), nn.Linear(16, 2))
        # GC205 at 1

    Healthy.

        class Log(nn.Module):
            def forward(self, x):
                return F.softplus(x).log()
        model = nn.Sequential(nn.Linear(8, 16), Log(), nn.Linear(16, 2))
    """

    code: ClassVar[str] = "GC205"
    name: ClassVar[str] = "nonfinite-values"
    verdict: ClassVar[Verdict] = Verdict.EXPLODING

    def check(self, view: View) -> Iterator[Hit]:
        """Hit where non-finite values begin, unless weights are already non-finite (GC204)."""
        if not view.readings.output_nonfinite or any(
            p.nonfinite for layer in view.parametric for p in layer.parameters
        ):
            return
        first = view.readings.first_nonfinite
        begins = [layer.name for layer in view.readings.layers if layer.nonfinite and not layer.nonfinite_input]
        last = [layer.name for layer in view.parametric[-1:]]
        for name in [*([first[1]] if first else []), *begins, *last][:1]:
            call = f" by {first[0]}" if first and first[0] != name else ""
            yield Hit(
                layer=name,
                culprit=True,
                message=f"values become NaN or infinite here{call}, and the model's output with them",
                evidence={"operation": first[0] if first else "", "cause": "nonfinite"},
            )
