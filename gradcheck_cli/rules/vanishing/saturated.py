"""Most units of a bounded activation sit where its slope is near 0."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.readings import LayerReading, Role
from gradcheck_cli.records import Verdict
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View


class SaturatedUnits:
    """Most units of a bounded activation (sigmoid, tanh, softmax) sit where its slope is near 0.

    What it measures. For each unit the share of samples and positions on which the slope is below 1 % of its maximum; the unit
    is saturated if that is nearly all of them (95 %), the layer ill if half of its units are. Gates (an output that multiplies
    another path: LSTM, GLU, squeeze-excite) are not judged: there saturation is a decision. So it is at the model's last
    activation, unless the rehearsal shows it to be a wrong one: the loss is no small one, and stands still.

    Why it matters. The units still answer, but hundreds of times too weakly; weights in front of them hardly move.

    Remedy. Smaller weights in front (Xavier), normalised inputs, normalisation before the activation, ReLU in place of sigmoid.

    Source. Glorot & Bengio 2010.

    Ill.

        model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 2))
        nn.init.normal_(model[0].weight, std=100)
        # GC103 at 0

    Healthy.

        model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 2))
        nn.init.xavier_normal_(model[0].weight)
    """

    code: ClassVar[str] = "GC103"
    name: ClassVar[str] = "saturated-units"
    verdict: ClassVar[Verdict] = Verdict.VANISHING

    def check(self, view: View) -> Iterator[Hit]:
        """Hit the layer whose units these are."""
        for layer in view.readings.layers:
            units = layer.units
            if (
                units is None
                or not units.bounded
                or layer.multiplied
                or (layer.final and not view.stuck)
                or not units.units
                or not view.finite
            ):
                continue
            share = len(units.saturated) / units.units
            if share < view.thresholds.saturated_share or units.seen < view.thresholds.evidence:
                continue
            yield Hit(
                layer=_whose(view, layer),
                culprit=True,
                confidence=min(1.0, 0.5 + share / 2),
                message=f"{len(units.saturated)} of {units.units} units are saturated: {layer.kind} {layer.name} has a slope "
                f"below 1 % of its maximum on at least 95 % of {units.seen} values each",
                evidence={
                    "saturated": share,
                    "units": list(units.saturated[:100]),
                    "seen": units.seen,
                    "cause": "saturation",
                    "activation": layer.kind,
                    "activation_layer": layer.name,
                },
            )


def _whose(view: View, layer: LayerReading) -> str:
    """The layer whose units these are; of a softmax over scores, the largest of the layers that the scores come from."""
    sources = [view.layers[name] for name in layer.upstream if view.layers[name].role is Role.PARAMETRIC]
    if layer.kind not in ("Softmax", "Attention") or not sources:
        return view.stage(layer)
    return max(sources, key=lambda source: source.output_rms or 0.0).name
