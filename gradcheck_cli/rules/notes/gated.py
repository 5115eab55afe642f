"""A gate shuts the path, and opens by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.records import Verdict
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View
from gradcheck_cli.rules.wording import listing


class Gated:
    """A gate shuts the path, and opens by itself.

    A parameter that is zero, or a tiny scale, shuts the path to this layer, and hears the output well itself: it opens in a step
    or two. Zero-initialised residual branches and heads, LayerScale, LoRA's B.

    What it measures. The same batch once more with the gates open: the layer then hears the output.

    Source. Goyal et al. 2017 (zero-initialised gain), Touvron et al. 2021 (LayerScale), Hu et al. 2021 (LoRA), Zhang et al. 2019.

    Said.

        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
        nn.init.zeros_(model[2].weight)
        # GC902 at 0

    Not said.

        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
        nn.init.xavier_normal_(model[2].weight)
    """

    code: ClassVar[str] = "GC902"
    name: ClassVar[str] = "gated"
    verdict: ClassVar[Verdict] = Verdict.HEALTHY

    def check(self, view: View) -> Iterator[Hit]:
        """Note the layers concerned."""
        gates = list(view.readings.gates)
        for layer in view.readings.layers:
            opens = any(not p.signal and p.opened_signal for p in layer.parameters if p.signal is not None)
            if view.gated(layer) or opens:
                yield Hit(
                    layer=layer.name,
                    message=f"gated by {listing(gates)}, which {'opens' if len(gates) == 1 else 'open'} without help",
                    evidence={
                        "gates": gates,
                        "opened_transmission": layer.opened_transmission or 0.0,
                    },
                )
