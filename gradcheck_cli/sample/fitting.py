"""Fits data to the model: the first reading of it that the model takes, in batches that it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from gradcheck_cli.errors import GradcheckError, SampleError
from gradcheck_cli.records import Batch, Subject
from gradcheck_cli.sample.arrays import placed
from gradcheck_cli.sample.batching import cut, whole
from gradcheck_cli.sample.blame import explain
from gradcheck_cli.sample.declared import fixed_batch
from gradcheck_cli.sample.expectations import device_of, floating_dtype
from gradcheck_cli.sample.matching import Call
from gradcheck_cli.sample.trial import Trial, attempt
from gradcheck_cli.tensors import leaves

MAX_FIXED = 32
"""Batches at most, where a file fixes a small batch size."""


@dataclass(frozen=True)
class Drawn:
    """A sample that the model takes, before the loss is chosen."""

    batches: list[Batch]
    trial: Trial
    """Of the first batch."""
    source: str
    remarks: tuple[str, ...] = ()


Option = Callable[[], list[Batch]]
"""One reading of the data; may raise a `SampleError`."""


def try_batch(subject: Subject, batch: Batch, *, train: bool = False) -> Trial:
    """Run the model once on `batch`, in the model's own dtype and device. Raises whatever the model raises."""
    return attempt(subject.module, placed_batch(subject, batch), train=train, fixed=subject.mode_fixed)


def placed_batch(
    subject: Subject, batch: Batch, dtype: torch.dtype | None = None, device: torch.device | None = None
) -> Batch:
    """Return `batch` in `dtype` on `device`; by default those of the file's example inputs, or the model's own."""
    to = (dtype or own_dtype(subject), device or device_of(subject.module))
    args, kwargs, target = (placed(part, *to) for part in (batch.args, dict(batch.kwargs), batch.target))
    return replace(batch, args=args, kwargs=kwargs, target=target)


def own_dtype(subject: Subject) -> torch.dtype:
    """Return the floating dtype that the model works in."""
    example = subject.example_inputs
    for tensor in leaves((example.args, example.kwargs)) if example else ():
        if tensor.is_floating_point():
            return tensor.dtype
    return floating_dtype(subject.module)


def own_batch_size(subject: Subject) -> int | None:
    """Return the only number of samples that the file takes, or that of its example inputs; None where it says neither."""
    if subject.inputs:
        return fixed_batch(subject)
    example = subject.example_inputs
    found = [tensor for tensor in leaves((example.args, example.kwargs)) if tensor.dim()] if example else []
    return int(found[0].shape[0]) if found else None


def fit_arrays(subject: Subject, calls: list[Call], batch_size: int, batches: int, source: str) -> Drawn:
    """Return arrays cut into batches that the model takes; a file with a fixed batch size gets batches of that size.

    Raises:
        SampleError: ``data-does-not-fit`` or ``target-does-not-fit``.
        NotCompleted: ``forward-failed``.
    """
    wished = [_cutting(call, batch_size, batches) for call in calls]
    own, fixed = own_batch_size(subject), []
    if own is not None and own != batch_size:
        count = batches_of(own, batch_size, batches)
        fixed = [_cutting(call, own, count, only_full=True) for call in calls]
    # What a file declares holds, although the model may take more; what its examples show is tried second.
    options = fixed + wished if subject.inputs else wished + fixed
    chosen, drawn, trial = _first_that_fits(subject, options)
    remarks = (f"the file takes batches of {own} only",) if options[chosen] in fixed else ()
    return Drawn(drawn, trial, source, remarks)


def batches_of(own: int, batch_size: int, batches: int) -> int:
    """Return how many batches of a fixed size make as many samples as were asked for, within reason."""
    return max(batches, min(MAX_FIXED, -(-batch_size * batches // max(own, 1))))


def fit_stream(subject: Subject, per_batch: list[list[Call]], source: str) -> Drawn:
    """Return batches as they came; all are read in the same way, that of the first that the model takes.

    Raises:
        SampleError: ``data-does-not-fit``, or ``ambiguous-data`` where batches are not alike.
        NotCompleted: ``forward-failed``.
    """

    def reading(index: int) -> Option:
        def batches() -> list[Batch]:
            if any(len(calls) <= index for calls in per_batch):
                raise SampleError("ambiguous-data", "the batches of the data are not alike", hint="give equal ones")
            return [whole(calls[index]) for calls in per_batch]

        return batches

    _, drawn, trial = _first_that_fits(subject, [reading(index) for index in range(len(per_batch[0]))])
    return Drawn(drawn, trial, source)


def _cutting(call: Call, batch_size: int, batches: int, *, only_full: bool = False) -> Option:
    def option() -> list[Batch]:
        pieces = cut(call, batch_size, batches)
        return [piece for piece in pieces if piece.size == batch_size] if only_full else pieces

    return option


def _first_that_fits(subject: Subject, options: list[Option]) -> tuple[int, list[Batch], Trial]:
    first: GradcheckError | None = None
    for index, option in enumerate(options):
        error, found = _outcome(subject, option)
        if found is not None:
            return index, *found
        first = first or error
    assert first is not None
    raise first


def _outcome(subject: Subject, option: Option) -> tuple[GradcheckError | None, tuple[list[Batch], Trial] | None]:
    batch: Batch | None = None
    try:
        pieces = option()
        if not pieces:
            message = "the data has fewer samples than the fixed batch of the file"
            return SampleError("data-does-not-fit", message, hint="give as many as its example inputs"), None
        batch = placed_batch(subject, pieces[0])
        return None, (pieces, try_batch(subject, pieces[0]))
    except GradcheckError as error:
        return error, None
    except Exception as error:  # whatever the model raises
        if batch is None:
            raise
        return explain(error, subject, batch), None


def trimmed(subject: Subject, drawn: Drawn, mode: str) -> Drawn:
    """Return the sample without a smaller last batch that the model would not take in `mode`.

    That is a file with a fixed batch size, and in train mode one sample alone where batch norm needs two.

    Raises:
        SampleError: ``data-does-not-fit`` where the only batch is one sample that batch norm cannot take.
    """
    train = mode == "train" and not subject.mode_fixed
    last = drawn.batches[-1]
    is_alone = train and last.size == 1 and _has_batch_norm(subject.module)
    is_odd = subject.mode_fixed and len(drawn.batches) > 1 and last.size != drawn.batches[0].size
    if not is_alone and not is_odd:
        return drawn
    try:
        try_batch(subject, last, train=train)
    except Exception as error:  # whatever the model raises
        if len(drawn.batches) == 1:
            raise explain(error, subject, placed_batch(subject, last)) from error
        remark = f"the last batch, of {last.size}, is left out: the model does not take so few samples"
        return replace(drawn, batches=drawn.batches[:-1], remarks=(*drawn.remarks, remark))
    return drawn


def _has_batch_norm(module: torch.nn.Module) -> bool:
    return any(isinstance(part, torch.nn.modules.batchnorm._BatchNorm) for part in module.modules())
