"""The stage in one sentence: get the data, match it to the model, cut it, try it, choose the loss."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from gradcheck_cli.errors import NotCompleted, SampleError, UsageError
from gradcheck_cli.records import Batch, Sample, Subject
from gradcheck_cli.sample.arrays import check_content
from gradcheck_cli.sample.choosing import choose
from gradcheck_cli.sample.fitting import Drawn, placed_batch, trimmed
from gradcheck_cli.sample.given import Wish, fit
from gradcheck_cli.sample.input_shapes import parse
from gradcheck_cli.sample.restoring import preserved
from gradcheck_cli.sample.synthetic import make_up
from gradcheck_cli.tensors import leaves


def draw_sample(
    subject: Subject,
    data: object | None,
    *,
    target: object | None,
    loss: str | Callable[[Any, Any], Any] | None,
    batch_size: int,
    batches: int,
    seed: int,
    mode: str,
    dtype: torch.dtype | str | None,
    device: torch.device | str | None,
    input_shape: str | Sequence[str],
) -> Sample:
    """Do what `gradcheck_cli.sample.draw` says."""
    _check_options(subject, batch_size, batches)
    wanted, shapes = _dtype(dtype), parse([input_shape] if isinstance(input_shape, str) else input_shape)
    place = torch.device(device) if device is not None else None
    with preserved(subject.module), _said_of(data, subject):
        _seed(seed)
        drawn = _drawn(subject, data, Wish(target, batch_size, batches, shapes), seed)
        _check_output(subject, drawn.trial.output)
        drawn = trimmed(subject, drawn, mode)
        first = placed_batch(subject, drawn.batches[0])
        targets = [first.target, *(batch.target for batch in drawn.batches[1:])]
        choice = choose(loss, drawn.trial, targets)
        final = tuple(_final(subject, batch, wanted, place) for batch in drawn.batches)
    return Sample(final, drawn.source, choice.name, choice.loss, (*drawn.remarks, *choice.remarks))


@contextmanager
def _said_of(data: object, subject: Subject) -> Iterator[None]:
    """Add to an error what it is about: the data's file or entry point, or the model where there is none."""
    try:
        yield
    except SampleError as error:
        error.file = error.file or (os.fspath(data) if isinstance(data, (str, os.PathLike)) else subject.path)
        raise


def _drawn(subject: Subject, data: object, wish: Wish, seed: int) -> Drawn:
    if data is not None:
        return fit(subject, data, wish)
    if wish.target is not None:
        raise SampleError("missing-data", "a target without data", hint="give --data as well")
    return make_up(subject, wish.batch_size, wish.batches, seed, wish.input_shapes)


def _final(subject: Subject, batch: Batch, dtype: torch.dtype | None, device: torch.device | None) -> Batch:
    final = placed_batch(subject, batch, dtype, device)
    if dtype is not None and dtype.itemsize < 4:
        # A narrow dtype may turn large values into infinities.
        check_content((final.args, dict(final.kwargs), final.target), "the data")
    return final


def _check_output(subject: Subject, output: object) -> None:
    if not any(True for _ in leaves(output)):
        message = f"the model's own forward gave a {type(output).__name__} without any tensor in it"
        raise NotCompleted(
            "no-output", message, hint="return the tensor that a loss would be taken of", file=subject.path
        )


def _check_options(subject: Subject, batch_size: int, batches: int) -> None:
    if batch_size < 1 or batches < 1:
        message = f"batch size {batch_size} and {batches} batches: both must be at least 1"
        raise UsageError("bad-option", message)
    lazy = [name for name, part in subject.module.named_parameters() if torch.nn.parameter.is_lazy(part)]
    if lazy:
        message = f"{lazy[0]} has no shape yet: the model has lazy layers that no input has passed through"
        hint = "run one forward pass, then save the model again"
        raise SampleError("uninitialised-model", message, hint=hint, file=subject.path)


def _dtype(dtype: torch.dtype | str | None) -> torch.dtype | None:
    if not isinstance(dtype, str):
        return dtype
    found = getattr(torch, {"fp16": "float16", "bf16": "bfloat16", "fp32": "float32"}.get(dtype, dtype), None)
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise UsageError(
            "bad-option", f"{dtype} is no floating dtype", hint="use float32, float64, bfloat16 or float16"
        )
    return found


def _seed(seed: int) -> None:
    """Make what the user's own data code draws repeatable; undone by `preserved`."""
    torch.default_generator.manual_seed(seed)
    random.seed(seed)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(seed % 2**32)
