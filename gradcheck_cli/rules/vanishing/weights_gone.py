"""The weights of a layer are almost zero."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.records import Verdict
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View
from gradcheck_cli.rules.wording import number


class WeightsGone:
    """The weights of this layer are almost zero: they have shrunk away, or were scaled away.

    What it measures. The root mean square of a weight matrix's elements, where it is not exactly zero (an exact zero is judged by
    what hears it: a gate or a cut).

    Why it matters. Neither values nor gradients pass; no usual initialisation and no healthy training gives such weights.

    Remedy. Re-initialise the layer; less weight decay; look at the learning rate that drove it there.

    Source. The method's symptom 'weights tend to 0'.

    Ill.

        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16),
                              nn.ReLU(), nn.Linear(16, 2))
        nn.init.normal_(model[2].weight, std=1e-9)
        # GC106 at 2

    Healthy.

        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16),
                              nn.ReLU(), nn.Linear(16, 2))
        nn.init.kaiming_normal_(model[2].weight)
    """

    code: ClassVar[str] = "GC106"
    name: ClassVar[str] = "weights-gone"
    verdict: ClassVar[Verdict] = Verdict.VANISHING

    def check(self, view: View) -> Iterator[Hit]:
        """Hit layers with a matrix of vanishing size."""
        bottleneck = view.thresholds.bottleneck
        for layer in view.parametric:
            if view.gated(layer) or any(
                view.faint(view.layers[name]) > bottleneck for name in view.ancestors[layer.name]
            ):
                continue  # a gate, or a small branch beside a healthy trunk: it grows by itself
            for weight in layer.weights:
                rms = weight.norm / max(1, weight.size) ** 0.5
                if 0.0 < rms < view.thresholds.zero_weight and not view.scale(weight):
                    yield Hit(
                        layer=layer.name,
                        culprit=True,
                        confidence=0.9,
                        message=f"the weights of {weight.name} are almost zero: {number(rms)} per element",
                        evidence={"weight_rms": rms, "cause": "weight-scale"},
                    )
                    break
