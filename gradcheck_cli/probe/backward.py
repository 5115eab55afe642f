"""One instrumented backward pass: the gradient's norm at both sides of every operation on the tape.

Hooks stand on the autograd nodes, so in-place and functional operations are seen alike; parameter gradients are given away,
never accumulated, so the user's ``.grad`` is not touched, and they are bit-identical to an uninstrumented run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from gradcheck_cli.probe.gradients import Receive, differentiate
from gradcheck_cli.probe.statistics import square_sum
from gradcheck_cli.probe.tape import Edge, Operation, Tape

Key = tuple[str, Edge]
"""(layer, edge)."""


@dataclass
class BackwardReading:
    """Squared L2 norms of gradients for each operation of a tape, of one backward pass."""

    out: list[float]
    """At the operation's outputs; of rearrangements, that of what they rearrange."""
    edges: list[list[float]]
    """At each of its differentiable, data-dependent inputs."""
    joint: Mapping[Key, float] = field(default_factory=dict)
    """Of an edge that several operations of one layer read, their gradients there added up: (layer, edge) → its norm."""

    def incoming(self, index: int) -> float:
        """All inputs of an operation together; 0 where it has none."""
        return sum(self.edges[index])


def backward(
    tape: Tape,
    roots: Sequence[torch.Tensor],
    cotangents: Sequence[torch.Tensor],
    parameters: Mapping[str, torch.Tensor],
    receive: Receive,
    *,
    retain_graph: bool,
    calls: Sequence[str],
) -> BackwardReading:
    """Back-propagate `cotangents` from `roots`, reading every operation of `tape` on the way.

    `receive` gets the gradient of every parameter that the roots depend on. `calls` names the layer of each scope of the
    tape, as `layers_of_calls` does, for `BackwardReading.joint`.
    """
    joint = _Joint(tape, calls)
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
                slots.append((position, slot, joint.key(operation, edge)))
            else:
                shared.append((index, position, source))
        if slots:
            handles.append(operation.node.register_hook(_reader(index, slots, out, edges[index], joint)))
        else:  # cheaper: PyTorch then wraps the output gradients alone
            handles.append(operation.node.register_prehook(_output_reader(index, out)))
    try:
        differentiate(roots, cotangents, parameters, receive, retain_graph=retain_graph)
    finally:
        for handle in handles:
            handle.remove()
    for index, position, source in shared:
        edges[index][position] = out[source]
    _fill_rearrangements(tape, out, edges)
    return BackwardReading(out, edges, joint.norms)


def _output_reader(index: int, out: list[float]) -> Callable[[Any], None]:
    def read(outputs: tuple[torch.Tensor | None, ...]) -> None:
        for gradient in outputs:
            if gradient is not None:
                out[index] += square_sum(gradient)

    return read


def _reader(
    index: int, slots: list[tuple[int, int, Key | None]], out: list[float], edges: list[float], joint: _Joint
) -> Callable[[Any, Any], None]:
    def read(inputs: tuple[torch.Tensor | None, ...], outputs: tuple[torch.Tensor | None, ...]) -> None:
        for gradient in outputs:
            if gradient is not None:
                out[index] += square_sum(gradient)
        for position, slot, key in slots:
            gradient = inputs[slot]
            if gradient is not None:
                edges[position] += square_sum(gradient)
            if key is not None:
                joint.add(key, gradient)

    return read


class _Joint:
    """Adds up the gradients of one tensor that reach it from several operations of one layer."""

    def __init__(self, tape: Tape, calls: Sequence[str]) -> None:
        self.calls = calls
        self.norms: dict[Key, float] = {}
        readers = (
            (calls[operation.scope], edge)
            for operation in tape.operations
            if calls and operation.scope >= 0 and calls[operation.scope] and not operation.isometric
            for edge in operation.inputs
            if tape.operations[edge[0]].consumers > 1
        )
        self.waiting = {key: count for key, count in Counter(readers).items() if count > 1}
        self.sums: dict[Key, torch.Tensor] = {}

    def key(self, operation: Operation, edge: Edge) -> Key | None:
        """Under what to add the gradient of an edge; None where it is not to be added to others."""
        key = (self.calls[operation.scope], edge) if self.waiting and operation.scope >= 0 else None
        return key if key in self.waiting else None

    def add(self, key: Key, gradient: torch.Tensor | None) -> None:
        """One more, None for zero; the norm is taken when all are there."""
        if gradient is not None:
            self.sums[key] = gradient if key not in self.sums else self.sums[key] + gradient
        self.waiting[key] -= 1
        if not self.waiting[key] and key in self.sums:
            self.norms[key] = square_sum(self.sums.pop(key))


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
