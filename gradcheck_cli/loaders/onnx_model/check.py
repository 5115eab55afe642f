"""Is this a graph that can be run? Names, order, size and opsets, said in plain words, before anything is built of it."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping

import onnx

from gradcheck_cli.loaders.onnx_model.compiler import reads
from gradcheck_cli.loaders.refusals import printable, some

MAX_NODES = 200_000
"""Of the graph with all functions written out."""
MAX_DEPTH = 40
"""Of graphs within graphs."""
STANDARD = ("", "ai.onnx")


class GraphFault(Exception):
    """What is wrong with the graph: one clause."""


def check(model: onnx.ModelProto) -> None:
    """Raises GraphFault where the model cannot be run; puts the nodes of its main graph in order where they are not."""
    if not model.HasField("graph") or not model.graph.output:
        raise GraphFault("it has no graph with outputs")
    _check_opsets(model)
    _check_functions(model)
    _check_graph(model.graph, frozenset(), 0)


def _check_opsets(model: onnx.ModelProto) -> None:
    versions: dict[str, int] = {}
    for each in model.opset_import:
        domain = "" if each.domain in STANDARD else each.domain
        if versions.setdefault(domain, each.version) != each.version:
            raise GraphFault(f"it asks for two versions of the operators of {printable(domain) or 'ai.onnx'}")
    newest = onnx.defs.onnx_opset_version()
    version = versions.get("", 1)
    if not 1 <= version <= newest:
        raise GraphFault(f"it uses version {version} of the ONNX operators, and the installed onnx knows 1 to {newest}")


def _check_functions(model: onnx.ModelProto) -> None:
    """Functions are written out where they are called; two that call each other twice, 40 deep, would be 2⁴⁰ nodes."""
    functions = {(each.domain, each.name): each for each in model.functions}
    sizes: dict[tuple[str, str], int] = {}

    def size_of(key: tuple[str, str], within: tuple[tuple[str, str], ...]) -> int:
        if key in within:
            raise GraphFault(f"its function {printable(key[1], 60)} calls itself")
        if key not in sizes:
            sizes[key] = total(functions[key].node, (*within, key))
        return sizes[key]

    def total(nodes: Iterable[onnx.NodeProto], within: tuple[tuple[str, str], ...]) -> int:
        if len(within) > MAX_DEPTH:
            raise GraphFault(f"its functions and graphs lie more than {MAX_DEPTH} deep in each other")
        count = 0
        for node in nodes:
            key = (node.domain, node.op_type)
            count += size_of(key, within) if key in functions else 1
            for each in node.attribute:
                if each.type == onnx.AttributeProto.GRAPH:
                    count += total(each.g.node, within)
            if count > MAX_NODES:
                raise GraphFault(f"written out, its functions are more than {MAX_NODES} nodes")
        return count

    total(model.graph.node, ())


def _check_graph(graph: onnx.GraphProto, around: frozenset[str], depth: int) -> None:
    if depth > MAX_DEPTH:
        raise GraphFault(f"graphs lie more than {MAX_DEPTH} deep in each other")
    given = [value.name for value in graph.input]
    stored = [value.name for value in graph.initializer] + [value.values.name for value in graph.sparse_initializer]
    for names, what in ((given, "inputs"), (stored, "initialisers")):
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        if twice:
            raise GraphFault(f"two {what} have the name {some(twice)}")
    known = around | set(given) | set(stored)
    made = Counter(name for node in graph.node for name in node.output if name)
    twice = sorted(name for name, count in made.items() if count > 1 or name in (*given, *stored))
    if twice:
        raise GraphFault(f"two values have the name {some(twice)}")
    missing = sorted({name for node in graph.node for name in reads(node)} - known - set(made))
    missing += sorted({value.name for value in graph.output} - known - set(made))
    if missing:
        raise GraphFault(f"nothing gives {some(missing)}: an initialiser or a node is missing")
    _put_in_order(graph, known)
    for node in graph.node:
        known = known | {name for name in node.output if name}
        for each in node.attribute:
            if each.type == onnx.AttributeProto.GRAPH:
                _check_graph(each.g, frozenset(known), depth + 1)


def _put_in_order(graph: onnx.GraphProto, known: Iterable[str]) -> None:
    """Nodes after those whose values they read, in their own order otherwise."""
    nodes = list(graph.node)
    order = _order(nodes, set(known))
    if len(order) < len(nodes):
        waiting = sorted(set(range(len(nodes))) - set(order))
        labels = [nodes[index].name or nodes[index].op_type for index in waiting]
        raise GraphFault(f"its nodes wait for each other in a circle: {some(labels, 3)}")
    if order != sorted(order):
        del graph.node[:]
        graph.node.extend(nodes[index] for index in order)


def _order(nodes: list[onnx.NodeProto], known: set[str]) -> list[int]:
    maker: Mapping[str, int] = {name: index for index, node in enumerate(nodes) for name in node.output if name}
    waits = [{maker[name] for name in reads(node) if name in maker and name not in known} for node in nodes]
    readers: list[list[int]] = [[] for _ in nodes]
    for index, sources in enumerate(waits):
        for source in sources:
            readers[source].append(index)
    left = [len(sources) for sources in waits]
    ready = [index for index, count in enumerate(left) if not count]
    order = []
    while ready:
        index = heapq.heappop(ready)
        order.append(index)
        for reader in readers[index]:
            left[reader] -= 1
            if not left[reader]:
                heapq.heappush(ready, reader)
    return order
