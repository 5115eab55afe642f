"""Puts together what old opsets had to spell out: GELU, SiLU, Mish and layer norms become one operator again.

The values are the same; but the user wrote one activation, and only as one can its units be looked at.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import onnx
import torch

from gradcheck_cli.onnx_ops.registry import FUSED

_CLOSE = 1e-3


def fuse(graph: onnx.GraphProto, initial: Mapping[str, Any]) -> None:
    """Replace the last node of each pattern found in the main graph; the others fall away if nothing else reads them."""
    found = Links(graph, initial)
    for node in list(graph.node):
        if node.op_type == "Erf":
            _erf_gelu(found, node)
        elif node.op_type == "Tanh":
            _tanh_gelu(found, node) or _mish(found, node)
        elif node.op_type == "Sigmoid":
            _silu(found, node)
        elif node.op_type == "Sqrt":
            _layer_norm(found, node)
        elif node.op_type == "Softmax":
            _attention(found, node)


class Links:
    """Who gives and who reads each value."""

    def __init__(self, graph: onnx.GraphProto, initial: Mapping[str, Any]) -> None:
        self.initial = initial
        self.outputs = {value.name for value in graph.output}
        self.makers = {name: node for node in graph.node for name in node.output if name}
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)

    def only_reader(self, name: str) -> onnx.NodeProto | None:
        """The node that alone reads a value that is no output."""
        readers = self.readers.get(name, [])
        return readers[0] if len(readers) == 1 and name not in self.outputs else None

    def maker(self, name: str, *operators: str) -> onnx.NodeProto | None:
        """The node that gives a value, if it is one of `operators`."""
        node = self.makers.get(name)
        return node if node is not None and node.op_type in operators else None

    def number(self, name: str) -> float | None:
        """The value of a constant of one element."""
        value = self.initial.get(name)
        if value is None:
            node = self.maker(name, "Constant")
            value = _constant(node) if node is not None else None
        return float(value) if isinstance(value, torch.Tensor) and value.numel() == 1 else None

    def is_number(self, name: str, wanted: float) -> bool:
        """Whether a value is a constant close to `wanted`."""
        value = self.number(name)
        return value is not None and math.isclose(value, wanted, rel_tol=_CLOSE)

    def other(self, node: onnx.NodeProto, wanted: float) -> str | None:
        """The operand of a two-operand node whose other operand is the number `wanted`."""
        if len(node.input) == 2:
            for one, two in ((0, 1), (1, 0)):
                if self.is_number(node.input[two], wanted):
                    return str(node.input[one])
        return None

    def scaled(self, name: str, factor: float) -> str | None:
        """The value that `name` is `factor` times of."""
        node = self.maker(name, "Mul", "Div")
        if node is None:
            return None
        if node.op_type == "Mul":
            return self.other(node, factor)
        return str(node.input[0]) if self.is_number(node.input[1], 1 / factor) else None

    def scalar_factor(self, name: str) -> tuple[str, str] | None:
        """(value, factor) where `name` is a value times a single number, constant or the square root of one."""
        node = self.maker(name, "Mul")
        if node is None:
            return None
        for value, factor in (tuple(node.input), tuple(node.input)[::-1]):
            if self.number(factor) is not None or self.maker(factor, "Sqrt") is not None:
                return value, factor
        return None

    def product(self, start: str, others: list[str | float]) -> onnx.NodeProto | None:
        """The node at which `start`, multiplied on, has become the product of it and all of `others`, each once."""
        left = list(others)
        name = start
        while left:
            node = self.only_reader(name)
            if node is None or node.op_type not in ("Mul", "Div") or (node.op_type == "Div" and node.input[0] != name):
                return None
            operand = next((each for each in node.input if each != name), "")
            if not self._take(operand, left, inverse=node.op_type == "Div"):
                return None
            if not left:
                return node
            name = node.output[0]
        return None

    def _take(self, operand: str, left: list[str | float], *, inverse: bool) -> bool:
        if not inverse and operand in left:
            left.remove(operand)
            return True
        number = self.number(operand)
        for wanted in left:
            if isinstance(wanted, float):
                if number is not None and math.isclose(number, 1 / wanted if inverse else wanted, rel_tol=_CLOSE):
                    left.remove(wanted)
                    return True
                base = self.scaled(operand, wanted)
                if not inverse and base in left:  # half of x, in one factor
                    left.remove(wanted)
                    left.remove(base)
                    return True
        return False


def _erf_gelu(graph: Links, node: onnx.NodeProto) -> bool:
    x = graph.scaled(node.input[0], math.sqrt(0.5))
    return x is not None and _gelu(graph, node, x, "none")


def _tanh_gelu(graph: Links, node: onnx.NodeProto) -> bool:
    inner = graph.scaled(node.input[0], math.sqrt(2 / math.pi))
    total = graph.maker(inner, "Add") if inner else None
    if total is None:
        return False
    for x, cubic in (tuple(total.input), tuple(total.input)[::-1]):
        cube = graph.scaled(cubic, 0.044715)
        if cube is not None and _is_cube(graph, cube, x):
            return _gelu(graph, node, x, "tanh")
    return False


def _is_cube(graph: Links, name: str, x: str) -> bool:
    power = graph.maker(name, "Pow")
    if power is not None:
        return power.input[0] == x and graph.is_number(power.input[1], 3.0)
    product = graph.maker(name, "Mul")
    if product is None:
        return False
    for one, two in (tuple(product.input), tuple(product.input)[::-1]):
        square = graph.maker(two, "Mul", "Pow")
        if one == x and square is not None and square.input[0] == x:
            return (square.op_type == "Mul" and square.input[1] == x) or graph.is_number(square.input[1], 2.0)
    return False


def _gelu(graph: Links, node: onnx.NodeProto, x: str, approximate: str) -> bool:
    shifted = graph.only_reader(node.output[0])
    if shifted is None or shifted.op_type != "Add" or graph.other(shifted, 1.0) != node.output[0]:
        return False
    last = graph.product(shifted.output[0], [x, 0.5])
    return last is not None and _replace(last, "Gelu", [x], approximate=approximate)


def _mish(graph: Links, node: onnx.NodeProto) -> bool:
    inner = graph.maker(node.input[0], "Softplus")
    last = graph.product(node.output[0], [inner.input[0]]) if inner is not None else None
    return last is not None and inner is not None and _replace(last, "Mish", [inner.input[0]])


def _silu(graph: Links, node: onnx.NodeProto) -> bool:
    last = graph.product(node.output[0], [node.input[0]])
    return last is not None and _replace(last, "Swish", [node.input[0]])


def _layer_norm(graph: Links, node: onnx.NodeProto) -> bool:
    """(x − mean) / sqrt(mean of its square + ε) · weight + bias, over the last axis."""
    added = graph.maker(node.input[0], "Add")
    if added is None:
        return False
    for name, number in (tuple(added.input), tuple(added.input)[::-1]):
        epsilon, variance = graph.number(number), graph.maker(name, "ReduceMean")
        if epsilon is None or variance is None or not _over_last(graph, variance):
            continue
        square = graph.maker(variance.input[0], "Pow", "Mul")
        centred = graph.maker(square.input[0], "Sub") if square is not None else None
        if square is None or centred is None:
            continue
        is_square = graph.is_number(square.input[1], 2.0) if square.op_type == "Pow" else len(set(square.input)) == 1
        mean = graph.maker(centred.input[1], "ReduceMean")
        if not is_square or mean is None or mean.input[0] != centred.input[0] or not _over_last(graph, mean):
            continue
        divided = graph.only_reader(node.output[0])
        if divided is None or divided.op_type != "Div" or divided.input[0] != centred.output[0]:
            continue
        return _affine(graph, divided, centred.input[0], epsilon)
    return False


def _attention(graph: Links, node: onnx.NodeProto) -> bool:
    """softmax(q·s · kᵀ·s + mask)·v: torch's exporters write its fused attention so, with both factors scaled."""
    mask = ""
    scores = graph.maker(node.input[0], "MatMul", "Add")
    if scores is not None and scores.op_type == "Add":
        sides = tuple(scores.input)
        scores, mask = next(
            ((found, other) for name, other in (sides, sides[::-1]) if (found := graph.maker(name, "MatMul"))),
            (None, ""),
        )
    weights = _guarded(graph, node.output[0])
    last = graph.only_reader(weights)
    axis = next((each.i for each in node.attribute if each.name == "axis"), None)
    if axis != -1 or scores is None or last is None or last.op_type != "MatMul" or last.input[0] != weights:
        return False
    factors = [graph.scalar_factor(name) for name in scores.input]
    if graph.only_reader(scores.output[0]) is None or factors[0] is None or factors[1] is None:
        return False
    (q, first), (keys, second) = factors[0], factors[1]
    return _replace(
        last, "ScaledDotProductAttention", [q, keys, last.input[1], first, second, *([mask] if mask else [])]
    )


def _guarded(graph: Links, name: str) -> str:
    """The value that is `name` but 0 where it is NaN, as softmax is for rows that are masked altogether; else `name`."""
    readers = {node.op_type: node for node in graph.readers.get(name, [])}
    if set(readers) != {"IsNaN", "Where"} or name in graph.outputs:
        return name
    guard, where = readers["IsNaN"], readers["Where"]
    right = where.input[0] == guard.output[0] and graph.is_number(where.input[1], 0.0) and where.input[2] == name
    return str(where.output[0]) if right and graph.only_reader(guard.output[0]) is where else name


def _affine(graph: Links, divided: onnx.NodeProto, x: str, epsilon: float) -> bool:
    scaled = graph.only_reader(divided.output[0])
    weight = _vector_beside(graph, scaled, "Mul", divided.output[0])
    if scaled is None or weight is None:
        return False
    shifted = graph.only_reader(scaled.output[0])
    bias = _vector_beside(graph, shifted, "Add", scaled.output[0])
    if shifted is not None and bias is not None:
        return _replace(shifted, "LayerNormalization", [x, weight, bias], epsilon=epsilon)
    return _replace(scaled, "LayerNormalization", [x, weight], epsilon=epsilon)


def _vector_beside(graph: Links, node: onnx.NodeProto | None, operator: str, name: str) -> str | None:
    if node is None or node.op_type != operator:
        return None
    for other in node.input:
        value = graph.initial.get(other)
        if other != name and isinstance(value, torch.Tensor) and value.dim() == 1:
            return str(other)
    return None


def _over_last(graph: Links, node: onnx.NodeProto) -> bool:
    axes = next((list(each.ints) for each in node.attribute if each.name == "axes"), None)
    if axes is None and len(node.input) > 1:
        number = graph.number(node.input[1])
        axes = None if number is None else [int(number)]
    keeps = next((each.i for each in node.attribute if each.name == "keepdims"), 1)
    return axes == [-1] and keeps == 1


def _constant(node: onnx.NodeProto) -> Any:
    from gradcheck_cli.loaders.onnx_model import values

    given = {
        each.name: values.attribute(each)
        for each in node.attribute
        if each.name in ("value", "value_float", "value_int")
    }
    value = next(iter(given.values()), None)
    return torch.tensor(value) if isinstance(value, (int, float)) else value


def _replace(node: onnx.NodeProto, operator: str, inputs: list[str], **attributes: Any) -> bool:
    """Make `node` another one, with its name and its output."""
    node.op_type, node.domain = operator, FUSED
    del node.input[:], node.attribute[:]
    node.input.extend(inputs)
    node.attribute.extend(onnx.helper.make_attribute(name, value) for name, value in attributes.items())
    return True
