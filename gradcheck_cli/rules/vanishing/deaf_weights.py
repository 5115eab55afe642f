"""The layer's output is heard, but its weights hear hardly anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.readings import LayerReading
from gradcheck_cli.records import Verdict
from gradcheck_cli.rules import depth
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View
from gradcheck_cli.rules.wording import confidence, number


class DeafWeights:
    """The layer's output is heard, but its weights hear hardly anything: the signal is lost inside the layer.

    What it measures. U·‖W‖ of every weight matrix: how much a relative change of the weights moves the output. U is the norm
    of ∂(v·out)/∂W over that of the random question v. Ill if it is below the threshold for all of the layer's matrices.

    Why it matters. The transmission is read at a layer's output; a saturated gate inside a fused LSTM, or a scale inside a
    module, is behind it and does not show there.

    Remedy. Re-initialise the layer; for LSTM, forget-gate bias 1 and smaller weights; normalise its inputs.

    Source. Philipp et al. 2018 (gradients relative to their weights).

    Ill.

        model = nn.LSTM(4, 16, batch_first=True)
        nn.init.constant_(model.bias_ih_l0[:16], -30)
        data = torch.randn(128, 10, 4)
        # GC107 at (model)

    Healthy.

        model = nn.LSTM(4, 16, batch_first=True)
        nn.init.constant_(model.bias_ih_l0[:16], 0)
        data = torch.randn(128, 10, 4)
    """

    code: ClassVar[str] = "GC107"
    name: ClassVar[str] = "deaf-weights"
    verdict: ClassVar[Verdict] = Verdict.VANISHING

    def check(self, view: View) -> Iterator[Hit]:
        """Hit layers that are heard while none of their matrices is."""
        if not view.finite:
            return
        faded = {name for ailment in depth.fading(view) for name in ailment.layers}
        deaf: list[str] = []
        for layer in view.parametric:
            if faded & view.ancestors[layer.name]:
                continue  # its input has faded on the way here; that is told where it began
            influence = _influence(view, layer)
            heard = view.faint(layer) > view.thresholds.bottleneck and not view.gated(layer)
            if influence is None or not heard or influence / view.question >= view.thresholds.deaf_weights:
                continue
            before = tuple(name for name in deaf if name in view.ancestors[layer.name])
            deaf.append(layer.name)
            yield Hit(
                layer=layer.name,
                culprit=not before,  # what a closed gate hands on is as small as what its own weights hear
                because_of=before,
                confidence=confidence(influence, view.thresholds.deaf_weights),
                message=f"its output is heard, but its weights are not: U·‖W‖ is {number(influence)} at most",
                evidence={"influence": influence, "cause": "saturation"},
            )


def _influence(view: View, layer: LayerReading) -> float | None:
    """The largest U·‖W‖ of its matrices; None where a zero, a gate or a missing reading says more."""
    matrices = [weight for weight in layer.weights if not view.scale(weight)]
    found = [w.signal * w.norm for w in matrices if w.reached and w.signal and w.norm and not w.structural]
    opens = any(w.opened_signal for w in matrices if not w.signal or not w.norm)
    return max(found) if found and not opens else None
