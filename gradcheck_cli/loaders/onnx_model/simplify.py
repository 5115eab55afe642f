"""What can be settled before the first run: constants folded, copies of equal weights told apart, shape arithmetic marked."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import onnx
import torch

from gradcheck_cli.loaders.onnx_model.bodies import bodies
from gradcheck_cli.loaders.onnx_model.names import Frames, Names
from gradcheck_cli.loaders.onnx_model.origins import Origins
from gradcheck_cli.loaders.onnx_model.program import Graph, Step
from gradcheck_cli.loaders.onnx_model.trainable import LOOSE, SLOTS, is_own_name
from gradcheck_cli.loaders.onnx_model.values import FLOATING

MAX_FOLDED = 1 << 22
"""Elements of a constant that is computed once instead of in every run."""
_NOT_FOLDED = frozenset(
    (
        "RandomNormal",
        "RandomUniform",
        "RandomNormalLike",
        "RandomUniformLike",
        "Bernoulli",
        "Multinomial",
        "Dropout",
        "BatchNormalization",
    )
)
_INTEGER = frozenset(
    {
        *("Shape", "Size", "NonZero", "ArgMax", "ArgMin", "NonMaxSuppression", "SequenceLength", "IsNaN", "IsInf"),
        *("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "And", "Or", "Not", "Xor"),
    }
)
"""Operators whose results are never floating."""
_BY_FIRST = frozenset(
    ("Gather", "Reshape", "Slice", "Expand", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Tile", "Pad")
)
"""Operators whose result is of the type of their first input."""
_MAKES_FLOATS = frozenset(("ConstantOfShape", "EyeLike", "OneHot", "DequantizeLinear", "CastLike"))


def separate(graph: onnx.GraphProto, initial: dict[str, Any]) -> None:
    """Undo what exporters do to equal weights: give every module its own again. Changes both arguments.

    Exporters keep one of several initialisers with the same values, such as the zero biases of a new net, and so tie what
    was never tied. The older exporter of torch leaves an Identity for each; the newer one shares the initialiser itself.
    Tables that are looked up stay shared: those are tied on purpose.
    """
    _resolve_identities(graph, initial)
    names = Names(graph.node, initial)
    origins = Origins(graph)
    _separate_state(graph, initial)
    first = _owners(graph, initial, names)
    twins: dict[tuple[str, str], str] = {}
    """(initialiser, module path) → the module's own one."""
    for node in graph.node:
        frames = names.frames(node)
        if not frames or node.op_type == "Gather":
            continue
        path = frames[-1][0]
        for slot, name in enumerate(node.input):
            if slot not in SLOTS.get(node.op_type, {}) or not _is_weight(initial.get(name), node.op_type):
                continue
            may_be_constant = node.op_type in LOOSE or node.op_type.endswith("Normalization")
            if may_be_constant and origins.known and "." not in name and not origins.is_parameter(name):
                continue  # a mask, the ones of a norm without parameters
            if first.setdefault(name, path) != path:
                if (name, path) not in twins:
                    own = _name_beside(name, first[name], node, slot, frames)
                    while own in initial:
                        own += "_"
                    initial[own] = _copied(initial[name])
                    twins[(name, path)] = own
                node.input[slot] = twins[(name, path)]


def _resolve_identities(graph: onnx.GraphProto, initial: dict[str, Any]) -> None:
    """An initialiser for each Identity of one: of its own where the exporter dropped an equal one, else the same."""
    outputs = {value.name for value in graph.output}
    kept: list[onnx.NodeProto] = []
    same: dict[str, str] = {}
    for node in graph.node:
        node.input[:] = [same.get(name, name) for name in node.input]
        if node.op_type != "Identity" or node.input[0] not in initial or node.output[0] in outputs:
            kept.append(node)
        elif node.output[0].startswith("onnx::") or (is_own_name(node.output[0]) and not node.metadata_props):
            initial[node.output[0]] = _copied(initial[node.input[0]])
        else:
            same[node.output[0]] = node.input[0]
    for body in bodies(graph):
        for node in body.node:
            node.input[:] = [same.get(name, name) for name in node.input]
    if len(kept) < len(graph.node):
        del graph.node[:]
        graph.node.extend(kept)


def _owners(graph: onnx.GraphProto, initial: Mapping[str, Any], names: Names) -> dict[str, str]:
    """Initialiser → the module in its name, for those that this module itself reads."""
    read = {(name, frames[-1][0]) for node in graph.node if (frames := names.frames(node)) for name in node.input}
    return {name: owner for name in initial if (name, owner := name.rpartition(".")[0]) in read}


def _separate_state(graph: onnx.GraphProto, initial: dict[str, Any]) -> None:
    """The mean and the variance of a new batch norm are equal to its bias and its weight, and still none of its parameters."""
    for node in graph.node:
        if node.op_type == "BatchNormalization" and len(node.input) >= 5:
            owner = node.input[1].rpartition(".")[0]
            for slot, role in ((3, "running_mean"), (4, "running_var")):
                if _is_weight(initial.get(node.input[slot])) and not node.input[slot].endswith(role):
                    own = f"{owner}.{role}" if owner else role
                    while own in initial:
                        own = f"{owner or node.name}_.{own.rpartition('.')[2]}"
                        owner += "_"
                    initial[own] = _copied(initial[node.input[slot]])
                    node.input[slot] = own


def _name_beside(name: str, first: str, node: onnx.NodeProto, slot: int, frames: Frames) -> str:
    """What the initialiser of this node was called, from what it shares its values with, and from its neighbour."""
    path, kind = frames[-1]
    role = SLOTS[node.op_type][slot]
    if name.startswith(first + "."):
        return path + name[len(first) :]
    owner = node.input[1].rpartition(".")[0] if len(node.input) > 1 else ""
    if role == "bias" and slot > 1 and (owner + ".").startswith(path + "."):
        return f"{owner}.{role}"
    return f"{path}.in_proj_{role}" if kind == "MultiheadAttention" else f"{path}.{role}"


def _is_weight(value: Any, operator: str = "") -> bool:
    """A single number may be any constant, but as a PReLU's slope."""
    several = isinstance(value, torch.Tensor) and value.is_floating_point()
    return several and (value.numel() > 1 or (operator == "PRelu" and value.dim() > 0))


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, torch.Tensor) else value


def fold(graph: Graph, constants: dict[str, Any]) -> None:
    """Compute the steps whose inputs are all constants, and move their results from `graph.steps` to `constants`."""
    kept = []
    for step in graph.steps:
        if not _foldable(step, constants) or not _folded(step, constants):
            kept.append(step)
    graph.steps = kept


def _foldable(step: Step, constants: Mapping[str, Any]) -> bool:
    return (
        not step.bodies
        and step.operator not in _NOT_FOLDED
        and all(name is None or name in constants for name in step.inputs)
    )


def _folded(step: Step, constants: dict[str, Any]) -> bool:
    """Whether it could be computed; if not, the run will say why."""
    results: Any = None
    with contextlib.suppress(Exception), torch.no_grad():
        results = step.run(*(constants[name] if name is not None else None for name in step.inputs), **step.attributes)
    results = results if isinstance(results, tuple) else (results,)
    sizes = [value.numel() for value in results if isinstance(value, torch.Tensor)]
    if not sizes or max(sizes) > MAX_FOLDED or len(results) < len(step.outputs):
        return False
    constants.update({name: value for name, value in zip(step.outputs, results, strict=False) if name})
    return True


def mark_shape_arithmetic(graph: Graph, constants: Mapping[str, Any], floating_inputs: frozenset[str]) -> None:
    """Shape arithmetic belongs to no module call: exporters move it to where it suits them."""
    whole = {
        name for name, value in constants.items() if isinstance(value, torch.Tensor) and not value.is_floating_point()
    }
    whole |= set(graph.inputs) - floating_inputs
    for step in graph.steps:
        if _gives_integers(step, whole):
            whole.update(step.outputs)
            step.frames = None


def _gives_integers(step: Step, whole: set[str]) -> bool:
    names = [name for name in step.inputs if name is not None]
    if step.operator in _INTEGER:
        return True
    if step.operator in _MAKES_FLOATS or step.bodies or not names:
        return False
    if step.operator == "Cast":
        return step.attributes.get("to") not in FLOATING
    telling = names[:1] if step.operator in _BY_FIRST else names[1:2] if step.operator == "Where" else names
    return all(name in whole for name in telling)
