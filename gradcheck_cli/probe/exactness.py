"""Is a tiny gradient a weak one, or a zero that rounding blurs? The same question once more in float64 tells.

A structural zero (a shift that a softmax undoes) falls with the precision, 2.8e-7 in float32 and 6.9e-17 in float64; a signal that
really vanishes does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import torch
from torch import nn

from gradcheck_cli import records
from gradcheck_cli.errors import GradcheckError
from gradcheck_cli.probe.batch import forward, prepare, transmission
from gradcheck_cli.probe.restore import set_mode, unfreeze_if_all_frozen, untouched
from gradcheck_cli.probe.totals import Totals
from gradcheck_cli.readings import LayerReading, ParameterReading, Readings
from gradcheck_cli.records import Batch
from gradcheck_cli.tensors import map_tensors

FAINT = 1e-5
"""A matrix is looked at again where U·‖W‖, what its relative change does to the output, is below this share of the output:
a hundred times float32's rounding."""

FALLS = 1e-5
"""Float64's gradient over float32's below which the latter was rounding noise."""

MOST_PARAMETERS = 50_000_000
"""Larger models are not copied to float64."""


def settle_zeros(subject: records.Subject, sample: records.Sample, readings: Readings, *, seed: int = 0) -> Readings:
    """Mark the parameters whose tiny gradient is exactly zero by structure; only models with such matrices are run again."""
    suspicious = {w.name for layer in readings.layers for w in layer.weights if _faint(w, readings)}
    if not suspicious or readings.dtype != "float32" or readings.parameters > MOST_PARAMETERS or not sample.batches:
        return readings
    exact = _signals_in_double(subject.module, sample.batches[0], readings.mode, seed)
    zeros = {
        p.name
        for layer in readings.layers
        for p in layer.parameters
        if p.signal and (exact is not None) and exact.get(p.tied_to or p.name, p.signal) < FALLS * p.signal
    }
    return msgspec.structs.replace(readings, layers=tuple(_marked(layer, zeros) for layer in readings.layers))


def _faint(weight: ParameterReading, readings: Readings) -> bool:
    return 0.0 < (weight.signal or 0.0) * weight.norm < FAINT * (readings.output_rms or 0.0)


def _signals_in_double(module: nn.Module, batch: Batch, mode: str, seed: int) -> dict[str, float] | None:
    """U of every parameter in float64; None where the model cannot run in it."""
    wide = Batch(
        args=map_tensors(_widened, batch.args), kwargs=map_tensors(_widened, dict(batch.kwargs)), size=batch.size
    )
    try:
        with untouched(module), _double(module), torch.inference_mode(False):
            unfreeze_if_all_frozen(module)
            set_mode(module, mode)
            model = prepare(module, seed)
            run = forward(model, wide)
            if not run.roots or any(root.dtype is not torch.float64 for root in run.roots):
                return None
            totals = Totals()
            transmission(model, run, totals, 0, keep=False)
    except (GradcheckError, RuntimeError, TypeError):  # constants of another dtype, operators without float64
        return None
    return {name: totals.relative(found.signal.total) for name, found in totals.parameters.items()}


def _widened(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


@contextmanager
def _double(module: nn.Module) -> Iterator[None]:
    """The module in float64, in place; its own tensors come back at the end, whatever happens."""
    held = [(t, t.data) for t in (*module.parameters(), *module.buffers()) if t.dtype is torch.float32]
    try:
        for tensor, data in held:
            tensor.data = data.double()
        yield
    finally:
        for tensor, data in held:
            tensor.data = data


def _marked(layer: LayerReading, zeros: set[str]) -> LayerReading:
    parameters = tuple(msgspec.structs.replace(p, structural=True) if p.name in zeros else p for p in layer.parameters)
    return msgspec.structs.replace(layer, parameters=parameters)
