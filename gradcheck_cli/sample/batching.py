"""Cuts one call of the model into batches along the first dimension, in order from the start."""

from __future__ import annotations

from typing import Any

import torch

from gradcheck_cli.errors import SampleError
from gradcheck_cli.records import Batch
from gradcheck_cli.sample.matching import Call
from gradcheck_cli.sample.stored import with_values
from gradcheck_cli.tensors import leaves, map_tensors


def cut(call: Call, batch_size: int, batches: int) -> list[Batch]:
    """Return at most `batches` batches of `batch_size` samples; the last may be smaller.

    Inputs whose first dimensions differ are not cut: they are one batch. Nor are time-major ones, ``(S, B, …)``, which
    show by a target of ``B`` samples. Single numbers are given to every batch.

    Raises:
        SampleError: ``target-does-not-fit`` where the target has another number of samples.
    """
    samples = _samples(call)
    if samples is None or _is_time_major(call, samples):
        return [whole(call)]
    _check_target(call.target, samples)
    call = _read(call, batch_size * batches)
    starts = range(0, samples, batch_size)[:batches]
    return [_piece(call, start, min(start + batch_size, samples)) for start in starts]


def whole(call: Call) -> Batch:
    """Return the call as one batch; its size is the target's first dimension, or the first input's."""
    call = _read(call)
    inputs = _arrays((call.args, call.kwargs))
    targets = _arrays(call.target)
    first = (targets or inputs or [torch.zeros(1)])[0]
    return Batch(call.args, call.kwargs, call.target, size=int(first.shape[0]))


def _read(call: Call, rows: int | None = None) -> Call:
    """Return the call with what is still on disk read, at most the first `rows` rows of each array."""
    target = with_values(call.target, rows)
    kwargs = {name: target if value is call.target else with_values(value, rows) for name, value in call.kwargs.items()}
    return Call(with_values(call.args, rows), kwargs, target)


def _arrays(obj: Any) -> list[torch.Tensor]:
    return [tensor for tensor in leaves(obj) if tensor.dim()]


def _samples(call: Call) -> int | None:
    sizes = {int(tensor.shape[0]) for tensor in _arrays((call.args, _without_target(call)))}
    return sizes.pop() if len(sizes) == 1 else None


def _without_target(call: Call) -> dict[str, Any]:
    return {name: value for name, value in call.kwargs.items() if value is not call.target}


def _is_time_major(call: Call, samples: int) -> bool:
    targets, inputs = _arrays(call.target), _arrays((call.args, _without_target(call)))
    if not targets or not inputs or targets[0].shape[0] == samples:
        return False
    return inputs[0].dim() >= 3 and inputs[0].shape[1] == targets[0].shape[0]


def _check_target(target: Any, samples: int) -> None:
    for tensor in leaves(target):
        count = int(tensor.shape[0]) if tensor.dim() else None
        if count != samples:
            have = "is a single number" if count is None else f"has {count} samples"
            message = f"the target {have}, and the inputs have {samples} samples"
            raise SampleError("target-does-not-fit", message, hint="give one target for each sample")


def _piece(call: Call, start: int, stop: int) -> Batch:
    def rows(tensor: torch.Tensor) -> torch.Tensor:
        return tensor[start:stop] if tensor.dim() else tensor

    args, kwargs, target = map_tensors(rows, (call.args, call.kwargs, call.target))
    return Batch(args, kwargs, target, size=stop - start)
