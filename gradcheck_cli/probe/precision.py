"""What if it were trained in another precision: how much of the gradient would be stored as 0, and what would overflow.

Nothing is run in that precision. One forward and one loss pass in the model's own dtype show how large values and gradients
are; what the other dtype cannot hold follows from its range.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

from gradcheck_cli import records
from gradcheck_cli.errors import NotCompleted
from gradcheck_cli.probe.batch import prepare
from gradcheck_cli.probe.gradients import differentiate
from gradcheck_cli.probe.recording import own_copy
from gradcheck_cli.probe.restore import seed_everything, set_mode, unfreeze_if_all_frozen, untouched
from gradcheck_cli.probe.scopes import paths_of
from gradcheck_cli.readings import LayerReading, PrecisionReading, Readings
from gradcheck_cli.tensors import leaves

DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
"""Names as on the command line."""


@dataclass
class _Sums:
    """Of one layer."""

    largest: float = 0.0
    gradients: int = 0
    """Elements of ∂L/∂y that are not zero …"""
    gradients_lost: int = 0
    """… and those of them that would be stored as 0."""
    weights: int = 0
    """The same of ∂L/∂W."""
    weights_lost: int = 0
    overflowing: int = 0
    """Elements of values, gradients and weights beyond the largest number."""


def what_if(
    subject: records.Subject, sample: records.Sample, readings: Readings, *, precision: str, seed: int = 0
) -> Readings:
    """Add to `readings` what `precision` (``fp16``, ``bf16``, ``fp32``) would lose, measured on the first batch.

    Raises:
        NotCompleted: the model's forward or backward pass failed.
    """
    if sample.loss is None or not sample.batches:
        why = "there is no loss whose gradient could be stored: give --data with a target, or --loss"
        return msgspec.structs.replace(readings, not_measured=(*readings.not_measured, (f"precision {precision}", why)))
    module = subject.module
    with untouched(module), torch.inference_mode(False):
        unfreeze_if_all_frozen(module)
        set_mode(module, readings.mode)
        sums = _measured(module, sample, DTYPES[precision], seed)
    layers = tuple(_with_precision(layer, sums.get(layer.name)) for layer in readings.layers)
    return msgspec.structs.replace(readings, layers=layers, precision=precision)


def _measured(module: nn.Module, sample: records.Sample, dtype: torch.dtype, seed: int) -> dict[str, _Sums]:
    model = prepare(module, seed)
    owner = {model.tied[name]: layer.name for layer in model.owners.values() for name in reversed(layer.parameters)}
    sums: dict[str, _Sums] = {}
    info = torch.finfo(dtype)
    lowest = info.tiny * info.eps / 2  # what is below half the smallest subnormal number is rounded to 0

    def of(name: str) -> _Sums:
        return sums.setdefault(name, _Sums())

    def lost(gradient: torch.Tensor, to: _Sums) -> tuple[int, int]:
        size = gradient.detach().abs()
        to.overflowing += int((size > info.max).sum())
        return int((size > 0).sum()), int(((size > 0) & (size < lowest)).sum())

    def receive(name: str, gradient: torch.Tensor) -> None:
        to = of(owner[name])
        if gradient.ndim >= 2:
            to.weights, to.weights_lost = map(sum, zip((to.weights, to.weights_lost), lost(gradient, to), strict=True))

    def output(path: str, value: torch.Tensor) -> None:
        to = of(path)
        if value.numel():
            to.largest = max(to.largest, float(value.detach().abs().max()))

        def gradient(found: torch.Tensor) -> None:
            to.gradients, to.gradients_lost = map(
                sum, zip((to.gradients, to.gradients_lost), lost(found, to), strict=True)
            )

        if value.requires_grad:
            value.register_hook(gradient)  # type: ignore[no-untyped-call]

    batch = own_copy(sample.batches[0])
    seed_everything(seed)
    assert sample.loss is not None
    try:
        with torch.enable_grad(), _outputs(module, output):
            loss = sample.loss(module(*batch.args, **batch.kwargs), batch.target)
        if loss.requires_grad:
            differentiate([loss], None, model.parameters, receive, retain_graph=False)
    except Exception as error:
        text = " ".join(str(error).split())[:300]
        raise NotCompleted(
            "forward-failed", f"the pass for --precision raised {type(error).__name__}: {text}"
        ) from error
    for name, parameter in model.parameters.items():
        of(owner[name]).overflowing += int((parameter.detach().abs() > info.max).sum())
    return sums


@contextmanager
def _outputs(module: nn.Module, seen: Any) -> Iterator[None]:
    """Call ``seen(path, tensor)`` for every floating tensor that a module without children returns."""
    paths = paths_of(module)

    def after(child: nn.Module, _inputs: Any, output: Any) -> None:
        path = paths.get(id(child))
        if path is not None and not child._modules:
            for tensor in leaves(output):
                if tensor.is_floating_point():
                    seen(path, tensor)

    handle = register_module_forward_hook(after)
    try:
        yield
    finally:
        handle.remove()


def _with_precision(layer: LayerReading, sums: _Sums | None) -> LayerReading:
    if sums is None:
        return layer
    reading = PrecisionReading(
        largest=sums.largest,
        overflowing=sums.overflowing,
        lost=max(
            sums.weights_lost / sums.weights if sums.weights else 0.0,
            sums.gradients_lost / sums.gradients if sums.gradients else 0.0,
        ),
    )
    return msgspec.structs.replace(layer, precision=reading)
