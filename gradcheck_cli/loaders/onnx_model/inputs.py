"""What an ONNX file says that its inputs are."""

from __future__ import annotations

import onnx

from gradcheck_cli.loaders.onnx_model import values
from gradcheck_cli.loaders.onnx_model.module import identifiers
from gradcheck_cli.records import InputSpec


def input_specs(graph: onnx.GraphProto) -> tuple[InputSpec, ...]:
    """One for each input that has no initialiser, under its name in Python."""
    stored = {value.name: tuple(value.dims) for value in graph.initializer}
    given = [value for value in graph.input if value.name not in stored]
    names = identifiers([value.name for value in given])
    rows = _rows(graph, stored)
    return tuple(
        InputSpec(name, _dtype(value), _shape(value), rows.get(value.name, 0))
        for name, value in zip(names, given, strict=True)
    )


def _dtype(value: onnx.ValueInfoProto) -> str:
    dtype = values.DTYPES.get(value.type.tensor_type.elem_type)
    return str(dtype or "float32").removeprefix("torch.")


def _shape(value: onnx.ValueInfoProto) -> tuple[int | str, ...] | None:
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return None
    return tuple(
        int(each.dim_value) if each.HasField("dim_value") and each.dim_value >= 0 else each.dim_param or f"d{place}"
        for place, each in enumerate(kind.shape.dim)
    )


def _rows(graph: onnx.GraphProto, stored: dict[str, tuple[int, ...]]) -> dict[str, int]:
    """Input → rows of the smallest table that it chooses from, seen through casts and reshapes."""
    same = {value.name: value.name for value in graph.input}
    found: dict[str, int] = {}
    for node in graph.node:
        if node.op_type in (
            "Cast",
            "Reshape",
            "Unsqueeze",
            "Squeeze",
            "Identity",
            "Flatten",
            "Transpose",
            "Slice",
            "Clip",
        ):
            if node.input and node.input[0] in same:
                same.update(dict.fromkeys(node.output, same[node.input[0]]))
        elif node.op_type == "Gather" and len(node.input) > 1 and node.input[1] in same:
            axis = next((each.i for each in node.attribute if each.name == "axis"), 0)
            dims = stored.get(node.input[0], ())
            if -len(dims) <= axis < len(dims):
                name = same[node.input[1]]
                found[name] = min(found.get(name, dims[axis]), dims[axis])
    return found
