"""The loss asks for nothing any more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.readings import LayerReading
from gradcheck_cli.records import Verdict
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View


class Converged:
    """The loss asks for nothing any more.

    The loss gradients are tiny relative to the weights while the loss-free signal is healthy: the model has learned its sample.

    Source. The method's look-alikes: transmission is loss-free.

    Said.

        model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 2))
        inputs = torch.randn(128, 8)
        data = inputs, model(inputs).detach()
        # GC903 at 0

    Not said.

        model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 2))
        inputs = torch.randn(128, 8)
        data = inputs, torch.randn(128, 2)
    """

    code: ClassVar[str] = "GC903"
    name: ClassVar[str] = "converged"
    verdict: ClassVar[Verdict] = Verdict.HEALTHY

    def check(self, view: View) -> Iterator[Hit]:
        """Note the layers concerned."""
        if is_converged(view):
            for layer in _moving(view):
                yield Hit(layer=layer.name, message="converged: the loss hardly asks it to move, though it hears well")


def is_converged(view: View) -> bool:
    """The loss asks no layer to move, though all hear the output."""
    known = view.readings.loss is not None and view.finite
    return known and all(_content(view, layer) for layer in _moving(view))


def _moving(view: View) -> list[LayerReading]:
    return [layer for layer in view.parametric if any(w.signal and w.norm for w in layer.weights)]


def _content(view: View, layer: LayerReading) -> bool:
    """The output is heard well, and the loss asks for nothing."""
    weights = [w for w in layer.weights if w.signal and w.norm]
    quiet = all((w.loss_gradient or 0.0) < view.thresholds.converged * w.norm for w in weights)
    return quiet and (layer.transmission or 0.0) > view.thresholds.bottleneck
