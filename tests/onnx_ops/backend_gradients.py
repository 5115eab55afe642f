"""The gradients of the ONNX backend node tests: autograd against finite differences in float64."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import onnx
import torch
from backend_cases import Case, as_input, is_floating
from torch import Tensor

from gradcheck_cli.loaders.onnx_model import values
from gradcheck_cli.loaders.onnx_model.build import build

SHAPES = {
    "Dropout": {1},
    "OneHot": {1},
    "QuantizeLinear": {2},
    "Resize": {1, 2},
    "Upsample": {1},
}
"""Floating inputs that say how large or of which type the output is, or how it is drawn: no gradient is asked for."""
NUDGE = 1e-3
"""By how much inputs are moved, so that none lies on a kink or on the edge of where the operator is defined."""


def check_gradient(case: Case) -> bool:
    """Compare autograd with finite differences in float64, on the floating inputs; False where there is nothing to compare.

    Raises an error where they differ.
    """
    outputs = tuple(output.name for output in case.model.graph.output if is_floating(output))
    module = build(in_float64(case.model), outputs=outputs)
    module.eval()
    module.double()
    arguments = [as_input(value) for value in case.sets[0][0]]
    places = [place for place in asked(case) if place < len(arguments)]
    for place in places:
        arguments[place] = _wide(arguments[place])
    leaves = [leaf for place in places for leaf in _leaves(arguments[place])]
    generator = torch.Generator().manual_seed(0)
    floating = [_nudged(leaf, generator).requires_grad_() for leaf in leaves]

    def run(*moved: Tensor) -> list[Tensor]:
        by_leaf = {id(leaf): value for leaf, value in zip(leaves, moved, strict=True)}
        torch.manual_seed(0)
        found = module(*(_replaced(argument, by_leaf) for argument in arguments))
        return list(_leaves(list(found.values()) if isinstance(found, dict) else found))

    first = run(*floating)
    connected = [(number, output.isfinite()) for number, output in enumerate(first) if output.requires_grad]
    if not connected:
        return False

    def compared(*moved: Tensor) -> tuple[Tensor, ...]:
        found = run(*moved)
        return tuple(torch.where(finite, found[number], 0.0) for number, finite in connected)

    return bool(torch.autograd.gradcheck(compared, floating, eps=1e-6, atol=1e-5, rtol=1e-3, fast_mode=True))


def asked(case: Case) -> list[int]:
    """The places of the floating inputs for which there is a gradient to ask."""
    slots = {
        name
        for node in case.model.graph.node
        for slot, name in enumerate(node.input)
        if slot in SHAPES.get(node.op_type, ())
    }
    return [i for i, info in enumerate(case.model.graph.input) if is_floating(info) and info.name not in slots]


def _leaves(value: Any) -> Iterator[Tensor]:
    """The floating tensors in a value, empty ones left out."""
    if isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    elif isinstance(value, Tensor) and value.is_floating_point() and value.numel():
        yield value


def _wide(value: Any) -> Any:
    """The same in float64."""
    if isinstance(value, list):
        return [_wide(item) for item in value]
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value


def _replaced(value: Any, by_leaf: dict[int, Tensor]) -> Any:
    if isinstance(value, list):
        return [_replaced(item, by_leaf) for item in value]
    return by_leaf.get(id(value), value)


def _nudged(x: Tensor, generator: torch.Generator) -> Tensor:
    """A copy in float64, moved a little: off whole numbers, and not over the ends of [−1, 1], [0, 1] and [1, ∞)."""
    x = x.detach().nan_to_num(0.3, 0.7, -0.7)
    towards = torch.where(x.abs() < 1, torch.where(x < 0.5, 1.0, -1.0), x.sign())
    return x + towards * NUDGE * (0.5 + 0.5 * torch.rand(x.shape, generator=generator, dtype=x.dtype))


# --------------------------------------------------------------------------------------------------- a model in float64


def in_float64(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which all that is declared floating is float64: Casts, constants and initialisers too."""
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    _convert(copied.graph)
    for function in copied.functions:
        _convert_nodes(function.node)
    return copied


def _convert(graph: onnx.GraphProto) -> None:
    for initial in graph.initializer:
        _convert_tensor(initial)
    _convert_nodes(graph.node)


def _convert_nodes(nodes: Any) -> None:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                _convert(attribute.g)
            elif attribute.type == onnx.AttributeProto.TENSOR:
                _convert_tensor(attribute.t)
            elif (
                attribute.name in ("to", "dtype", "stash_type", "softmax_precision") and attribute.i in values.FLOATING
            ):
                attribute.i = onnx.TensorProto.DOUBLE


def _convert_tensor(tensor: onnx.TensorProto) -> None:
    if tensor.data_type in values.FLOATING:
        wide = onnx.numpy_helper.to_array(tensor).astype("float64")
        tensor.CopyFrom(onnx.numpy_helper.from_array(wide, tensor.name))
