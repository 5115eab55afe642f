"""The signal fades over depth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.records import Verdict
from gradcheck_cli.rules import depth
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View
from gradcheck_cli.rules.wording import confidence, listing, number


class DepthDecay:
    """The signal fades over depth: what the output asks for hardly arrives at this layer.

    What it measures. A random question (entries ±1) is put to the output and back-propagated; the transmission T is what of it
    arrives at a layer's output. The layer is ill if T, and T times the size of the layer's values, are below the threshold, and
    so are those of all layers in front of it: a weak side branch beside a healthy trunk is no fault. No loss enters, so a
    converged model or a small loss weight does not matter. Layers behind a gate that opens by itself are not judged.

    Why it matters. Plain gradient descent moves the layer that much more slowly; the layers near the output learn, those near
    the input stay random.

    Remedy. Activations with a slope near 1 (ReLU family, tanh instead of sigmoid), initialisation by activation (He, Xavier),
    residual connections, normalisation layers, fewer layers.

    Source. Glorot & Bengio 2010; He et al. 2015; Schoenholz et al. 2017 (χ is the gain of the squared gradient a layer).

    Ill.

        layers = []
        for _ in range(12):
            layers += [nn.Linear(16, 16), nn.Sigmoid()]
        model = nn.Sequential(*layers, nn.Linear(16, 2))
        # GC101 at 0

    Healthy.

        layers = []
        for _ in range(12):
            layers += [nn.Linear(16, 16), nn.Tanh()]
        model = nn.Sequential(*layers, nn.Linear(16, 2))
    """

    code: ClassVar[str] = "GC101"
    name: ClassVar[str] = "depth-decay"
    verdict: ClassVar[Verdict] = Verdict.VANISHING

    def check(self, view: View) -> Iterator[Hit]:
        """Hit every layer that hears too little; where no layer did it alone, the one nearest the output is where it starts."""
        for ailment in depth.fading(view):
            alone = [share.layer for share in ailment.culprits]
            start = alone or [ailment.start]
            worst = min(view.faint(view.layers[name]) for name in ailment.layers)
            reason, activation = depth.loudest_cause(ailment.descent, -1)
            for name in ailment.layers:
                if name in alone:
                    continue
                layer = view.layers[name]
                here = name == ailment.start and not alone
                behind = [culprit for culprit in start if culprit in view.descendants[name]]
                yield Hit(
                    layer=name,
                    culprit=here,
                    because_of=() if here else tuple(behind or start),
                    confidence=confidence(worst if here else view.faint(layer), view.thresholds.vanishing),
                    message=_message(layer.transmission or 0.0, ailment.descent, reason, activation, here, start),
                    evidence={
                        "transmission": layer.transmission or 0.0,
                        "factor_per_layer": depth.rate(ailment.descent),
                        "cause": reason,
                        "activation": activation,
                    },
                )


def _message(t: float, descent: depth.Descent, reason: str, activation: str, here: bool, start: list[str]) -> str:
    if not here:
        return f"hears {number(t)} of what the output asks, because of {listing(start)}"
    by = f"the slope of {activation}" if reason == "activation-slope" and activation else "the scale of the weights"
    return (
        f"the signal fades by a factor of {number(depth.rate(descent))} per layer, mostly by {by}; "
        f"from here to the input hardly anything arrives (T = {number(t)})"
    )
