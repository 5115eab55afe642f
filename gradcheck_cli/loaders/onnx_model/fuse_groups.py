"""Puts group norms together again, which torch's exporters write as instance norms of reshaped values before opset 21."""

from __future__ import annotations

from typing import Any

import onnx
import torch

from gradcheck_cli.loaders.onnx_model import values
from gradcheck_cli.loaders.onnx_model.fuse import Links
from gradcheck_cli.onnx_ops.registry import FUSED


def fuse_groups(graph: onnx.GraphProto, initial: dict[str, Any]) -> None:
    """Make the last node of ``Reshape(x, [0, groups, -1]) → InstanceNormalization → Reshape → Mul → Add`` a group norm.

    The weights, which are ``(C, 1, 1)`` in the file, become ``(C,)`` in `initial`.
    """
    links = Links(graph, initial)
    for node in list(graph.node):
        if node.op_type == "InstanceNormalization":
            _fuse(links, node, initial)


def _fuse(links: Links, node: onnx.NodeProto, initial: dict[str, Any]) -> None:
    split = links.maker(node.input[0], "Reshape")
    if split is None or not (_is_all(links, node.input[1], 1.0) and _is_all(links, node.input[2], 0.0)):
        return
    shape = _value(links, split.input[1])
    joined = links.only_reader(node.output[0])
    if shape is None or shape.tolist()[0::2] != [0, -1] or joined is None:
        return
    whole = str(
        joined.output[0] if joined.op_type == "Reshape" else node.output[0]
    )  # as many groups as channels: no need
    scaled = links.only_reader(whole)
    weight = _channel_vector(links, scaled, "Mul", whole)
    shifted = links.only_reader(scaled.output[0]) if scaled is not None else None
    bias = _channel_vector(links, shifted, "Add", scaled.output[0]) if scaled is not None else None
    if shifted is None or weight is None or bias is None or initial[weight].numel() != initial[bias].numel():
        return
    if any(len(links.readers[name]) > 1 for name in (weight, bias)):
        return  # the others read it with its axes
    for name in (weight, bias):
        initial[name] = initial[name].flatten()
    epsilon = next((each.f for each in node.attribute if each.name == "epsilon"), 1e-5)
    shifted.op_type, shifted.domain = "GroupNormalization", FUSED
    del shifted.input[:], shifted.attribute[:]
    shifted.input.extend((split.input[0], weight, bias))
    given = {"num_groups": int(shape[1]), "epsilon": epsilon}
    shifted.attribute.extend(onnx.helper.make_attribute(name, value) for name, value in given.items())


def _channel_vector(links: Links, node: onnx.NodeProto | None, operator: str, other: str) -> str | None:
    """The operand of `node` beside `other`, if it is one number a channel."""
    if node is None or node.op_type != operator:
        return None
    for name in node.input:
        value = links.initial.get(name)
        if name != other and isinstance(value, torch.Tensor) and value.dim() > 1 and value.numel() == value.shape[0]:
            return str(name)
    return None


def _is_all(links: Links, name: str, wanted: float) -> bool:
    value = _value(links, name)
    return value is not None and bool((value == wanted).all())


def _value(links: Links, name: str) -> torch.Tensor | None:
    value = links.initial.get(name)
    node = links.maker(name, "Constant")
    if value is None and node is not None:
        value = next((values.attribute(each) for each in node.attribute if each.name == "value"), None)
    return value if isinstance(value, torch.Tensor) else None
