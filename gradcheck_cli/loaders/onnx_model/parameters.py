"""Which initialisers are parameters, what they are called, and in which layer each node runs.

ONNX knows no parameters: an initialiser is one if it stands where weights stand (the second input of a Conv), seen through
operations that only carry it there. Its name is its own where that is the user's, else that of the node that reads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import onnx
import torch

from gradcheck_cli.loaders.onnx_model.module import Held, Initial
from gradcheck_cli.loaders.onnx_model.names import MAX_DEPTH, MAX_LENGTH, MODULE, Frames, Names, kind_of
from gradcheck_cli.loaders.onnx_model.origins import Origins, is_state, may_be_parameter
from gradcheck_cli.onnx_ops.recurrent import in_torch_order

_BIASES = ("Add", "Sub", "BiasAdd")
_RECURRENT = ("LSTM", "GRU", "RNN")
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
    **{name: {1: "weight_ih", 2: "weight_hh", 3: "bias"} for name in _RECURRENT},
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
_PLAIN = re.compile(r"^(?=(\w+\.)*[^\W\d])\w+(\.\w+)+$")
"""A path in a module tree; its parts may be numbers, but not all."""
_BESIDE = frozenset(("Resize", "Upsample", "Pad", "Clip", "QuantizeLinear", "DequantizeLinear", "Range", "OneHot"))
"""Operators whose inputs but the first are numbers that nobody learns."""
_REMADE = frozenset(("Exp", "Neg", "Softplus", "Sigmoid", "Tanh", "Softmax"))
"""What parameters go through before they are used, and other constants do not."""
_MASKED = -1e4
"""A constant with values below it is a mask."""


@dataclass
class Plan:
    """What the initialisers become, and in which module calls the nodes run."""

    initial: dict[str, Initial]
    frames: dict[str, Frames | None]
    """First output of a node → the module calls around it; None: wherever the node before it ran."""
    kinds: dict[str, str] = field(default_factory=dict)
    """Module path → class name."""


@dataclass(frozen=True)
class Use:
    """An initialiser where a weight stands."""

    value: str
    node: int
    role: str
    """``weight``, ``bias`` …"""


def plan(graph: onnx.GraphProto, initial: Mapping[str, Any]) -> Plan:
    """Decide for a main graph whose initialisers have the values `initial`."""
    nodes = list(_with_bodies(graph))
    names = Names(nodes, initial)
    frames = [names.frames(node) for node in nodes]
    return _Planner(nodes, frames, initial, names, Origins(graph)).plan()


def _with_bodies(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """All nodes, those of bodies after the node that the body belongs to."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _with_bodies(attribute.g)


class _Planner:
    def __init__(
        self,
        nodes: list[onnx.NodeProto],
        frames: list[Frames | None],
        initial: Mapping[str, Any],
        names: Names,
        origins: Origins,
    ) -> None:
        self.nodes = nodes
        self.frames = frames
        self.initial = initial
        self.origins = origins
        self.names = names
        self.of_torch = names.of_torch
        self.of_dynamo = names.of_dynamo
        self.carried = _carried(nodes, initial)
        self.made_by = {name: index for index, node in enumerate(nodes) for name in node.output if name}
        self.taken: dict[str, str] = {}
        self.done = Plan({}, {})
        self.layer_counts: dict[str, int] = {}

    def plan(self) -> Plan:
        by_node: dict[int, list[Use]] = {}
        for use in self._uses():
            by_node.setdefault(use.node, []).append(use)
        for index in range(len(self.nodes)):
            if index in by_node:
                self._place(index, by_node[index])
        self._settle()
        return self.done

    # ------------------------------------------------------------------------------------------------- what is trainable

    def _uses(self) -> Iterable[Use]:
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
        if node.op_type not in LOOSE:
            return value.dim() > (1 if node.op_type == "Gather" else 0)
        if value.numel() == 1 and not _PLAIN.match(root) and not (self.of_torch and self._has_own_name(root)):
            return False
        lowest = float(value.detach().to(torch.float32).min()) if value.numel() <= 1 << 24 else 0.0
        return lowest > _MASKED and (
            self._has_own_name(root) or self._is_bias(node, slot, value) or self._is_channel_vector(root, node, slot, value)
        )

    def _is_channel_vector(self, root: str, node: onnx.NodeProto, slot: int, value: torch.Tensor) -> bool:
        """One number a channel, with axes of size 1 that the older exporter of torch folded into it; not of an input's scaling."""
        others = [name for place, name in enumerate(node.input) if place != slot]
        vector = value.numel() == max(value.shape, default=1) > 1
        return vector and root.startswith("onnx::") and all(name in self.made_by for name in others)

    def _has_own_name(self, root: str) -> bool:
        """The user's: not the exporter's, which the newer one of torch calls after operators."""
        return is_own_name(root) and (not self.origins.known or may_be_parameter(root))

    def _is_bias(self, node: onnx.NodeProto, slot: int, value: torch.Tensor) -> bool:
        """Added to what a matrix product or a convolution gave, and one number a unit."""
        if node.op_type not in _BIASES or value.numel() != max(value.shape):
            return False
        return self._product_before(node, slot) is not None

    def _product_before(self, node: onnx.NodeProto, slot: int) -> int | None:
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

    # -------------------------------------------------------------------------------------------------------- their names

    def _place(self, index: int, uses: list[Use]) -> None:
        node = self.nodes[index]
        first = self.initial[uses[0].value]
        kind = kind_of(node, first.dim())
        if node.op_type in _RECURRENT and self._takes_apart(node, uses):
            self._place_recurrent(index, uses)
            return
        path = self._path(index, uses, kind)
        for use in uses:
            if use.value not in self.done.initial:
                name = self._name(use, path)
                self.done.initial[use.value] = Held(name, self.initial[use.value])

    def _path(self, index: int, uses: list[Use], kind: str) -> str:
        """The layer that a node with parameters is, which becomes the innermost of its module calls."""
        node, frames = self.nodes[index], self.frames[index]
        own = [self._owner(use) for use in uses]
        owner = next((path for path in own if path), None)
        if owner is None and node.op_type in _BIASES:
            slot = next(slot for slot, name in enumerate(node.input) if self.carried.get(name) == uses[0].value)
            product = self._product_before(node, slot)
            if product is not None and self.frames[product] and frames is None:
                self.frames[index] = self.frames[product]
                return self.frames[product][-1][0]  # type: ignore[index]
        path = frames[-1][0] if frames else ""
        if owner is not None and owner != path:
            if not owner or (path + ".").startswith(owner + ".") or (self.of_torch and owner.startswith(path + ".")):
                if owner:
                    self.done.kinds.setdefault(owner, kind)
                return owner  # of a module that others run in, or of one that is not called itself
            around = tuple(frame for frame in frames or () if (owner + ".").startswith(frame[0] + "."))
            self.frames[index] = (*around, (owner, kind))
            return owner
        if owner is None and not path:
            path = next(filter(None, (self.names.module_of(use.value) for use in uses)), "") or self._new_path(node, kind)
            self.frames[index] = ((path, kind),)
        elif frames and (frames[-1][1] == MODULE or not self.of_dynamo):
            self.done.kinds.setdefault(path, kind)
        return path

    def _owner(self, use: Use) -> str | None:
        """The module path in an initialiser's own name, if it has one."""
        users = _PLAIN.match(use.value) or (self.of_torch and use.value.isidentifier())
        if not users or not is_own_name(use.value) or not _sane(use.value):
            return None
        return use.value.rpartition(".")[0]

    def _new_path(self, node: onnx.NodeProto, kind: str) -> str:
        base = re.sub(r"[^\w]+", "_", node.name).strip("_")[:MAX_LENGTH] or kind.lower()
        count = self.layer_counts.get(base, 0)
        self.layer_counts[base] = count + 1
        return base if node.name and not count else f"{base}_{count}"

    def _name(self, use: Use, path: str) -> str:
        own = self._owner(use)
        own_name = use.value.replace(".weight_bias", ".bias")  # of a convolution that took in a batch norm
        name = own_name if own is not None else self._beside(use, path) or f"{path}.{use.role}"
        return self._unique(name, use.value)

    def _beside(self, use: Use, path: str) -> str | None:
        """``in_proj_weight`` for the matrix whose bias is ``in_proj_bias``."""
        if use.role != "weight":
            return None
        output = self.nodes[use.node].output[0]
        for node in self.nodes[use.node + 1 : use.node + 4]:
            if node.op_type in _BIASES and output in node.input:
                for name in node.input:
                    root = self.carried.get(name, "")
                    if root.startswith(path + ".") and root.endswith("_bias") and _PLAIN.match(root):
                        return root.removesuffix("bias") + "weight"
        return None

    def _unique(self, name: str, value: str) -> str:
        plain, number = name, 1
        while self.taken.setdefault(name, value) != value:
            name = f"{plain}_{number}"
            number += 1
        return name

    # ------------------------------------------------------------------------------------------------------ recurrent cells

    def _takes_apart(self, node: onnx.NodeProto, uses: list[Use]) -> bool:
        """Its weights are initialisers of its own, read as they are."""
        return all(use.value in node.input and use.value not in self.done.initial for use in uses)

    def _place_recurrent(self, index: int, uses: list[Use]) -> None:
        """One parameter for each direction, under torch's names and with torch's order of the gates."""
        node = self.nodes[index]
        path = self._path(index, [], node.op_type)
        layer = self.layer_counts.get(path + "!", 0)
        self.layer_counts[path + "!"] = layer + 1
        for use in uses:
            value = self.initial[use.value]
            parts: list[Initial] = []
            for direction in range(value.shape[0]):
                suffix = f"l{layer}" + ("_reverse" if direction else "")
                if use.role == "bias":
                    halves = [in_torch_order(half, node.op_type) for half in value[direction].chunk(2)]
                    held = (f"{path}.{name}_{suffix}" for name in ("bias_ih", "bias_hh"))
                    parts.append(
                        tuple(Held(self._unique(name, name), half) for name, half in zip(held, halves, strict=True))
                    )
                else:
                    name = f"{path}.{use.role}_{suffix}"
                    rows = in_torch_order(value[direction], node.op_type)
                    parts.append(Held(self._unique(name, name), rows))
            self.done.initial[use.value] = tuple(parts)

    def _settle(self) -> None:
        for name, value in self.initial.items():
            self.done.initial.setdefault(name, value)
        for frames in self.frames:
            for path, kind in frames or ():
                if kind != MODULE:
                    self.done.kinds.setdefault(path, kind)
        for node, frames in zip(self.nodes, self.frames, strict=True):
            first = next((name for name in node.output if name), None)
            if first is not None:
                known = (
                    None if frames is None else tuple((path, self.done.kinds.get(path, kind)) for path, kind in frames)
                )
                self.done.frames[first] = known


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


def _sane(name: str) -> bool:
    return len(name) <= MAX_LENGTH and name.count(".") <= MAX_DEPTH
