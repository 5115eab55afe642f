"""How loudly the output is heard by *relative* changes of a layer's values: ‖∂(v·out)/∂y ⊙ y‖, element by element.

A transmission far above 1 is no fault where the values are small by as much, as in front of a normalisation, whose slope is one
over the size of what it gets. Values and gradients meet in each element: in a batch of patches the class token may begin at zero
and take all of the gradient. Only layers that are loud are looked at, on one batch, since their values must be kept for it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from gradcheck_cli.probe.batch import Run, Subject, forward, transmission
from gradcheck_cli.probe.layers import plan_layers
from gradcheck_cli.probe.statistics import square_sum
from gradcheck_cli.probe.tape import Edge, Tape
from gradcheck_cli.probe.totals import Totals
from gradcheck_cli.records import Batch
from gradcheck_cli.tensors import leaves

LOUD = 10.0
"""Above this transmission it is worth asking."""

_Key = tuple[Any, int]
"""(autograd node, number of its output)."""


def look_at_loud(subject: Subject, batch: Batch, totals: Totals, promoted: Collection[int]) -> None:
    """Add to one batch's `totals` what its loud layers hear, weighted by their values, where all that they hand on is seen."""
    loud = [name for name, layer in totals.layers.items() if totals.relative(layer.out) > LOUD]
    if loud and not totals.output_nonfinite:
        for name, transmission in _relative(subject, batch, loud, promoted).items():
            totals.layers[name].relative = transmission**2 * totals.question


def _relative(subject: Subject, batch: Batch, wanted: Collection[str], promoted: Collection[int]) -> dict[str, float]:
    with _Keeper() as keeper:
        run = forward(subject, batch)
    if not run.roots:
        return {}
    plan = plan_layers(run.tape, subject.owners, subject.tied, promoted)
    found = {layer.name: keeper.values(run.tape, layer.outputs) for layer in plan.layers if layer.name in wanted}
    keeper.kept.clear()
    return _asked(subject, run, {name: values for name, values in found.items() if values})


def _asked(subject: Subject, run: Run, layers: dict[str, list[tuple[_Key, torch.Tensor]]]) -> dict[str, float]:
    sums = dict.fromkeys(layers, 0.0)
    handles = [
        node.register_prehook(_reader(sums, name, number, value))
        for name, found in layers.items()
        for (node, number), value in found
    ]
    totals = Totals()
    try:
        transmission(subject, run, totals, 0, keep=False)
    finally:
        for handle in handles:
            handle.remove()
    return {name: totals.relative(total) for name, total in sums.items()}


def _reader(sums: dict[str, float], name: str, number: int, value: torch.Tensor) -> Callable[[Any], None]:
    def read(gradients: tuple[torch.Tensor | None, ...]) -> None:
        gradient = gradients[number]
        if gradient is not None and gradient.shape == value.shape:
            sums[name] += square_sum(gradient * value)

    return read


class _Keeper(TorchFunctionMode):
    """Keeps what every call returns, with the version it had then: what is overwritten later is not what was returned."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[_Key, tuple[torch.Tensor, int]] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        for tensor in leaves(output):
            if isinstance(tensor, torch.Tensor) and tensor.grad_fn is not None:
                self.kept[tensor.grad_fn, tensor.output_nr] = (tensor.detach(), tensor._version)
        return output

    def values(self, tape: Tape, outputs: Collection[Edge]) -> list[tuple[_Key, torch.Tensor]]:
        """What was returned at each of `outputs`, or at the rearrangement that is all that reads it; empty if one is unknown."""
        seen: dict[Edge, tuple[_Key, torch.Tensor]] = {}
        for key, (value, version) in self.kept.items():
            if key[0] in tape.where and value._version == version:
                edge = (tape.where[key[0]], key[1])
                source = tape.source(edge)
                if source == edge or tape.operations[source[0]].consumers == 1:
                    seen[source] = (key, value)
        return [seen[edge] for edge in outputs] if all(edge in seen for edge in outputs) else []
