"""The signal fades through time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.readings import LayerReading
from gradcheck_cli.records import Verdict
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View
from gradcheck_cli.rules.wording import confidence, number


class TimeDecay:
    """The signal fades through time: a recurrent layer's last step hardly hears its first.

    What it measures. The last time step alone gets a random question; the gradient of the hidden state is read at every earlier
    step. Ill if the first step's share of it is below the threshold, and, for LSTM and GRU, whose gates open in training, if it
    also fades faster than a half-open forget gate explains.

    Why it matters. What happened early in the sequence cannot be learned; only the last few steps teach the layer.

    Remedy. LSTM or GRU cells, forget-gate bias 1, orthogonal recurrent weights, truncated back-propagation through time.

    Source. Pascanu et al. 2013: vanishing if the largest singular value of the recurrent weight is below 1/γ.

    Ill.

        model = nn.RNN(4, 16, batch_first=True)
        nn.init.orthogonal_(model.weight_hh_l0, gain=0.3)
        data = torch.randn(128, 40, 4)
        # GC104 at (model)

    Healthy.

        model = nn.RNN(4, 16, batch_first=True)
        nn.init.orthogonal_(model.weight_hh_l0)
        data = torch.randn(128, 40, 4)
    """

    code: ClassVar[str] = "GC104"
    name: ClassVar[str] = "time-decay"
    verdict: ClassVar[Verdict] = Verdict.VANISHING

    def check(self, view: View) -> Iterator[Hit]:
        """Hit recurrent layers whose first step is out of reach."""
        for layer in view.readings.layers:
            time = layer.time
            if time is None or not view.finite or not layer.trainable or not time.reach < view.thresholds.time_reach:
                continue
            if half_open(view, layer):
                continue
            yield Hit(
                layer=layer.name,
                culprit=True,
                confidence=confidence(time.reach, view.thresholds.time_reach),
                message=f"the gradient fades by a factor of {number(time.gain)} per time step: after {time.heard} of "
                f"{time.steps} steps it is below a thousandth, and the first step gets {number(time.reach)}",
                evidence={
                    "reach": time.reach,
                    "gain": time.gain,
                    "steps": time.steps,
                    "heard": time.heard,
                    "cause": "time",
                },
            )


def half_open(view: View, layer: LayerReading) -> bool:
    """Its first step is out of reach for no other reason than forget gates that are half open, as they begin."""
    time = layer.time
    faint = time is not None and layer.trainable and time.reach < view.thresholds.time_reach
    return time is not None and faint and _gated(layer) and time.gain >= view.thresholds.gated_time_gain


def _gated(layer: LayerReading) -> bool:
    return any(word in layer.kind for word in ("LSTM", "GRU"))
