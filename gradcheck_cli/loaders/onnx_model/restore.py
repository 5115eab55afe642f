"""Undoes what the constant folding of exporters did to parameters: gives them their names back and ties copies again."""

from __future__ import annotations

from typing import Any, TypeGuard

import onnx
import torch

from gradcheck_cli.loaders.onnx_model.bodies import bodies
from gradcheck_cli.loaders.onnx_model.names import Names
from gradcheck_cli.loaders.onnx_model.origins import Origins, note_parameter

_MATRIX_PRODUCTS = ("MatMul", "FusedMatMul")


def name_folded(graph: onnx.GraphProto, initial: dict[str, Any]) -> None:
    """Give constants that were computed from one parameter its name. Changes both arguments.

    The newer exporter of torch notes what a constant was computed from. `initial` holds the values of the initialisers.
    """
    restorer = _Restorer(graph, initial)
    restorer.name_folded()
    restorer.finish()


def tie_copies(graph: onnx.GraphProto, initial: dict[str, Any]) -> None:
    """Make copies of one weight one again. Changes both arguments.

    The older exporter writes a weight anew, transposed, for each use: of a module called again, of a tied table.
    """
    restorer = _Restorer(graph, initial)
    restorer.tie_copies()
    restorer.finish()


class _Restorer:
    def __init__(self, graph: onnx.GraphProto, initial: dict[str, Any]) -> None:
        self.graph = graph
        self.initial = initial
        self.renamed: dict[str, str] = {}
        self.made: list[onnx.NodeProto] = []
        """New nodes, that go before all others."""
        self.outputs = {value.name for value in graph.output}

    def name_folded(self) -> None:
        origins = Origins(self.graph)
        for name in list(self.initial):
            root = origins.root(name)
            value = self.initial[name]
            if root is None or name in self.outputs or not _is_floating(value):
                continue
            if root not in self.initial:
                del self.initial[name]
                self._become(name, value, root)
            elif not self._tie(name, value, root):
                self.renamed[name] = self._numbered(root)
                self.initial[self.renamed[name]] = self.initial.pop(name)
                note_parameter(self.graph, self.renamed[name])

    def _become(self, name: str, value: torch.Tensor, root: str) -> None:
        single = value
        while single.dim() > 1 and single.shape[0] > 1 and single.dim() == value.dim() and _is_repeated(single):
            single = single[:1]
        self.initial[root] = single.clone()
        note_parameter(self.graph, root)
        if single.shape == value.shape:
            self.renamed[name] = root
            return
        shape = self._numbered(f"{root}.shape")
        self.initial[shape] = torch.tensor(value.shape)
        self.made.append(onnx.helper.make_node("Expand", [root, shape], [name]))

    def _tie(self, name: str, value: torch.Tensor, root: str) -> bool:
        """Read `root` in place of `name` if it has the same values, or these transposed."""
        table = self.initial[root]
        if _same(value, table):
            self.renamed[name] = root
        elif value.dim() == 2 and _is_floating(table) and table.dim() == 2 and _same(value, table.T):
            self.made.append(onnx.helper.make_node("Transpose", [root], [name], perm=[1, 0]))
        else:
            return False
        del self.initial[name]
        return True

    def tie_copies(self) -> None:
        names = Names(self.graph.node, self.initial)
        if not names.of_torch:
            return
        tables = [
            node.input[0] for node in self.graph.node if node.op_type == "Gather" and node.input[0] in self.initial
        ]
        first: dict[str, list[str]] = {}
        for node in self.graph.node:
            if node.op_type not in _MATRIX_PRODUCTS or len(node.input) < 2:
                continue
            name = node.input[1]
            value = self.initial.get(name)
            if not _is_floating(value) or value.dim() != 2 or not name.startswith("onnx::"):
                continue
            frames = names.frames(node) or ()
            earlier = first.setdefault(frames[-1][0] if frames else "", [])
            if name not in earlier and not any(self._tie(name, value, root) for root in (*earlier, *tables)):
                earlier.append(name)

    def _numbered(self, name: str) -> str:
        number = 1
        while f"{name}_{number}" in self.initial:
            number += 1
        return f"{name}_{number}"

    def finish(self) -> None:
        """Let all nodes read the new names."""
        nodes = [node for graph in (self.graph, *bodies(self.graph)) for node in graph.node]
        for node in (*self.made, *nodes):
            if any(name in self.renamed for name in node.input):
                node.input[:] = [self._final(name) for name in node.input]
        if self.made:
            kept = [*self.made, *self.graph.node]
            del self.graph.node[:]
            self.graph.node.extend(kept)

    def _final(self, name: str) -> str:
        while name in self.renamed:
            name = self.renamed[name]
        return name


def _is_floating(value: Any) -> TypeGuard[torch.Tensor]:
    return isinstance(value, torch.Tensor) and value.is_floating_point() and value.numel() > 0


def _is_repeated(value: torch.Tensor) -> bool:
    """Along its first axis; a constant value is no sign of it."""
    return bool((value == value[:1]).all()) and bool((value != value.flatten()[0]).any())


def _same(one: Any, other: Any) -> bool:
    """Equal, and not all one number, as different parameters may begin."""
    return (
        isinstance(other, torch.Tensor)
        and one.dtype == other.dtype
        and torch.equal(one, other)
        and bool((one != one.flatten()[0]).any())
    )
