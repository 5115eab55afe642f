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
    """

    code: ClassVar[str] = "GC205"
    name: ClassVar[str] = "nonfinite-values"
    verdict: ClassVar[Verdict] = Verdict.EXPLODING

    def check(self, view: View) -> Iterator[Hit]:
        """Hit where non-finite values begin, unless its weights are already non-finite (GC204)."""
        broken = {layer.name for layer in view.parametric if any(p.nonfinite for p in layer.parameters)}
        begins = [layer for layer in view.readings.layers if layer.nonfinite and not layer.nonfinite_input]
        begins = [layer for layer in begins if layer.name not in broken]
        first = view.readings.first_nonfinite
        if not begins and not broken and first is not None:
            begins = [layer for layer in view.readings.layers if layer.nonfinite][:1]
        for layer in begins[:1]:
            call = f" ({first[0]} in {first[1] or 'the model itself'})" if first else ""
            yield Hit(
                layer=layer.name,
                culprit=True,
                message=f"{layer.nonfinite} values become NaN or infinite here{call}",
                evidence={"nonfinite": layer.nonfinite, "operation": first[0] if first else "", "cause": "nonfinite"},
            )
