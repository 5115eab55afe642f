"""No path leads from the loss to this layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.readings import LayerReading
from gradcheck_cli.records import Verdict
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View


class CutPath:
    """The layer runs, but no path leads from the output back to its parameters.

    What it measures. The tape: what the outputs depend on. Where a layer that ran is not on it, a second, watched pass finds the
    call at which the path ends: `detach`, `argmax`, `.data`, `torch.no_grad`, a result that is never used.

    Why it matters. The layer gets no gradient at all, so it stays as it was initialised for ever.

    Remedy. Remove the call, use a straight-through estimator for round and argmax, or return the result.

    Source. PyTorch's autograd notes; the method's symptom 'cut paths'.

    Ill.

        class Sign(nn.Module):
            def forward(self, x):
                return x.sign().detach()
        model = nn.Sequential(nn.Linear(8, 16), Sign(), nn.Linear(16, 2))
        # GC302 at 0

    Healthy.

        class Sign(nn.Module):
            def forward(self, x):
                return x + (x.sign() - x).detach()
        model = nn.Sequential(nn.Linear(8, 16), Sign(), nn.Linear(16, 2))
    """

    code: ClassVar[str] = "GC302"
    name: ClassVar[str] = "cut-path"
    verdict: ClassVar[Verdict] = Verdict.DEAD

    def check(self, view: View) -> Iterator[Hit]:
        """Hit every layer that ran unheard; the one nearest to the cut is where it starts, and a module that only cuts."""
        for stop in view.readings.cuts:
            if stop.leaf and stop.where in view.layers:
                yield Hit(
                    layer=stop.where,
                    culprit=True,
                    message=f"{stop.operation} cuts the path to {len(stop.behind)} layers in front of it",
                    evidence={"operation": stop.operation, "where": stop.where, "cause": "cut"},
                )
        for layer in view.parametric:
            if not layer.called or layer.reached or not _lost(layer):
                continue
            cut = next((cut for cut in view.readings.cuts if layer.name in cut.behind), None)
            if cut is None and layer.container:
                continue  # it ran, but nothing says that its own parameters were read
            here = cut is None or cut.behind[0] == layer.name
            where = f"{cut.operation} in {cut.where or 'the model itself'}" if cut else "its result is never used"
            yield Hit(
                layer=layer.name,
                culprit=here,
                because_of=() if cut is None or here else (cut.behind[0],),
                confidence=1.0 if cut else 0.8,
                message=f"no path leads back from the output: {where}" + (" cuts it" if cut else ""),
                evidence={"operation": cut.operation if cut else "", "where": cut.where if cut else "", "cause": "cut"},
            )


def _lost(layer: LayerReading) -> bool:
    trained = [p for p in layer.parameters if p.trainable]
    return bool(trained) and not any(p.reached for p in trained)
