"""From operations to layers: what a user sees as one, with its output, its inputs and the layers in front of it.

A layer is a module that owns parameters, an activation, or an operation at which the backward signal changes (those are
promoted after a backward pass has shown them). Its name is its module path; a functional call is named after the module it
runs in: ``block1.relu()``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from gradcheck_cli.probe.activations import activation_kind
from gradcheck_cli.probe.scopes import UNREGISTERED, Scope, root_path
from gradcheck_cli.probe.tape import Edge, Tape
from gradcheck_cli.readings import Role


@dataclass(frozen=True)
class Owner:
    """A module of the tree that owns parameters directly, whether it runs or not."""

    name: str
    kind: str
    parameters: tuple[str, ...]
    """Names as the user wrote them, tied ones under this owner's name."""
    container: bool
    """True if child modules own parameters too: then only the operations that read its own ones are its own."""


@dataclass
class Layer:
    """One layer as it ran on one tape."""

    name: str
    kind: str
    role: Role
    operations: list[int] = field(default_factory=list)
    outputs: list[Edge] = field(default_factory=list)
    """Where its output leaves it; several for several calls."""
    upstream: set[int] = field(default_factory=set)
    """Indices of the layers that its inputs come from, nothing in between."""
    producer: int | None = None
    """Of an activation: the index of the last layer with parameters in front of it, whose units these are."""


@dataclass
class Plan:
    """The layers of one tape in the order in which they first ran."""

    layers: list[Layer]
    of: list[int]
    """For each operation, the index of its layer, or -1."""


def canonical(parameter: str, root: str) -> str:
    """The owner's path of a parameter's name; a parameter of a root with children is a layer of its own."""
    path, dot, _ = parameter.partition(".parametrizations.")
    if dot:
        return path
    return parameter.rpartition(".")[0] or root or parameter


def owners_of(module: nn.Module) -> dict[str, Owner]:
    """Every owner of parameters in the tree, in registration order, tied parameters under each of their names."""
    kinds = {path: type(child).__name__ for path, child in module.named_modules(remove_duplicate=False)}
    root = root_path(module)
    kinds[root] = type(module).__name__
    groups: dict[str, list[str]] = {}
    for name, _ in module.named_parameters(remove_duplicate=False):
        groups.setdefault(canonical(name, root), []).append(name)
    paths = sorted(groups)
    return {
        path: Owner(path, kinds.get(path, "Parameter"), tuple(names), _has_inner(path, names, paths))
        for path, names in groups.items()
    }


def _has_inner(path: str, names: list[str], paths: list[str]) -> bool:
    return names == [path] or any(other.startswith(path + ".") for other in paths)


def plan_layers(
    tape: Tape, owners: Mapping[str, Owner], tied: Mapping[str, str], promoted: Collection[int] = ()
) -> Plan:
    """Assign operations to layers.

    Args:
        tape: one forward pass.
        owners: from `owners_of`.
        tied: every parameter name → its first name (the one that the tape knows).
        promoted: operations that are layers of their own although they are neither parametric nor activations.
    """
    plan = Plan([], [-1] * len(tape.operations))
    _assign_modules(plan, tape, owners)
    _assign_readers(plan, tape, owners, tied)
    _link(plan, tape, set(promoted))
    _find_outputs(plan, tape)
    return _in_order(plan)


def layers_of_calls(scopes: Sequence[Scope], owners: Mapping[str, Owner]) -> list[str]:
    """For each module call, the layer that all that runs in it belongs to; empty for none.

    Those are the modules that own parameters and contain no others, and their parameterless children.
    """
    names: list[str] = []
    for scope in scopes:
        owner = owners.get(scope.path)
        if owner is not None and not owner.container:
            names.append(owner.name)
        else:
            names.append(names[scope.parent] if scope.parent >= 0 else "")
    return names


def _assign_modules(plan: Plan, tape: Tape, owners: Mapping[str, Owner]) -> None:
    names = layers_of_calls(tape.scopes, owners)
    index_of: dict[str, int] = {}
    for scope, name in zip(tape.scopes, names, strict=True):
        if name and name not in index_of:
            index_of[name] = len(plan.layers)
            plan.layers.append(Layer(name, scope.kind, Role.PARAMETRIC))
        if name and scope.path == name:
            _add_outputs(plan.layers[index_of[name]], scope, tape)
    for index, operation in enumerate(tape.operations):
        if operation.scope >= 0 and names[operation.scope]:
            plan.of[index] = index_of[names[operation.scope]]
            plan.layers[plan.of[index]].operations.append(index)


def _add_outputs(layer: Layer, scope: Scope, tape: Tape) -> None:
    for output in scope.outputs:
        if output.node in tape.where:
            edge = tape.source((tape.where[output.node], output.number))
            if edge not in layer.outputs:
                layer.outputs.append(edge)


def _assign_readers(plan: Plan, tape: Tape, owners: Mapping[str, Owner], tied: Mapping[str, str]) -> None:
    """Parameters read outside their own module: of containers, of the root, in functional style, and tied ones."""
    known = {layer.name: index for index, layer in enumerate(plan.layers) if layer.operations}
    kinds = {scope.path: scope.kind for scope in tape.scopes}  # an exported tree has lost its classes
    first_names = {tied[name]: owner for owner in reversed(list(owners.values())) for name in owner.parameters}
    for index, operation in enumerate(tape.operations):
        if plan.of[index] >= 0 or not operation.parameters:
            continue
        owner = first_names[operation.parameters[0]]
        if owner.name in known and not owner.container:
            continue  # its module ran too; this is a second use of a tied parameter
        if owner.name not in known:
            known[owner.name] = len(plan.layers)
            plan.layers.append(Layer(owner.name, kinds.get(owner.name, owner.kind), Role.PARAMETRIC))
        plan.of[index] = known[owner.name]
        layer = plan.layers[known[owner.name]]
        layer.operations.append(index)
        layer.outputs = [edge for edge in layer.outputs if edge not in map(tape.source, operation.inputs)]
        layer.outputs.append((index, 0))


def _link(plan: Plan, tape: Tape, promoted: set[int]) -> None:
    """Walk forward once: make activations and promoted operations layers, and note what each layer's inputs come from."""
    sources: list[frozenset[int]] = []
    numbered: dict[tuple[str, int | None], int] = {}
    calls: dict[str, int] = {}
    taken = {layer.name for layer in plan.layers}
    for index, operation in enumerate(tape.operations):
        before = _before(operation.inputs, sources)
        kind = activation_kind(operation.name)
        if plan.of[index] < 0 and (kind or index in promoted):
            producer = _producer(plan, before)
            name, label = _display(tape, index, kind or operation.name, taken)
            key = (name, producer)
            if key not in numbered:
                calls[name] = calls.get(name, 0) + 1
                numbered[key] = len(plan.layers)
                shown = name if calls[name] == 1 else f"{name}#{calls[name]}"
                role = Role.ACTIVATION if kind else Role.OPERATION
                plan.layers.append(Layer(shown, label, role, producer=producer))
            plan.of[index] = numbered[key]
            layer = plan.layers[numbered[key]]
            layer.operations.append(index)
            layer.outputs.append((index, 0))
        own = plan.of[index]
        if own >= 0:
            plan.layers[own].upstream |= before - {own}
        sources.append(frozenset({own}) if own >= 0 else before)


def _find_outputs(plan: Plan, tape: Tape) -> None:
    """A module that hands out its own kind of object shows no tensors; its output is then what others read of it."""
    bare = {index for index, layer in enumerate(plan.layers) if layer.operations and not layer.outputs}
    if not bare:
        return
    for index, operation in enumerate(tape.operations):
        for edge in operation.inputs:
            source = tape.source(edge)
            owner = plan.of[source[0]]
            if owner in bare and plan.of[index] != owner and source not in plan.layers[owner].outputs:
                plan.layers[owner].outputs.append(source)


def _before(inputs: list[Edge], sources: list[frozenset[int]]) -> frozenset[int]:
    if len(inputs) == 1:
        return sources[inputs[0][0]]
    return frozenset().union(*(sources[index] for index, _ in inputs))


def _producer(plan: Plan, before: frozenset[int]) -> int | None:
    """The last layer with parameters among those in front, seen through activations."""
    candidates: set[int] = set()
    for index in before:
        layer = plan.layers[index]
        candidates |= {index} if layer.role is Role.PARAMETRIC else {layer.producer} - {None}  # type: ignore[arg-type]
    return max(candidates, key=lambda index: plan.layers[index].operations[-1], default=None)


def _display(tape: Tape, index: int, operation_kind: str, taken: Collection[str]) -> tuple[str, str]:
    """(name, kind) of a layer without parameters: its module's path, or ``path.call()`` for a functional call."""
    number = tape.operations[index].scope
    if number < 0:
        return f"{operation_kind.lower()}()", operation_kind
    scope = tape.scopes[number]
    if scope.leaf and scope.path not in ("", UNREGISTERED) and scope.path not in taken:
        return scope.path, scope.kind
    return f"{scope.path}.{operation_kind.lower()}()".lstrip("."), operation_kind


def _in_order(plan: Plan) -> Plan:
    """Renumber by first operation, the order in which the layers ran; modules that left nothing on the tape drop out."""
    ran = [index for index, layer in enumerate(plan.layers) if layer.operations]
    order = sorted(ran, key=lambda index: plan.layers[index].operations[0])
    new = {old: position for position, old in enumerate(order)}
    layers = [plan.layers[old] for old in order]
    for layer in layers:
        layer.upstream = {new[index] for index in layer.upstream}
        layer.producer = None if layer.producer is None else new[layer.producer]
    return Plan(layers, [new.get(index, -1) for index in plan.of])


def tied_names(module: nn.Module) -> dict[str, str]:
    """Every parameter's name → the first name of the same tensor."""
    first: dict[int, str] = {}
    return {name: first.setdefault(id(p), name) for name, p in module.named_parameters(remove_duplicate=False)}


def trainable_parameters(module: nn.Module) -> dict[str, torch.Tensor]:
    """First name → parameter that gradients can be taken of, each tensor once."""
    return {name: p for name, p in module.named_parameters() if p.requires_grad and _differentiable(p)}


def _differentiable(parameter: torch.Tensor) -> bool:
    return parameter.is_floating_point() or parameter.is_complex()
