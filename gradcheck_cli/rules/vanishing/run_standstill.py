"""Over the run, a layer hardly moved."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.records import Verdict
from gradcheck_cli.rules import run
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View
from gradcheck_cli.rules.wording import number


class RunStandstill:
    """Over the checkpoints of the run, other layers learned and this one hardly moved.

    What it measures. Σ‖W − W of the checkpoint before‖ over ‖W‖ at the first, where three or more were given. Ill if a layer
    went less than a hundred-thousandth of its weights, though not exactly 0 (that is note GC915), while another went a hundredth.

    Why it matters. It was trained and got next to no gradient: the layers behind it work on features as random as at the start.

    Remedy. What answers a vanishing signal: normalisation, residual connections, He initialisation, other activations.

    Source. The method's symptom 'layers near the output change, layers near the input hardly do'.

    Ill.

        from copy import deepcopy
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
        checkpoints = []
        for _ in range(4):
            checkpoints.append(deepcopy(model))
            model[0].weight.data += 1e-7 * torch.randn(16, 8)
            model[2].weight.data += 1e-2 * torch.randn(2, 16)
        # GC112 at 0

    Healthy.

        from copy import deepcopy
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
        checkpoints = []
        for _ in range(4):
            checkpoints.append(deepcopy(model))
            model[0].weight.data += 1e-2 * torch.randn(16, 8)
            model[2].weight.data += 1e-2 * torch.randn(2, 16)
    """

    code: ClassVar[str] = "GC112"
    name: ClassVar[str] = "run-standstill"
    verdict: ClassVar[Verdict] = Verdict.VANISHING

    def check(self, view: View) -> Iterator[Hit]:
        """Hit such layers; the one nearest the output is where it starts."""
        lengths = {layer.name: run.path_length(view, layer) for layer in view.parametric if layer.weights}
        known = {name: length for name, length in lengths.items() if length is not None}
        furthest = max(known.values(), default=0.0)
        ill = [name for name, length in known.items() if 0.0 < length < view.thresholds.run_still]
        if furthest < view.thresholds.run_moved:
            return
        for name in ill:
            yield Hit(
                layer=name,
                culprit=name == ill[-1],
                because_of=() if name == ill[-1] else (ill[-1],),
                confidence=0.85,
                message=f"it moved by {number(known[name])} of its weights over {run.span(view)}, another layer by "
                f"{number(furthest)}",
                evidence={"moved": known[name], "furthest": furthest, "cause": "depth"},
            )
