"""Are the functions of a model sound, and how large is it once they are written out where they are called?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import onnx
from onnx import defs

from gradcheck_cli.loaders.onnx_model.check_nodes import STANDARD
from gradcheck_cli.loaders.onnx_model.faults import GraphFault
from gradcheck_cli.loaders.refusals import printable, some

MAX_NODES = 200_000
"""Of the graph with all functions written out."""
MAX_DEPTH = 40
"""Of graphs and functions within each other."""
Key = tuple[str, str, str]


def check_functions(model: onnx.ModelProto) -> None:
    """Raises GraphFault; nothing of what the functions do is looked at.

    Two functions that call each other twice, 40 deep, would be 2⁴⁰ nodes: libraries hang on them.
    """
    counts = Counter(map(_key, model.functions))
    twice = [printable(key[1], 60) for key, count in counts.items() if count > 1]
    if twice:
        raise GraphFault(f"two functions have the name {some(twice)}")
    for each in model.functions:
        if each.domain in STANDARD and defs.has(each.name):
            raise GraphFault(f"its function {printable(each.name, 60)} has the name of an operator of ONNX")
    _Sizes(model).total(model.graph.node, ())


class _Sizes:
    """How many nodes a call of each function is."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._functions = {_key(each): each for each in model.functions}
        self._known: dict[Key, int] = {}

    def total(self, nodes: Iterable[onnx.NodeProto], within: tuple[Key, ...], depth: int = 0) -> int:
        if depth + len(within) > MAX_DEPTH:
            raise GraphFault(f"its functions and graphs lie more than {MAX_DEPTH} deep in each other")
        count = 0
        for node in nodes:
            key = (node.domain, node.op_type, node.overload)
            count += self._size_of(key, within, depth) if key in self._functions else 1
            for each in node.attribute:
                for graph in (each.g, *each.graphs) if each.HasField("g") or each.graphs else ():
                    count += self.total(graph.node, within, depth + 1)
            if count > MAX_NODES:
                raise GraphFault(f"it has more than {MAX_NODES} nodes, its functions written out")
        return count

    def _size_of(self, key: Key, within: tuple[Key, ...], depth: int) -> int:
        if key in within:
            raise GraphFault(f"its function {printable(key[1], 60)} calls itself")
        if key not in self._known:
            self._known[key] = self.total(self._functions[key].node, (*within, key), depth)
        return self._known[key]


def _key(function: onnx.FunctionProto) -> Key:
    return function.domain, function.name, function.overload
