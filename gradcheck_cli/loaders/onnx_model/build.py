"""From a checked ModelProto to a module: functions inlined, parameters told from constants, the graph compiled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx
import onnx.inliner

from gradcheck_cli.loaders.onnx_model import parameters, values
from gradcheck_cli.loaders.onnx_model.compiler import Compiler, finish
from gradcheck_cli.loaders.onnx_model.module import OnnxModule
from gradcheck_cli.loaders.onnx_model.names import frames_of
from gradcheck_cli.onnx_ops.registry import Mode


def build(model: onnx.ModelProto, stored: Mapping[str, Any] | None = None, outputs: tuple[str, ...] | None = None) -> OnnxModule:
    """The differentiable module of `model`.

    Args:
        model: checked; it is not changed.
        stored: initialiser → value, for those whose data do not lie in `model`.
        outputs: which outputs; the floating ones if None (all, if there are none).

    Raises:
        UnsupportedError: with all the operators that are missing.
        AttributeFault: an attribute is not one of its operator's.
    """
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    opsets = {"" if each.domain == "ai.onnx" else each.domain: each.version for each in model.opset_import}
    mode = Mode()
    graph = Compiler(opsets, mode, frames_of).graph(model.graph, outputs or floating_outputs(model.graph))
    initial = {value.name: values.tensor(value) for value in model.graph.initializer if not (stored and value.name in stored)}
    initial |= {value.values.name: values.sparse(value) for value in model.graph.sparse_initializer}
    initial |= stored or {}
    graph.inputs = tuple(name for name in graph.inputs if name not in initial)
    placed = parameters.assign(model.graph, initial)
    used = {name: value for name, value in placed.items() if name in graph.captured}
    return OnnxModule(finish(graph), used, mode)


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
