"""Which initialisers are parameters: those that stand where weights stand, as far as their names do not say otherwise."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import onnx
import torch

from gradcheck_cli.loaders.onnx_model.names import Names
from gradcheck_cli.loaders.onnx_model.origins import Origins, is_state

BIASES = ("Add", "Sub", "BiasAdd")
RECURRENT = ("LSTM", "GRU", "RNN")
_WEIGHT_BIAS = {1: "weight", 2: "bias"}
_EITHER = {0: "bias", 1: "bias"}
_FACTOR = {0: "weight", 1: "weight"}
SLOTS: Mapping[str, Mapping[int, str]] = {
    **dict.fromkeys(("Conv", "ConvTranspose", "FusedConv", "NhwcConv", "CausalConvWithState"), _WEIGHT_BIAS),
    **dict.fromkeys(("BatchNormalization", "InstanceNormalization", "LayerNormalization"), _WEIGHT_BIAS),
    **dict.fromkeys(("GroupNormalization", "GroupNorm"), _WEIGHT_BIAS),
    **{name: {1: "weight"} for name in ("RMSNormalization", "SimplifiedLayerNormalization", "PRelu")},
    **{name: {1: "bias"} for name in ("BiasGelu", "FastGelu", "BiasAdd", "BiasSplitGelu")},
    **{name: {0: "weight", 1: "weight", 2: "bias"} for name in ("Gemm", "FusedGemm")},
    **{name: {0: "weight", 1: "weight"} for name in ("MatMul", "FusedMatMul", "Concat")},
    **{name: {1: "weight_ih", 2: "weight_hh", 3: "bias"} for name in RECURRENT},
    **dict.fromkeys(("Add", "Sub", "Sum"), _EITHER),
    **dict.fromkeys(("Mul", "Div"), _FACTOR),
    "DeformConv": {1: "weight", 3: "bias"},
    "Einsum": {0: "weight", 1: "weight", 2: "weight"},
    "Gather": {0: "weight"},
    "SkipLayerNormalization": {2: "weight", 3: "bias", 4: "skip_bias"},
    "SkipSimplifiedLayerNormalization": {2: "weight", 3: "skip_bias"},
    "EmbedLayerNormalization": {
        **{2: "word_embeddings", 3: "position_embeddings", 4: "token_type_embeddings", 5: "weight", 6: "bias"}
    },
}
"""Operator → input → the part that a weight plays there."""
_CARRIERS = frozenset(
    (
        "Identity",
        "Transpose",
        "Cast",
        "DequantizeLinear",
        "Reshape",
        "Unsqueeze",
        "Squeeze",
        "Expand",
        "Slice",
        "Split",
        "Flatten",
    )
)
"""Through these an initialiser is still the same parameter."""
LOOSE = frozenset(("Add", "Sub", "Mul", "Div", "Sum", "Concat"))
"""Where a constant of the user's stands as often as a parameter: only what has a name of its own is one."""
_MADE = re.compile(
    r"^(onnx::|val_\d|_val|const(ant)?[_\d:]|/|\d+$|lifted|arange|.*_output_\d+$|initializer_|.*::)", re.IGNORECASE
)
"""Names that exporters make up."""
PLAIN = re.compile(r"^(?=(\w+\.)*[^\W\d])\w+(\.\w+)+$")
"""A path in a module tree; its parts may be numbers, but not all."""
_BESIDE = frozenset(("Resize", "Upsample", "Pad", "Clip", "QuantizeLinear", "DequantizeLinear", "Range", "OneHot"))
"""Operators whose inputs but the first are numbers that nobody learns."""
_REMADE = frozenset(("Exp", "Neg", "Softplus", "Sigmoid", "Tanh", "Softmax"))
"""What parameters go through before they are used, and other constants do not."""
_MASKED = -1e4
"""A constant with values below it is a mask."""


@dataclass(frozen=True)
class Use:
    """An initialiser where a weight stands."""

    value: str
    node: int
    role: str
    """``weight``, ``bias`` …"""


class Trainable:
    """Finds the parameters among the initialisers of one model."""

    def __init__(self, nodes: list[onnx.NodeProto], initial: Mapping[str, Any], names: Names, origins: Origins) -> None:
        """`nodes`: all, those of bodies included."""
        self.nodes = nodes
        self.initial = initial
        self.of_torch = names.of_torch
        self.origins = origins
        self.carried = _carried(nodes, initial)
        """Value → the initialiser that it is."""
        self.made_by = {name: index for index, node in enumerate(nodes) for name in node.output if name}

    def uses(self) -> Iterable[Use]:
        """All of them, in the order of the nodes."""
        for index, node in enumerate(self.nodes):
            roles = SLOTS.get(node.op_type, {})
            for slot, name in enumerate(node.input):
                role = (
                    roles.get(slot)
                    if slot in roles
                    else roles.get(1)
                    if node.op_type in ("Concat", "Sum", "Einsum")
                    else None
                )
                root = self.carried.get(name)
                if root is None or self.origins.is_buffer(root):
                    continue
                if self.origins.is_parameter(root) or (role is None and self._is_named(root, node, slot)):
                    role = role or "weight"
                elif role is not None and not self._is_trainable(root, node, slot):
                    continue
                if role:
                    yield Use(root, index, role)

    def _is_named(self, root: str, node: onnx.NodeProto, slot: int) -> bool:
        """An initialiser of torch's under the user's own name: a parameter wherever it is read, if it is no known buffer."""
        value = self.initial[root]
        named = self.of_torch and self._has_own_name(root) and not is_state(root)
        named = named or (root.startswith("onnx::") and node.op_type in _REMADE and value.numel() > 1)
        beside = (node.op_type in _BESIDE and slot > 0) or (node.op_type == "BatchNormalization" and slot > 2)
        learnt = node.op_type not in _CARRIERS and not beside
        return named and learnt and isinstance(value, torch.Tensor) and value.is_floating_point() and value.numel() > 0

    def _is_trainable(self, root: str, node: onnx.NodeProto, slot: int) -> bool:
        value = self.initial[root]
        if not isinstance(value, torch.Tensor) or not value.is_floating_point() or not value.numel():
            return False
        if is_state(root):
            return False
        if node.op_type.endswith("Normalization") and self.origins.known and not self._has_own_name(root):
            return not bool((value == value.flatten()[0]).all())  # of a norm without parameters
        if node.op_type not in LOOSE:
            return value.dim() > (1 if node.op_type == "Gather" else 0)
        if value.numel() == 1 and not PLAIN.match(root) and not (self.of_torch and self._has_own_name(root)):
            return self._is_bias_of_one(node, slot, value)
        lowest = float(value.detach().to(torch.float32).min()) if value.numel() <= 1 << 24 else 0.0
        return lowest > _MASKED and (
            self._has_own_name(root)
            or self._is_bias(node, slot, value)
            or self._is_channel_vector(root, node, slot, value)
        )

    def _is_channel_vector(self, root: str, node: onnx.NodeProto, slot: int, value: torch.Tensor) -> bool:
        """One number a channel, with axes of size 1 that the older exporter of torch folded into it; not of an input's scaling."""
        others = [name for place, name in enumerate(node.input) if place != slot]
        vector = value.numel() == max(value.shape, default=1) > 1
        return vector and root.startswith("onnx::") and all(name in self.made_by for name in others)

    def _has_own_name(self, root: str) -> bool:
        """The user's: not the exporter's, which the newer one of torch calls after operators."""
        return is_own_name(root) and (not self.origins.known or "." in root or self.origins.is_parameter(root))

    def _is_bias(self, node: onnx.NodeProto, slot: int, value: torch.Tensor) -> bool:
        """Added to what a matrix product or a convolution gave, and one number a unit."""
        if node.op_type not in BIASES or value.numel() != max(value.shape):
            return False
        return self.product_before(node, slot) is not None

    def _is_bias_of_one(self, node: onnx.NodeProto, slot: int, value: torch.Tensor) -> bool:
        """Added to what a matrix product of one unit gave."""
        product = self.product_before(node, slot) if node.op_type in BIASES and value.dim() else None
        if product is None or len(self.nodes[product].input) < 2:
            return False
        weight = self.initial.get(self.carried.get(self.nodes[product].input[1], ""))
        return isinstance(weight, torch.Tensor) and 1 in weight.shape[-2:]

    def product_before(self, node: onnx.NodeProto, slot: int) -> int | None:
        """Number of the matrix product or convolution whose result the input `slot` is added to."""
        for other, name in enumerate(node.input):
            index = self.made_by.get(name)
            while index is not None and self.nodes[index].op_type in ("Identity", "Cast", "Reshape"):
                index = self.made_by.get(self.nodes[index].input[0])
            if (
                other != slot
                and index is not None
                and self.nodes[index].op_type in ("MatMul", "FusedMatMul", "Gemm", "Conv", "ConvTranspose")
            ):
                return index
        return None


def _carried(nodes: Iterable[onnx.NodeProto], initial: Mapping[str, Any]) -> dict[str, str]:
    """Value → the initialiser that it is, seen through operations that only carry it."""
    roots = {name: name for name in initial}
    for node in nodes:
        if node.op_type in _CARRIERS and node.input and node.input[0] in roots:
            for name in node.output:
                roots[name] = roots[node.input[0]]
        elif node.op_type == "Loop":  # what goes round in it: weights too, from TensorFlow
            body = next(each.g for each in node.attribute if each.name == "body")
            for outer, inner in zip(node.input[2:], body.input[2:], strict=False):
                if outer in roots:
                    roots[inner.name] = roots[outer]
    return roots


def is_own_name(name: str) -> bool:
    """Whether an initialiser's name may be the user's, and not one that an exporter made up."""
    return not _MADE.match(name)
