"""In which checkpoint NaN or infinity came first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.readings import LayerAt
from gradcheck_cli.records import Verdict
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View


class FirstNonfinite:
    """The run became NaN or infinite: in this layer first, at the checkpoint named.

    What it measures. Parameters and outputs of every layer at every checkpoint.

    Why it matters. Everything after that checkpoint is lost; the one before it can still be used.

    Remedy. Go back to the checkpoint before; lower the learning rate, clip gradients, guard log, sqrt and division.

    Source. The method's symptom 'NaN first seen where', over checkpoints.

    Ill.

        from copy import deepcopy
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
        checkpoints = [deepcopy(model)]
        model[2].weight.data /= 0
        checkpoints.append(deepcopy(model))
        # GC214 at 2

    Healthy.

        from copy import deepcopy
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
        checkpoints = [deepcopy(model)]
        model[2].weight.data /= 2
        checkpoints.append(deepcopy(model))
    """

    code: ClassVar[str] = "GC214"
    name: ClassVar[str] = "first-nonfinite"
    verdict: ClassVar[Verdict] = Verdict.EXPLODING

    def check(self, view: View) -> Iterator[Hit]:
        """Hit the first layer, in forward order, of the first checkpoint that is not finite."""
        checkpoints = view.readings.checkpoints
        for place, checkpoint in enumerate(checkpoints):
            bad = [layer.name for layer in view.readings.layers if _nonfinite(checkpoint.layers, layer.name)]
            if bad:
                before = f"; {checkpoints[place - 1].name} was finite" if place else ""
                yield Hit(
                    layer=bad[0],
                    culprit=True,
                    message=f"NaN or infinite first in {checkpoint.name}{before}",
                    evidence={"checkpoint": checkpoint.name, "layers": len(bad), "cause": "nonfinite"},
                )
                return


def _nonfinite(layers: dict[str, LayerAt], name: str) -> bool:
    return name in layers and layers[name].nonfinite > 0
