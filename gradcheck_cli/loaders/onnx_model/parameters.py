"""Which initialisers are parameters, what they are called, and in which layer each node runs.

ONNX knows no parameters: an initialiser is one if it stands where weights stand (the second input of a Conv), seen through
operations that only carry it there. Its name is its own where that is the user's, else that of the node that reads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import onnx

from gradcheck_cli.loaders.onnx_model.module import Held, Initial
from gradcheck_cli.loaders.onnx_model.names import MAX_DEPTH, MAX_LENGTH, MODULE, Frames, Names, kind_of
from gradcheck_cli.loaders.onnx_model.origins import Origins
from gradcheck_cli.loaders.onnx_model.trainable import BIASES, PLAIN, RECURRENT, Trainable, Use, is_own_name
from gradcheck_cli.onnx_ops.recurrent import in_torch_order


@dataclass
class Plan:
    """What the initialisers become, and in which module calls the nodes run."""

    initial: dict[str, Initial]
    frames: dict[str, Frames | None]
    """First output of a node → the module calls around it; None: wherever the node before it ran."""
    kinds: dict[str, str] = field(default_factory=dict)
    """Module path → class name."""


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
        self.names = names
        self.of_torch = names.of_torch
        self.of_dynamo = names.of_dynamo
        self.trainable = Trainable(nodes, initial, names, origins)
        self.taken: dict[str, str] = {}
        self.done = Plan({}, {})
        self.layer_counts: dict[str, int] = {}

    def plan(self) -> Plan:
        by_node: dict[int, list[Use]] = {}
        for use in self.trainable.uses():
            by_node.setdefault(use.node, []).append(use)
        for index in range(len(self.nodes)):
            if index in by_node:
                self._place(index, by_node[index])
        self._settle()
        return self.done

    # -------------------------------------------------------------------------------------------------------- their names

    def _place(self, index: int, uses: list[Use]) -> None:
        node = self.nodes[index]
        first = self.initial[uses[0].value]
        kind = kind_of(node, first.dim())
        if node.op_type in RECURRENT and self._takes_apart(node, uses):
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
        if owner is None and node.op_type in BIASES:
            slot = next(
                slot for slot, name in enumerate(node.input) if self.trainable.carried.get(name) == uses[0].value
            )
            product = self.trainable.product_before(node, slot)
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
            path = next(filter(None, (self.names.module_of(use.value) for use in uses)), "") or self._new_path(
                node, kind
            )
            self.frames[index] = ((path, kind),)
        elif frames and (frames[-1][1] == MODULE or not self.of_dynamo):
            self.done.kinds.setdefault(path, kind)
        return path

    def _owner(self, use: Use) -> str | None:
        """The module path in an initialiser's own name, if it has one."""
        users = PLAIN.match(use.value) or (self.of_torch and use.value.isidentifier())
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
            if node.op_type in BIASES and output in node.input:
                for name in node.input:
                    root = self.trainable.carried.get(name, "")
                    if root.startswith(path + ".") and root.endswith("_bias") and PLAIN.match(root):
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


def _sane(name: str) -> bool:
    return len(name) <= MAX_LENGTH and name.count(".") <= MAX_DEPTH
