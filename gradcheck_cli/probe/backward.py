"""One instrumented backward pass: the gradient's norm at both sides of every operation on the tape.

Hooks stand on the autograd nodes, so in-place and functional operations are seen alike; parameter gradients are captured,
never accumulated, so the user's ``.grad`` is not touched, and they are bit-identical to an uninstrumented run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from gradcheck_cli.probe.statistics import square_sum
from gradcheck_cli.probe.tape import Edge, Tape

Gradients = Mapping[str, "torch.Tensor | None"]


@dataclass
class BackwardReading:
    """Squared L2 norms of gradients for each operation of a tape, of one backward pass."""

    out: list[float]
    """At the operation's outputs; of rearrangements, that of what they rearrange."""
    edges: list[list[float]]
    """At each of its differentiable, data-dependent inputs."""
    parameters: Gradients
    """The captured gradients; None where the outputs do not depend on a parameter."""

    def incoming(self, index: int) -> float:
        """All inputs of an operation together; 0 where it has none."""
        return sum(self.edges[index])


def backward(
    tape: Tape,
    roots: Sequence[torch.Tensor],
    cotangents: Sequence[torch.Tensor],
    parameters: Mapping[str, torch.Tensor],
    *,
    retain_graph: bool,
) -> BackwardReading:
    """Back-propagate `cotangents` from `roots`, reading every operation of `tape` on the way."""
    out = [0.0] * len(tape.operations)
    edges = [[0.0] * len(operation.inputs) for operation in tape.operations]
    shared: list[tuple[int, int, int]] = []
    handles = []
    for index, operation in enumerate(tape.operations):
        if operation.isometric:
            continue
        slots = []
        for position, (edge, slot) in enumerate(zip(operation.inputs, operation.slots, strict=True)):
            source = _sole_source(tape, edge)
            if source is None:
                slots.append((position, slot))
            else:
                shared.append((index, position, source))
        if slots:
            handles.append(operation.node.register_hook(_reader(index, slots, out, edges[index])))
        else:  # cheaper: PyTorch then wraps the output gradients alone
            handles.append(operation.node.register_prehook(_output_reader(index, out)))
    try:
        gradients = torch.autograd.grad(
            list(roots), list(parameters.values()), list(cotangents), retain_graph=retain_graph, allow_unused=True
        )
    finally:
        for handle in handles:
            handle.remove()
    for index, position, source in shared:
        edges[index][position] = out[source]
    _fill_rearrangements(tape, out, edges)
    return BackwardReading(out, edges, dict(zip(parameters, gradients, strict=True)))


def _output_reader(index: int, out: list[float]) -> Callable[[Any], None]:
    def read(outputs: tuple[torch.Tensor | None, ...]) -> None:
        for gradient in outputs:
            if gradient is not None:
                out[index] += square_sum(gradient)

    return read


def _reader(
    index: int, slots: list[tuple[int, int]], out: list[float], edges: list[float]
) -> Callable[[Any, Any], None]:
    def read(inputs: tuple[torch.Tensor | None, ...], outputs: tuple[torch.Tensor | None, ...]) -> None:
        for gradient in outputs:
            if gradient is not None:
                out[index] += square_sum(gradient)
        for position, slot in slots:
            gradient = inputs[slot]
            if gradient is not None:
                edges[position] += square_sum(gradient)

    return read


def _sole_source(tape: Tape, edge: Edge) -> int | None:
    """The operation whose output gradient is this edge's gradient too, because nobody else reads it; None otherwise."""
    while True:
        operation = tape.operations[edge[0]]
        if operation.consumers != 1:
            return None
        if not operation.isometric:
            return edge[0] if len(operation.node._input_metadata) == 1 else None
        if len(operation.inputs) != 1:
            return None
        edge = operation.inputs[0]


def _fill_rearrangements(tape: Tape, out: list[float], edges: list[list[float]]) -> None:
    for index, operation in enumerate(tape.operations):
        if operation.isometric and operation.inputs:
            out[index] = out[tape.source((index, 0))[0]]
            edges[index] = [out[index], *[0.0] * (len(operation.inputs) - 1)]
