"""Is a tiny gradient a weak one, or a zero that rounding blurs? The same question once more in float64 tells.

A structural zero (a shift that a softmax undoes) falls with the precision, 2.8e-7 in float32 and 6.9e-17 in float64; a signal that
really vanishes does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import msgspec
import torch
from torch import nn

from gradcheck_cli import records
from gradcheck_cli.errors import GradcheckError
from gradcheck_cli.probe.batch import add_plan, forward, prepare, transmission
from gradcheck_cli.probe.layers import plan_layers
from gradcheck_cli.probe.restore import set_mode, unfreeze_if_all_frozen, untouched
from gradcheck_cli.probe.totals import Totals
from gradcheck_cli.readings import LayerReading, ParameterReading, Readings
from gradcheck_cli.records import Batch
from gradcheck_cli.tensors import map_tensors

FAINT = 1e-5
"""A matrix is looked at again where U·‖W‖, what its relative change does to the output, is below this share of the output:
a hundred times float32's rounding. So are layers that hear less than this share of the question."""

QUESTIONS = 3
"""±1 entries may cancel in one question by chance, in a bias of few outputs above all."""

FALLS = 1e-5
"""Float64's gradient over float32's below which the latter was rounding noise."""

MOST_PARAMETERS = 50_000_000
"""Larger models are not copied to float64."""


def settle_zeros(subject: records.Subject, sample: records.Sample, readings: Readings, *, seed: int = 0) -> Readings:
    """Tell tiny gradients that are exactly zero by structure; only models with such readings are run again.

    Their parameters are marked, and transmissions and incoming gradients of that kind become the zeros that they are.
    """
    suspicious = any(_faint(weight, readings) for layer in readings.layers for weight in layer.weights)
    suspicious |= any(0.0 < (layer.transmission or 0.0) < FAINT for layer in readings.layers)
    if not suspicious or readings.dtype != "float32" or readings.parameters > MOST_PARAMETERS or not sample.batches:
        return readings
    single = answers(subject.module, sample.batches[0], readings.mode, seed, torch.float32)
    double = answers(subject.module, sample.batches[0], readings.mode, seed, torch.float64)
    if single is None or double is None:
        return readings
    zeros = {
        kind: {name for name, value in found.items() if getattr(double, kind).get(name, value) < FALLS * value}
        for kind, found in vars(single).items()
    }
    return msgspec.structs.replace(readings, layers=tuple(_settled(layer, zeros) for layer in readings.layers))


def _faint(weight: ParameterReading, readings: Readings) -> bool:
    return 0.0 < (weight.signal or 0.0) * weight.norm < FAINT * (readings.output_rms or 0.0)


@dataclass
class Answers:
    """Norms by name, of several questions to one batch."""

    signals: dict[str, float]
    transmissions: dict[str, float]
    incomings: dict[str, float]


def answers(module: nn.Module, batch: Batch, mode: str, seed: int, dtype: torch.dtype) -> Answers | None:
    """Ask a float32 model and batch `QUESTIONS` questions in `dtype`, float32 or float64; None where the model cannot run so."""
    double = dtype is torch.float64
    try:
        with untouched(module), _double(module) if double else nullcontext(), torch.inference_mode(False):
            unfreeze_if_all_frozen(module)
            set_mode(module, mode)
            model = prepare(module, seed)
            run = forward(model, _wide(batch) if double else batch)
            if not run.roots or any(root.dtype is not dtype for root in run.roots):
                return None
            totals, plan = Totals(), plan_layers(run.tape, model.owners, model.tied)
            for draw in range(QUESTIONS):
                add_plan(totals, plan, run.tape, transmission(model, run, totals, draw))
    except (GradcheckError, RuntimeError, TypeError):  # constants of another dtype, operators without float64
        return None
    return Answers(
        {name: totals.relative(found.signal.total) for name, found in totals.parameters.items()},
        {name: totals.relative(found.out) for name, found in totals.layers.items()},
        {name: totals.relative(found.incoming) for name, found in totals.layers.items()},
    )


def _wide(batch: Batch) -> Batch:
    args, kwargs = map_tensors(_widened, (batch.args, dict(batch.kwargs)))
    return Batch(args=args, kwargs=kwargs, size=batch.size)


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


def _settled(layer: LayerReading, zeros: dict[str, set[str]]) -> LayerReading:
    names = zeros["signals"]
    parameters = tuple(
        msgspec.structs.replace(p, structural=True) if (p.tied_to or p.name) in names else p for p in layer.parameters
    )
    silent = bool(layer.transmission) and layer.name in zeros["transmissions"]
    stops = bool(layer.incoming) and layer.name in zeros["incomings"]
    return msgspec.structs.replace(
        layer,
        parameters=parameters,
        transmission=0.0 if silent else layer.transmission,
        incoming=0.0 if stops else layer.incoming,
    )
