"""A small, or large, transmission that the size of the values undoes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.records import Verdict
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View
from gradcheck_cli.rules.wording import number


class UndoneScale:
    """A small, or large, transmission that the size of the values undoes.

    The transmission alone would look ill, but the layer's values are as large as it is small (or the other way round): a scale
    that its neighbours undo.

    Source. The method's look-alikes: attenuation that linear algebra undoes.

    Said.

        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
        scale = 1e6
        for parameter in model[0].parameters():
            parameter.data *= scale
        model[2].weight.data /= scale
        # GC912 at 0

    Not said.

        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
        scale = 2
        for parameter in model[0].parameters():
            parameter.data *= scale
        model[2].weight.data /= scale
    """

    code: ClassVar[str] = "GC912"
    name: ClassVar[str] = "undone-scale"
    verdict: ClassVar[Verdict] = Verdict.HEALTHY

    def check(self, view: View) -> Iterator[Hit]:
        """Note the layers concerned."""
        limits = view.thresholds
        for layer in view.readings.layers:
            t = layer.transmission
            if not t or not view.finite:
                continue
            if (
                t / view.question < limits.vanishing < view.faint(layer)
                or view.loud(layer) < limits.burst < limits.exploding < t
            ):
                yield Hit(
                    layer=layer.name,
                    message=f"T is {number(t)}, undone by values of size {number(layer.output_rms or 0.0)}",
                    evidence={"transmission": t, "output_rms": layer.output_rms or 0.0},
                )
