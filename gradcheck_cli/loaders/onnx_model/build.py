"""From a checked ModelProto to a module: functions inlined, parameters told from constants, the graph compiled."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import onnx
import onnx.inliner

from gradcheck_cli.loaders.onnx_model import parameters, values
from gradcheck_cli.loaders.onnx_model.bodies import hoist
from gradcheck_cli.loaders.onnx_model.compiler import Compiler, finish, reads_of
from gradcheck_cli.loaders.onnx_model.fuse import fuse
from gradcheck_cli.loaders.onnx_model.fuse_groups import fuse_groups
from gradcheck_cli.loaders.onnx_model.module import Held, OnnxModule
from gradcheck_cli.loaders.onnx_model.program import Frame
from gradcheck_cli.loaders.onnx_model.restore import name_folded, tie_copies
from gradcheck_cli.loaders.onnx_model.simplify import fold, mark_shape_arithmetic, separate
from gradcheck_cli.onnx_ops.registry import Mode


def build(
    model: onnx.ModelProto, stored: Mapping[str, Any] | None = None, outputs: tuple[str, ...] | None = None
) -> OnnxModule:
    """The differentiable module of `model`.

    Args:
        model: checked, and used up: its graph may be changed.
        stored: initialiser → value, for those whose data do not lie in `model`.
        outputs: which outputs; the floating ones if None (all, if there are none).

    Raises:
        UnsupportedError: with all the operators that are missing.
        AttributeFault: an attribute is not one of its operator's.
    """
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    graph = model.graph
    hoist(graph)
    opsets = {"" if each.domain == "ai.onnx" else each.domain: each.version for each in model.opset_import}
    initial = _initial(graph, stored or {})
    name_folded(graph, initial)
    separate(graph, initial)
    tie_copies(graph, initial)
    fuse(graph, initial)
    fuse_groups(graph, initial)
    planned = parameters.plan(graph, initial)
    mode = Mode()
    compiled = Compiler(opsets, mode, functools.partial(_frames, planned)).graph(
        graph, outputs or floating_outputs(graph)
    )
    compiled.inputs = tuple(name for name in compiled.inputs if name not in initial)
    constants = {name: value for name, value in planned.initial.items() if not isinstance(value, (Held, tuple))}
    fold(compiled, constants)
    floating = frozenset(value.name for value in graph.input if _may_be_floating(value))
    mark_shape_arithmetic(compiled, constants, floating)
    placed = planned.initial | constants
    read = {name for step in compiled.steps for name in reads_of(step)} | set(compiled.outputs)
    module = OnnxModule(compiled, {name: value for name, value in placed.items() if name in read}, mode, planned.kinds)
    finish(compiled, {name.rpartition(".")[0] for name, _ in module.named_parameters()})
    return module


def _initial(graph: onnx.GraphProto, stored: Mapping[str, Any]) -> dict[str, Any]:
    initial = {value.name: values.tensor(value) for value in graph.initializer if value.name not in stored}
    return initial | {value.values.name: values.sparse(value) for value in graph.sparse_initializer} | dict(stored)


def _frames(planned: parameters.Plan, node: onnx.NodeProto) -> tuple[Frame, ...] | None:
    first = next((name for name in node.output if name), "")
    return planned.frames.get(first)


def floating_outputs(graph: onnx.GraphProto) -> tuple[str, ...]:
    """The outputs that can have a gradient: all others are left out, with all that only they need."""
    names = tuple(output.name for output in graph.output if _may_be_floating(output))
    return names or tuple(output.name for output in graph.output)


def _may_be_floating(value: onnx.ValueInfoProto) -> bool:
    """False only if the file says so."""
    kind = value.type
    while kind.WhichOneof("value") in ("sequence_type", "optional_type"):
        kind = getattr(kind, str(kind.WhichOneof("value"))).elem_type
    element = kind.tensor_type.elem_type
    return element == 0 or element in values.FLOATING
