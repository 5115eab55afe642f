"""One batch: a forward pass, the loss-free transmission pass and the loss pass over the same graph, summed into `Totals`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from gradcheck_cli.errors import NotCompleted
from gradcheck_cli.probe.activations import ACTIVATIONS, read_units
from gradcheck_cli.probe.backward import BackwardReading, backward
from gradcheck_cli.probe.cotangents import predictions, rademacher
from gradcheck_cli.probe.gradients import Receive, differentiate
from gradcheck_cli.probe.layers import (
    Layer,
    Owner,
    Plan,
    layers_of_calls,
    owners_of,
    plan_layers,
    tied_names,
    trainable_parameters,
)
from gradcheck_cli.probe.recording import own_copy, recorded
from gradcheck_cli.probe.restore import seed_everything
from gradcheck_cli.probe.scopes import UNREGISTERED, Output, Scope, Scopes
from gradcheck_cli.probe.spread import spread_of
from gradcheck_cli.probe.statistics import SquareSum, count_nonfinite, count_spoilt, square_sum
from gradcheck_cli.probe.tape import Edge, Tape, read_tape
from gradcheck_cli.probe.totals import LayerTotals, ParameterTotals, Totals
from gradcheck_cli.probe.units import channel_axes
from gradcheck_cli.readings import Role
from gradcheck_cli.records import Batch

STRONG_GAIN = 30.0
"""An operation that is no layer becomes one where the gradient's norm changes by more than this factor, up or down."""

_COUNTING = frozenset({"Mean", "Sum", "Expand", "Repeat", "Cat", "Stack", "Select", "Slice", "Index", "Gather", "IndexSelect",
                       "Embedding", "MaxPool2DWithIndices", "MaxPool3DWithIndices", "AvgPool2D", "AvgPool3D",
                       "AdaptiveAvgPool2D", "AdaptiveMaxPool2D", "Unbind", "Split", "Max", "Amax", "MeanBackward1",
                       "UpsampleNearest2D", "UpsampleBilinear2D", "ConstantPadNd", "Copyslices", "CopySlices", "AsStrided",
                       "Logsumexp", "LinalgVectorNorm", "Norm", "Var", "Std"})  # fmt: skip
"""Operations whose gain is a matter of how many elements go in and out, and says nothing about a fault."""


_POINTWISE = frozenset({"Add", "Rsub", "Sub", "Mul", "Div", "Neg", "Exp", "Log", "Cumsum"})
"""What may lie between a gate and the product, where one of its factors is a constant or a parameter."""

_PARTS = frozenset({"Expand", "Slice", "Split", "Unbind", "Chunk", "Select"})


@dataclass(frozen=True)
class Subject:
    """What stays the same over the batches of one model."""

    module: nn.Module
    parameters: Mapping[str, torch.Tensor]
    """Trainable ones by first name, each tensor once."""
    owners: Mapping[str, Owner]
    tied: Mapping[str, str]
    seed: int


def prepare(module: nn.Module, seed: int) -> Subject:
    """Look at the module tree once."""
    return Subject(module, trainable_parameters(module), owners_of(module), tied_names(module), seed)


@dataclass
class Run:
    """One forward pass whose graph is still there."""

    output: Any
    roots: list[torch.Tensor]
    """The predictions that are differentiable."""
    tape: Tape
    promoted: list[int] = field(default_factory=list)
    """Operations that are layers because the signal changes strongly there; the same in every run of the same code."""


def forward(subject: Subject, batch: Batch) -> Run:
    """Run the model on a batch under scopes and read the tape. Raises NotCompleted where the model's own code fails."""
    seed_everything(subject.seed)
    with recorded(subject.module) as (scopes, run), torch.enable_grad():
        try:
            output = run(own_copy(batch))
        except Exception as error:
            raise forward_failed(error, scopes) from error
    found = predictions(output)
    roots = [tensor for tensor in found if tensor.grad_fn is not None]
    return Run(output, roots, read_tape(roots, scopes, subject.parameters))


def forward_failed(error: Exception, scopes: Scopes) -> NotCompleted:
    """Turn what the model's forward raised into one sentence that names the module."""
    failed = [scope for scope in scopes.calls if not scope.returned]
    where = f" in {failed[-1].path} ({failed[-1].kind})" if failed and failed[-1].path else ""
    text = " ".join(str(error).split())[:300]
    hint = "make the model's forward work on this sample first"
    if "more than 1 value per channel" in text:
        hint = "batch norm cannot train on one value per channel: give larger batches, or --mode eval"
    return NotCompleted(
        "forward-failed", f"the model's forward raised {type(error).__name__}{where}: {text}", hint=hint
    )


def measure(
    subject: Subject, batch: Batch, loss: Callable[[Any, Any], torch.Tensor] | None, *, keep: bool = True
) -> tuple[Totals, Run]:
    """Measure one batch: both backward passes.

    `keep`: it is the first, whose graph stays for the caller's second looks, and whose gradients' magnitudes are counted.
    """
    run = forward(subject, batch)
    totals = Totals(samples=batch.size, batches=1, unregistered=run.tape.unregistered)
    for tensor in predictions(run.output):
        totals.output.add(square_sum(tensor.detach()), tensor.numel())
        totals.output_nonfinite += count_spoilt(tensor)
    units = dict(_units(run.tape))
    if run.roots:
        reading = transmission(subject, run, totals, 0, keep=keep or loss is not None, spread=keep and loss is None)
        run.promoted = _promoted(run.tape, reading)
        plan = plan_layers(run.tape, subject.owners, subject.tied, run.promoted)
        add_plan(totals, plan, run.tape, reading)
        _add_units(totals, plan, run.tape, units)
    _add_scopes(totals, subject, run)
    if loss is not None:
        _loss_pass(subject, run, batch, loss, totals, keep=keep)
    return totals, run


def transmission(
    subject: Subject, run: Run, totals: Totals, draw: int, *, keep: bool = True, spread: bool = False
) -> BackwardReading:
    """The loss-free pass: ±1 on every prediction, back through the tape; signals of parameters go into `totals`.

    With `spread`, how large their elements are, too.
    """
    generator = np.random.default_rng((subject.seed, draw))
    question = rademacher(run.roots, generator)
    totals.question += float(sum(tensor.numel() for tensor in question))
    for name in subject.parameters:
        totals.parameters.setdefault(name, ParameterTotals())

    def receive(name: str, gradient: torch.Tensor) -> None:
        parameter = totals.parameters[name]
        parameter.reached = True
        total = square_sum(gradient)
        parameter.signal.add(total, gradient.numel())
        if total - total != 0.0:
            parameter.signal_nonfinite += count_nonfinite(gradient)
        if spread:
            parameter.add_spread(spread_of(gradient))

    return guarded_backward(subject, run, question, receive, keep=keep)


def guarded_backward(
    subject: Subject, run: Run, cotangents: list[torch.Tensor], receive: Receive, *, keep: bool
) -> BackwardReading:
    """`backward`; raises NotCompleted where the model's graph cannot be differentiated."""
    tape = run.tape
    if not subject.parameters:
        return BackwardReading([0.0] * len(tape.operations), [[0.0] * len(op.inputs) for op in tape.operations])
    calls = layers_of_calls(tape.scopes, subject.owners)
    try:
        return backward(tape, run.roots, cotangents, subject.parameters, receive, retain_graph=keep, calls=calls)
    except (RuntimeError, NotImplementedError) as error:
        raise _backward_failed(error) from error


def _backward_failed(error: Exception) -> NotCompleted:
    text = " ".join(str(error).split())[:300]
    hint = "this model cannot be trained as it is: mend its forward"
    if "use_reentrant" in text:
        hint = "pass use_reentrant=False to torch.utils.checkpoint, or switch checkpoints off while measuring"
    elif "inplace operation" in text:
        hint = "a tensor that its gradient needs is overwritten in place: replace that in-place call in forward"
    return NotCompleted("backward-failed", f"the backward pass raised {type(error).__name__}: {text}", hint=hint)


def _units(tape: Tape) -> list[tuple[int, Any]]:
    activations = [index for index, operation in enumerate(tape.operations) if operation.name in ACTIVATIONS]
    axes = channel_axes(tape, activations)
    read = ((index, read_units(tape.operations[index], axes[index])) for index in activations)
    return [(index, counts) for index, counts in read if counts is not None]


def _promoted(tape: Tape, reading: BackwardReading) -> list[int]:
    """Operations that are no layers by kind, but at which the backward signal changes strongly."""
    found = []
    for index, operation in enumerate(tape.operations):
        out, incoming = reading.out[index], reading.incoming(index)
        if operation.isometric or operation.name in _COUNTING or not operation.inputs or not out > 0.0:
            continue
        ratio = incoming / out
        if ratio > STRONG_GAIN**2 or ratio < STRONG_GAIN**-2:
            found.append(index)
    return found


def add_plan(totals: Totals, plan: Plan, tape: Tape, reading: BackwardReading) -> None:
    """Sum the operations' readings into their layers."""
    consumers = _consumers(tape)
    for layer in plan.layers:
        sequence = tape.operations[layer.operations[0]].sequence
        found = LayerTotals(layer.kind, layer.role, sequence, reached=bool(layer.outputs))
        found.upstream = {plan.layers[index].name: None for index in sorted(layer.upstream)}
        found.producer = None if layer.producer is None else plan.layers[layer.producer].name
        found.calls = max(1, len(layer.outputs)) if layer.role is not Role.PARAMETRIC else 1
        found.out = sum(reading.out[index] for index in {edge[0] for edge in layer.outputs})
        found.has_input, found.incoming = _incoming(layer, tape, reading)
        if layer.role is Role.ACTIVATION:
            found.multiplied = any(_is_multiplied(tape, consumers, index) for index in layer.operations)
            found.final = any(_is_final(tape, consumers, index) for index in layer.operations)
        if layer.name in totals.layers:
            totals.layers[layer.name].merge(found)
        else:
            totals.layers[layer.name] = found


def _incoming(layer: Layer, tape: Tape, reading: BackwardReading) -> tuple[bool, float]:
    """(has differentiable inputs, Σ squared gradient at what its operations read from outside the layer)."""
    inside = set(layer.operations)
    border: dict[Edge, float] = {}
    for index in layer.operations:
        if not tape.operations[index].isometric:
            for edge, gradient in zip(tape.operations[index].inputs, reading.edges[index], strict=True):
                if tape.source(edge)[0] not in inside:  # not a weight that the layer computes itself
                    border[edge] = border.get(edge, 0.0) + gradient
    return bool(border), sum(reading.joint.get((layer.name, edge), total) for edge, total in border.items())


def _consumers(tape: Tape) -> list[list[int]]:
    readers: list[list[int]] = [[] for _ in tape.operations]
    for index, operation in enumerate(tape.operations):
        for source, _ in operation.inputs:
            readers[source].append(index)
    return readers


def _is_multiplied(tape: Tape, consumers: list[list[int]], index: int) -> bool:
    """Its output is one of two data-dependent factors: a gate, whose saturation shuts or opens another path."""
    if tape.operations[index].name.endswith("Softmax"):
        return False
    for reader in consumers[index]:
        operation = tape.operations[reader]
        alone = operation.name in _POINTWISE and len(operation.inputs) == 1
        if operation.isometric or alone or operation.name in _PARTS:
            if _is_multiplied(tape, consumers, reader):
                return True
        elif operation.name in ("Mul", "Lerp", "Addcmul") and len(operation.inputs) > 1:
            return True
    return False


def _is_final(tape: Tape, consumers: list[list[int]], index: int) -> bool:
    readers = consumers[index]
    if not readers:
        return True
    return all(tape.operations[reader].isometric and _is_final(tape, consumers, reader) for reader in readers)


def _add_units(totals: Totals, plan: Plan, tape: Tape, units: Mapping[int, Any]) -> None:
    """Units are those of activations that are layers, and of one-sided ones with which a layer that owns parameters ends."""
    for index, counts in units.items():
        layer = plan.layers[plan.of[index]] if plan.of[index] >= 0 else None
        if layer is None or layer.role is Role.OPERATION:
            continue
        if layer.role is Role.ACTIVATION or (counts.peak is not None and _ends_with(layer, tape, index)):
            totals.layers[layer.name].merge_units(counts)


def _ends_with(layer: Layer, tape: Tape, index: int) -> bool:
    return {tape.source(edge)[0] for edge in layer.outputs} == {index}


def _add_scopes(totals: Totals, subject: Subject, run: Run) -> None:
    """What the module calls show: values, and layers that ran but are not on the tape."""
    read = _read_edges(run)
    for scope in run.tape.scopes:
        name = scope.path
        if name in subject.owners and name not in totals.layers:
            totals.layers[name] = LayerTotals(scope.kind, Role.PARAMETRIC, scope.first)
        outputs = _used(scope, run.tape, read)
        nonfinite = sum(output.nonfinite for output in outputs)
        if name == UNREGISTERED or (name not in totals.layers and not nonfinite):
            continue
        layer = totals.layers.setdefault(name, LayerTotals(scope.kind, Role.OPERATION, scope.first))
        layer.calls = max(layer.calls, 1)
        layer.nonfinite += nonfinite
        layer.nonfinite_input |= scope.nonfinite_input
        if outputs and outputs[0].values is not None:
            layer.values = layer.values or SquareSum()
            layer.values.merge(outputs[0].values)


def _read_edges(run: Run) -> set[Edge]:
    """All that another operation reads, or that is a prediction."""
    where = run.tape.where
    edges = {edge for operation in run.tape.operations for edge in operation.inputs}
    return edges | {(where[root.grad_fn], root.output_nr) for root in run.roots if root.grad_fn in where}


def _used(scope: Scope, tape: Tape, read: set[Edge]) -> list[Output]:
    """The outputs that the predictions depend on, or all where none is: some formats keep no others (an LSTM's states)."""
    if len(scope.outputs) < 2:
        return scope.outputs
    return [output for output in scope.outputs if (tape.where.get(output.node), output.number) in read] or scope.outputs


def _loss_pass(
    subject: Subject,
    run: Run,
    batch: Batch,
    loss: Callable[[Any, Any], torch.Tensor],
    totals: Totals,
    *,
    keep: bool,
) -> None:
    """∂L/∂W of every parameter, over the graph of the same forward pass."""
    with torch.enable_grad():
        value = loss(run.output, batch.target)
    totals.loss += float(value.detach())
    totals.losses += 1
    if not value.requires_grad or not subject.parameters:
        return

    def receive(name: str, gradient: torch.Tensor) -> None:
        parameter = totals.parameters.setdefault(name, ParameterTotals())
        parameter.reached = True  # also where no prediction reaches it
        total = square_sum(gradient)
        parameter.loss_gradient.add(total, 1)
        if total - total != 0.0:
            parameter.loss_gradient_nonfinite += count_nonfinite(gradient)
        if keep:
            parameter.add_spread(spread_of(gradient))

    try:
        differentiate([value], None, subject.parameters, receive, retain_graph=keep)
    except (RuntimeError, NotImplementedError) as error:
        raise _backward_failed(error) from error
