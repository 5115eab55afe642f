"""Over the run, a layer did not move at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.records import Verdict
from gradcheck_cli.rules import run
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View


class NeverMoved:
    """Over the checkpoints of the run, this layer did not move at all, while others did.

    Its weights are the same to the last bit in all of them: it was frozen, or left out of the optimiser. Weights that a cut path or
    dead units keep still are findings of their own.

    Source. The method's symptom 'layers that never moved'.

    Said.

        from copy import deepcopy
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
        checkpoints = []
        for _ in range(3):
            checkpoints.append(deepcopy(model))
            for each in (model[2],):
                each.weight.data += 1e-2 * torch.randn_like(each.weight)
        # GC915 at 0

    Not said.

        from copy import deepcopy
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
        checkpoints = []
        for _ in range(3):
            checkpoints.append(deepcopy(model))
            for each in (model[0], model[2]):
                each.weight.data += 1e-2 * torch.randn_like(each.weight)
    """

    code: ClassVar[str] = "GC915"
    name: ClassVar[str] = "never-moved"
    verdict: ClassVar[Verdict] = Verdict.HEALTHY

    def check(self, view: View) -> Iterator[Hit]:
        """Note the layers concerned."""
        lengths = {layer.name: run.path_length(view, layer) for layer in view.parametric if layer.weights}
        if not any(lengths.values()):
            return
        for name, length in lengths.items():
            if length == 0.0:
                yield Hit(
                    layer=name, message="the same to the last bit in every checkpoint: frozen, or not in the optimiser"
                )
