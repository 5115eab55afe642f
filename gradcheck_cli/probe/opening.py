"""Gates: parameters that are zero, or tiny scales, and shut a path, while they themselves hear the loss well.

A zero-initialised branch or head, LayerScale, or LoRA's B opens by itself in a step or two. Whether a small reading comes
from such a gate is tested, not guessed: the gates are opened in place, the same batch is measured again, and the gates are
put back. What stays silent behind open gates was not gated.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

import torch

from gradcheck_cli.probe.statistics import square_sum
from gradcheck_cli.probe.tape import Operation, Tape

TINY_SCALE = 1e-2
"""A scale vector whose root mean square is below this counts as a gate. LayerScale begins at 1e-6 … 1e-4, ReZero at 0. So
does the model's last matrix if it passes less than this share of the signal: a small head hears the loss at full strength."""

HEARD = 1e-5
"""Learning signal U above which a gate opens by itself; two gates in series hear nothing and stay shut."""

_SCALES = frozenset({"NativeBatchNorm", "NativeLayerNorm", "NativeGroupNorm", "FusedRmsNorm", "CudnnBatchNorm"})
_NORM_WEIGHT_SLOT = 1
_MATRICES = frozenset({"Addmm", "Mm", "Bmm", "Convolution", "Linear", "Baddbmm", "Mv", "Addmv"})


def gates(
    tape: Tape, parameters: Mapping[str, torch.Tensor], signals: Mapping[str, float], bypassed: Collection[str]
) -> dict[str, float]:
    """The parameters that shut a path and hear the output well themselves, each with what it is opened to.

    That is 1 for a scale, and 0 for a matrix, which is drawn.

    A matrix that is tiny but not zero is a gate only at the model's end, or where another path goes around it: on the only
    path it starves all that is in front of it.
    """
    found: dict[str, float] = {}
    last = _last(tape)
    for index, operation in enumerate(tape.operations):
        for name, slot in zip(operation.parameters, operation.parameter_slots, strict=True):
            weight = parameters.get(name)
            if weight is None or name in found or not signals.get(name, 0.0) > HEARD:
                continue
            if _is_gate(operation, slot, weight.detach(), tiny=index in last or name in bypassed):
                found[name] = 0.0 if operation.name in _MATRICES else 1.0
    return found


def _is_gate(operation: Operation, slot: int, weight: torch.Tensor, *, tiny: bool) -> bool:
    if operation.name in _MATRICES and weight.ndim >= 2:
        return not weight.any() or (tiny and _scale(weight) * weight[0].numel() ** 0.5 < TINY_SCALE)
    scales = operation.name == "Mul" or (operation.name in _SCALES and slot == _NORM_WEIGHT_SLOT)
    return scales and bool(operation.inputs) and _scale(weight) < TINY_SCALE


def _scale(weight: torch.Tensor) -> float:
    """Root mean square of the elements."""
    return math.sqrt(square_sum(weight) / max(1, weight.numel()))


def _last(tape: Tape) -> set[int]:
    """Operations behind which nothing comes but rearrangements: the model's heads."""
    inner = {
        tape.source(edge)[0]
        for operation in tape.operations
        if not operation.isometric and operation.name != "Add"
        for edge in operation.inputs
    }
    return set(range(len(tape.operations))) - inner


@contextmanager
def opened(
    parameters: Mapping[str, torch.Tensor], found: Mapping[str, float], generator: torch.Generator
) -> Iterator[None]:
    """Open gates in place: scales become 1, matrices N(0, 1/fan_in); put back at the end, whatever happens."""
    kept = {name: parameters[name].detach().clone() for name in found}
    try:
        with torch.no_grad():
            for name, value in found.items():
                parameters[name].copy_(_drawn(parameters[name], generator) if value == 0.0 else torch.tensor(value))
        yield
    finally:
        with torch.no_grad():
            for name, weight in kept.items():
                parameters[name].copy_(weight)


def _drawn(weight: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    fan_in = max(1, weight[0].numel())
    drawn: torch.Tensor = torch.randn(weight.shape, generator=generator) / fan_in**0.5
    return drawn.to(device=weight.device, dtype=weight.dtype)
