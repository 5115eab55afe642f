"""Is this a graph that can be run? Names, order, size and opsets, said in plain words, before anything is built of it."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping

import onnx

from gradcheck_cli.loaders.onnx_model.check_functions import MAX_DEPTH, check_functions
from gradcheck_cli.loaders.onnx_model.check_nodes import STANDARD, check_node, label_of
from gradcheck_cli.loaders.onnx_model.check_tensors import check_sparse, check_tensor
from gradcheck_cli.loaders.onnx_model.check_text import check_text
from gradcheck_cli.loaders.onnx_model.compiler import reads
from gradcheck_cli.loaders.onnx_model.faults import GraphFault
from gradcheck_cli.loaders.refusals import printable, some

__all__ = ["GraphFault", "check"]
Opsets = Mapping[str, int]
_OPSETS_SINCE = 3
"""The version of the format from which a file must name the versions of its operators."""


def check(model: onnx.ModelProto) -> None:
    """Raises GraphFault where the model cannot be run; puts the nodes of its main graph in order where they are not."""
    check_text(model)
    if not model.HasField("graph"):
        training = ", but training information" if model.training_info else ""
        raise GraphFault(f"it has no graph{training}")
    if not model.graph.output:
        raise GraphFault("its graph has no outputs")
    if model.ir_version >= _OPSETS_SINCE and not model.opset_import:
        raise GraphFault("it does not say which version of the ONNX operators it uses")
    opsets = _opsets(model.opset_import)
    check_functions(model)
    for function in model.functions:
        _check_function(function)
    _Checker(opsets).graph(model.graph, 0)


def _opsets(imports: Iterable[onnx.OperatorSetIdProto]) -> Opsets:
    versions: dict[str, int] = {}
    for each in imports:
        domain = "" if each.domain in STANDARD else each.domain
        if versions.setdefault(domain, each.version) != each.version:
            raise GraphFault(f"it asks for two versions of the operators of {printable(domain) or 'ai.onnx'}")
    newest = onnx.defs.onnx_opset_version()
    version = versions.get("", 1)
    if not 1 <= version <= newest:
        raise GraphFault(f"it uses version {version} of the ONNX operators, and the installed onnx knows 1 to {newest}")
    return versions


def _check_function(function: onnx.FunctionProto) -> None:
    checker = _Checker(_opsets(function.opset_import), in_function=True)
    where = f"its function {printable(function.name, 60)}"
    checker.nodes(list(function.node), function.input, function.output, 0, where)


class _Checker:
    """Checks the graphs of a model, or of one of its functions."""

    def __init__(self, opsets: Opsets, *, in_function: bool = False) -> None:
        self._opsets = opsets
        self._in_function = in_function

    def graph(self, graph: onnx.GraphProto, depth: int) -> None:
        """`depth`: 0 for a main graph. What a body takes from around it, `reads` finds for the node that it belongs to."""
        given = [value.name for value in graph.input]
        stored = [value.name for value in graph.initializer] + [value.values.name for value in graph.sparse_initializer]
        results = [value.name for value in graph.output]
        for names, what in ((given, "inputs"), (stored, "initialisers"), (results, "outputs")):
            twice = sorted(name for name, count in Counter(names).items() if count > 1)
            if twice and not (what == "outputs" and depth):
                raise GraphFault(f"two {what} have the name {some(twice)}")
        if not all(results) and not depth:
            raise GraphFault("one of its outputs is without a name")
        for tensor in graph.initializer:
            check_tensor(tensor, _weight(tensor.name), may_be_external=not self._in_function)
        for sparse in graph.sparse_initializer:
            check_sparse(sparse, _weight(sparse.values.name))
        nodes = list(graph.node)
        order = self.nodes(nodes, [*given, *stored], results, depth, "")
        if order != sorted(order):
            del graph.node[:]
            graph.node.extend(nodes[index] for index in order)

    def nodes(
        self, nodes: list[onnx.NodeProto], given: Iterable[str], results: Iterable[str], depth: int, where: str
    ) -> list[int]:
        """The order in which `nodes` can run: after those whose values they read, in their own order otherwise."""
        if depth > MAX_DEPTH:
            raise GraphFault(f"graphs lie more than {MAX_DEPTH} deep in each other")
        within = f" in {where}" if where else ""
        for node in nodes:
            check_node(node, self._opsets, in_function=self._in_function)
        known = set(given)
        read = [reads(node) for node in nodes]
        made = Counter(name for node in nodes for name in node.output if name)
        twice = sorted(name for name, count in made.items() if count > 1 or name in known)
        if twice:
            raise GraphFault(f"two values have the name {some(twice)}{within}")
        missing = sorted(set().union(*read, filter(None, results)) - known - set(made))
        if missing and not depth:
            raise GraphFault(f"nothing gives {some(missing)}{within}: an initialiser or a node is missing")
        order = _order(nodes, read)
        if len(order) < len(nodes):
            waiting = sorted(set(range(len(nodes))) - set(order))
            labels = [nodes[index].name or nodes[index].op_type for index in waiting]
            raise GraphFault(f"its nodes wait for each other in a circle{within}: {some(labels, 3)}")
        self._bodies(nodes, depth)
        return order

    def _bodies(self, nodes: Iterable[onnx.NodeProto], depth: int) -> None:
        for node in nodes:
            for each in node.attribute:
                if each.type == onnx.AttributeProto.GRAPHS:
                    raise GraphFault(f"{label_of(node)} has a list of graphs, which no operator takes")
                if each.type == onnx.AttributeProto.GRAPH:
                    self.graph(each.g, depth + 1)


def _order(nodes: list[onnx.NodeProto], read: list[set[str]]) -> list[int]:
    maker: Mapping[str, int] = {name: index for index, node in enumerate(nodes) for name in node.output if name}
    waits = [{maker[name] for name in names if name in maker} for names in read]
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


def _weight(name: str) -> str:
    return f"its weight {printable(name, 60)}"
