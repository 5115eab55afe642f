"""The tape: the autograd graph that one forward pass leaves behind, as a list of operations in the order in which they ran.

Every operation that really ran and that the outputs depend on is on it: modules, functional calls, in-place ones, those of
fused or hand-written code. Each knows the module that owns it (from the scopes), what it was computed from, and which
parameters it reads. Nothing is kept on the user's modules.
"""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from gradcheck_cli.probe.scopes import Scope, Scopes

Edge = tuple[int, int]
"""(index of an operation on the tape, number of its output)."""

ISOMETRIC = frozenset(
    {
        "View", "UnsafeView", "ReshapeAlias", "Alias", "AsStrided", "T", "Transpose", "Permute", "Unsqueeze",
        "Squeeze", "Clone", "ToCopy", "Detach", "Flatten", "Unflatten", "MovedimInt", "SwapAxes", "Contiguous",
        "PixelShuffle", "PixelUnshuffle", "ChannelShuffle", "Flip", "Roll", "Identity",
    }
)  # fmt: skip
"""Operations that only rearrange: the gradient's norm is the same on both sides, so one reading serves both."""

SHAPES_A_WEIGHT = ISOMETRIC | {
    "Expand",
    "Select",
    "Slice",
    "Split",
    "SplitWithSizes",
    "UnsafeSplit",
    "Unbind",
    "Chunk",
}
"""Operations through which a parameter is still the same parameter."""

_LEAF = "torch::autograd::AccumulateGrad"


@dataclass(slots=True)
class Operation:
    """One operation that really ran."""

    node: Any
    """The autograd node (gradients come in at its outputs, go out at its inputs)."""
    name: str
    """The node's name without its ``Backward0``: ``Convolution``, ``Relu``, ``Addmm``."""
    sequence: int
    scope: int
    """Index of the innermost scope that it ran in, -1 outside all."""
    inputs: list[Edge] = field(default_factory=list)
    """Where its differentiable, data-dependent arguments come from."""
    slots: list[int] = field(default_factory=list)
    """For each of `inputs`, its place among the node's gradient inputs."""
    parameters: list[str] = field(default_factory=list)
    """Parameters that it reads, also through a transpose, a view or a cast."""
    parameter_slots: list[int] = field(default_factory=list)
    """For each of `parameters`, its place among the node's gradient inputs."""
    consumers: int = 0
    """How many operations (or model outputs) read it."""

    @property
    def isometric(self) -> bool:
        """True if it only rearranges what it is given."""
        return self.name in ISOMETRIC


@dataclass
class Tape:
    """All operations of one forward pass, in the order in which they ran, and the scopes that own them."""

    operations: list[Operation]
    scopes: list[Scope]
    where: dict[Any, int]
    """Autograd node → index in `operations`."""
    reached: set[str]
    """Names of the parameters that the outputs depend on."""
    unregistered: int
    """Leaf tensors that require grad, are on the tape, and are no parameter of the model."""

    def source(self, edge: Edge) -> Edge:
        """Follow an edge back through rearrangements to the operation whose output it really is."""
        operation = self.operations[edge[0]]
        while operation.isometric and len(operation.inputs) == 1:
            edge = operation.inputs[0]
            operation = self.operations[edge[0]]
        return edge


def ancestors(tape: Tape, index: int) -> set[int]:
    """Indices of all operations that an operation's output depends on, itself included."""
    seen = {index}
    stack = [index]
    while stack:
        for source, _ in tape.operations[stack.pop()].inputs:
            if source not in seen:
                seen.add(source)
                stack.append(source)
    return seen


def bare_name(node: Any) -> str:
    """``ReluBackward0`` → ``Relu``; custom functions keep their class name: ``MyFunctionBackward`` → ``MyFunction``."""
    name: str = node.name()
    head, found, _ = name.rpartition("Backward")
    return (head if found else name).rpartition("::")[2]


def read_tape(outputs: Iterable[torch.Tensor], scopes: Scopes, parameters: Mapping[str, torch.Tensor]) -> Tape:
    """Walk the graph behind `outputs`.

    Args:
        outputs: tensors with a `grad_fn`; others are passed over.
        scopes: the module calls of the same forward pass.
        parameters: name → parameter, each once (tied ones under their first name).
    """
    names = {id(parameter): name for name, parameter in parameters.items()}
    roots = [tensor.grad_fn for tensor in outputs if tensor.grad_fn is not None]
    nodes = _reachable(roots)
    reads, strangers = _parameter_side(nodes, names)
    data = _in_order([node for node in nodes if node not in reads])
    begins = [scope.first for scope in scopes.calls]  # ascending: scopes are listed as they began
    owners = [_owner(scopes.calls, begins, node._sequence_nr()) for node in data]
    where = {node: index for index, node in enumerate(data)}
    operations = [
        Operation(node, bare_name(node), node._sequence_nr(), owner) for node, owner in zip(data, owners, strict=True)
    ]
    for operation in operations:
        for slot, (source, number) in enumerate(operation.node.next_functions):
            if source in where:
                operation.inputs.append((where[source], number))
                operation.slots.append(slot)
                operations[where[source]].consumers += 1
            elif source is not None:
                new = [name for name in reads[source] if name not in operation.parameters]
                operation.parameters += new
                operation.parameter_slots += [slot] * len(new)
    for root in roots:
        if root in where:
            operations[where[root]].consumers += 1
    reached = {name for read in reads.values() for name in read}
    return Tape(operations, scopes.calls, where, reached, strangers)


def _reachable(roots: list[Any]) -> list[Any]:
    seen: dict[Any, None] = {}
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node not in seen:
            seen[node] = None
            stack.extend(source for source, _ in node.next_functions if source is not None)
    return list(seen)


def _parameter_side(nodes: list[Any], names: Mapping[int, str]) -> tuple[dict[Any, list[str]], int]:
    """Find the nodes that are a parameter, or only reshape one: node → names. Also count leaves that nobody registered."""
    reads: dict[Any, list[str]] = {}
    strangers = 0
    pending = []
    for node in nodes:
        if node.name() == _LEAF:
            name = names.get(id(node.variable))
            strangers += name is None and isinstance(node.variable, torch.nn.Parameter)
            reads[node] = [] if name is None else [name]
        elif bare_name(node) in SHAPES_A_WEIGHT:
            pending.append(node)
    for node in sorted(pending, key=lambda node: node._sequence_nr()):  # sources ran first
        sources = [source for source, _ in node.next_functions if source is not None]
        if len(sources) == 1 and sources[0] in reads:
            reads[node] = reads[sources[0]]
    return reads, strangers


def _owner(calls: list[Scope], begins: list[int], sequence: int) -> int:
    """The innermost scope whose range holds a sequence number; -1 outside all."""
    index = bisect.bisect_right(begins, sequence) - 1
    while index >= 0 and 0 <= calls[index].end <= sequence:
        index = calls[index].parent
    return index


def _in_order(nodes: list[Any]) -> list[Any]:
    """As they ran, sources first."""
    numbers = {node: node._sequence_nr() for node in nodes}
    order = sorted(nodes, key=numbers.__getitem__)
    if all(numbers.get(source, -1) < number for node, number in numbers.items() for source, _ in node.next_functions):
        return order
    return _topological(order, numbers)


def _topological(nodes: list[Any], numbers: Mapping[Any, int]) -> list[Any]:
    """Sources first although their numbers say otherwise.

    Autograd renews the node of a view whose base was written in place, inside the next operation, and numbers it after that.
    """
    waits = dict.fromkeys(nodes, 0)
    readers: dict[Any, list[Any]] = {node: [] for node in nodes}
    for node in nodes:
        for source, _ in node.next_functions:
            if source in numbers:
                waits[node] += 1
                readers[source].append(node)
    places = {node: place for place, node in enumerate(nodes)}
    ready = [places[node] for node in nodes if not waits[node]]  # ascending, and so a heap
    order = []
    while ready:
        node = nodes[heapq.heappop(ready)]
        order.append(node)
        for reader in readers[node]:
            waits[reader] -= 1
            if not waits[reader]:
                heapq.heappush(ready, places[reader])
    return order
