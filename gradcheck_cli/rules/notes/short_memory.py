"""A gated recurrent layer begins with a memory shorter than the sample's sequences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.records import Verdict
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.vanishing.time_decay import half_open
from gradcheck_cli.rules.view import View
from gradcheck_cli.rules.wording import number


class ShortMemory:
    """A gated recurrent layer begins with a memory shorter than the sample's sequences.

    The forget gates of LSTM and GRU begin half open, which loses a factor of about 0.6 a step. Training opens them, as long as
    something can be learned from the last steps; what only the first of many steps tell will not be learned from here.

    What to do. Nothing, where the last steps matter most; else a forget-gate bias of 1 or more, attention, or a shorter way
    from the early steps to the loss.

    Source. Gers et al. 2000; Jozefowicz et al. 2015 (forget-gate bias 1).

    Said.

        model = nn.LSTM(4, 16, batch_first=True)
        data = torch.randn(32, 100, 4)
        # GC916 at (model)

    Not said.

        model = nn.LSTM(4, 16, batch_first=True)
        data = torch.randn(32, 10, 4)
    """

    code: ClassVar[str] = "GC916"
    name: ClassVar[str] = "short-memory"
    verdict: ClassVar[Verdict] = Verdict.HEALTHY

    def check(self, view: View) -> Iterator[Hit]:
        """Note the layers concerned."""
        for layer in view.readings.layers:
            time = layer.time
            if time is None or not view.finite or not half_open(view, layer):
                continue
            yield Hit(
                layer=layer.name,
                message=f"begins with a memory of about {time.heard} of {time.steps} steps: the first step gets "
                f"{number(time.reach)} of what the last asks",
                evidence={"heard": time.heard, "steps": time.steps, "reach": time.reach},
            )
