"""The signal grows through time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.records import Verdict
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View
from gradcheck_cli.rules.wording import confidence, number


class TimeGrowth:
    """The signal grows through time: a recurrent layer's first step gets far more than its last.

    What it measures. As GC104, with the largest gradient of the hidden state at any step over that one step before the last.

    Why it matters. One long sequence throws the weights far away.

    Remedy. Clip gradients by norm, orthogonal recurrent weights, truncated back-propagation, gated cells.

    Source. Pascanu et al. 2013.

    Ill.

        model = nn.RNN(4, 16, nonlinearity="relu", batch_first=True)
        nn.init.orthogonal_(model.weight_hh_l0, gain=3)
        data = torch.randn(128, 30, 4)
        # GC203 at (model)

    Healthy.

        model = nn.RNN(4, 16, nonlinearity="relu", batch_first=True)
        nn.init.orthogonal_(model.weight_hh_l0)
        data = torch.randn(128, 30, 4)
    """

    code: ClassVar[str] = "GC203"
    name: ClassVar[str] = "time-growth"
    verdict: ClassVar[Verdict] = Verdict.EXPLODING

    def check(self, view: View) -> Iterator[Hit]:
        """Hit recurrent layers whose hidden state gets an exploding gradient."""
        for layer in view.readings.layers:
            time = layer.time
            if time is None or not view.finite or not time.largest > view.thresholds.time_explosion:
                continue
            yield Hit(
                layer=layer.name,
                culprit=True,
                confidence=confidence(view.thresholds.time_explosion, time.largest),
                message=f"the gradient grows by a factor of {number(time.gain)} per time step, to {number(time.largest)} "
                f"over {time.steps} steps",
                evidence={"largest": time.largest, "gain": time.gain, "steps": time.steps, "cause": "time"},
            )
