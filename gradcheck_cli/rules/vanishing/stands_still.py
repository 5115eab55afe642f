"""Layers near the output change, this one does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.readings import LayerRehearsal
from gradcheck_cli.records import Verdict
from gradcheck_cli.rules import course
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View
from gradcheck_cli.rules.wording import number


class StandsStill:
    """While other layers change, this one stands still: its steps are smaller than what its weights can hold.

    What it measures. The rehearsal, at the rate given: how far each layer went, Σ‖ΔW‖/‖W‖. A layer stands still if it went
    less than a millionth of its weights, about the rounding of float32, while a layer behind it went at least ten thousand
    times as far. Frozen and gated layers, embeddings, and layers whose weights are zero are not judged.

    Why it matters. Layers near the output learn from features that the layers near the input never improve.

    Remedy. What answers a signal that decays over depth: normalisation, residual connections, He initialisation, other activations.

    Source. The method's symptom 'layers near the output change, layers near the input hardly do'.

    Ill.

        layers = []
        for _ in range(6):
            layers += [nn.Linear(16, 16), nn.Sigmoid()]
        model = nn.Sequential(*layers, nn.Linear(16, 1))
        data = torch.randn(128, 16), torch.randn(128, 1)
        options = dict(lr=0.001)
        # GC108 at 0

    Healthy.

        layers = []
        for _ in range(6):
            layers += [nn.Linear(16, 16), nn.Tanh()]
        model = nn.Sequential(*layers, nn.Linear(16, 1))
        data = torch.randn(128, 16), torch.randn(128, 1)
        options = dict(lr=0.001)
    """

    code: ClassVar[str] = "GC108"
    name: ClassVar[str] = "stands-still"
    verdict: ClassVar[Verdict] = Verdict.VANISHING

    def check(self, view: View) -> Iterator[Hit]:
        """Hit layers that stand still; the one nearest the output is where it starts."""
        ran = course.chosen(view)
        if ran is None or not view.finite or not ran.steps:
            return
        limits = view.thresholds
        judged = [layer for layer in ran.layers if _counts(view, layer)]
        still = [layer for layer in judged if layer.moved < limits.still]
        ill = [
            (layer, far)
            for layer in still
            if (far := _furthest_behind(view, judged, layer)) > limits.still_ratio * max(layer.moved, limits.still / 10)
        ]
        for layer, far in ill:
            start = ill[-1][0].name
            yield Hit(
                layer=layer.name,
                culprit=layer.name == start,
                because_of=() if layer.name == start else (start,),
                confidence=0.8,
                message=f"{ran.steps} steps of {ran.optimizer} move it by {number(layer.moved)} of its weights, and a layer behind "
                f"it by {number(far)}",
                evidence={"moved": layer.moved, "behind": far, "steps": ran.steps, "cause": "depth"},
            )


def _counts(view: View, layer: LayerRehearsal) -> bool:
    reading = view.layers[layer.name]
    heard = any(w.signal and w.loss_gradient for w in reading.weights)
    return heard and layer.norms[0] > 0.0 and not view.gated(reading) and "Embedding" not in reading.kind


def _furthest_behind(view: View, judged: list[LayerRehearsal], layer: LayerRehearsal) -> float:
    behind = view.descendants[layer.name]
    return max((other.moved for other in judged if other.name in behind), default=0.0)
