"""Over the run, weights shrank away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.records import Verdict
from gradcheck_cli.rules import run
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View
from gradcheck_cli.rules.wording import number


class RunShrinkage:
    """Over the checkpoints of the run, the weights of this layer shrank exponentially, towards 0.

    What it measures. ‖W‖ at every checkpoint, where three or more were given. Ill if the last is below a tenth of the first,
    and the last interval still took a twentieth. Weights in front of a normalisation layer are not judged: their scale is free.

    Why it matters. Weights that tend to 0 pass neither values nor gradients.

    Remedy. Less weight decay, a lower learning rate; re-initialise the layer.

    Source. The method's symptoms 'weights shrink exponentially' and 'weights tend to 0'.

    Ill.

        from copy import deepcopy
        first = nn.Linear(8, 16, bias=False)
        model = nn.Sequential(first, nn.ReLU(), nn.Linear(16, 2))
        checkpoints = []
        for _ in range(4):
            checkpoints.append(deepcopy(model))
            model[0].weight.data *= 0.3
        # GC111 at 0

    Healthy.

        from copy import deepcopy
        first = nn.Linear(8, 16, bias=False)
        model = nn.Sequential(first, nn.ReLU(), nn.Linear(16, 2))
        checkpoints = []
        for _ in range(4):
            checkpoints.append(deepcopy(model))
            model[0].weight.data *= 0.99
    """

    code: ClassVar[str] = "GC111"
    name: ClassVar[str] = "run-shrinkage"
    verdict: ClassVar[Verdict] = Verdict.VANISHING

    def check(self, view: View) -> Iterator[Hit]:
        """Hit every such layer; culprit is the one that shrank most."""
        left = {}
        for layer in view.parametric:
            values = run.norms(view, layer)
            shrinking = values and values[0] > 0 and values[-1] < view.thresholds.still_shrinking * values[-2]
            if shrinking and not _before_norm(view, layer.name):
                left[layer.name] = values[-1] / values[0]
        shrunk = {name: share for name, share in left.items() if share < view.thresholds.weight_shrinkage}
        most = min(shrunk, key=lambda name: shrunk[name], default="")
        for name, share in shrunk.items():
            yield Hit(
                layer=name,
                culprit=name == most,
                because_of=() if name == most else (most,),
                confidence=0.9,
                message=f"{number(share)} of its weights' norm is left over {run.span(view)}",
                evidence={"left": share, "checkpoints": len(view.readings.checkpoints), "cause": "learning-rate"},
            )


def _before_norm(view: View, name: str) -> bool:
    readers = [view.layers[reader].kind for reader in view.downstream[name]]
    return bool(readers) and all("Norm" in kind for kind in readers)
