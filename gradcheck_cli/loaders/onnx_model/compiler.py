"""From GraphProto to `Graph`: operators looked up, attributes read, dead nodes left out, module calls marked."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import onnx

from gradcheck_cli.loaders.onnx_model import values
from gradcheck_cli.loaders.onnx_model.program import Frame, Graph, Step
from gradcheck_cli.loaders.refusals import printable
from gradcheck_cli.onnx_ops import table
from gradcheck_cli.onnx_ops.bodies import Declared
from gradcheck_cli.onnx_ops.registry import FUSED, Call, Mode, Operator

Frames = Callable[[onnx.NodeProto], tuple[Frame, ...] | None]
"""The module calls around a node, outermost first; None: those of the node before it."""


class UnsupportedError(Exception):
    """Operators that the table does not have: (domain, name, version) → how many nodes."""

    def __init__(self, missing: Mapping[tuple[str, str, int], int]) -> None:
        super().__init__(str(dict(missing)))
        self.missing = missing


class AttributeFault(Exception):
    """A node has an attribute that its operator does not know."""


class Compiler:
    """Compiles the graphs of one model, whose functions are inlined already."""

    def __init__(self, opsets: Mapping[str, int], mode: Mode, frames: Frames = lambda _node: None) -> None:
        """`opsets`: domain (the standard one is empty) → version."""
        self.opsets = opsets
        self.mode = mode
        self.frames = frames
        self.missing: Counter[tuple[str, str, int]] = Counter()

    def graph(self, proto: onnx.GraphProto, outputs: Iterable[str] | None = None) -> Graph:
        """Compile a main graph for `outputs` (all of its own, if None).

        Raises:
            UnsupportedError: with all the operators that are missing.
            AttributeFault: an attribute is not one of its operator's.
        """
        compiled = self._graph(proto, tuple(outputs) if outputs is not None else None)
        if self.missing:
            raise UnsupportedError(self.missing)
        return compiled

    def _graph(self, proto: onnx.GraphProto, outputs: tuple[str, ...] | None = None) -> Graph:
        names = outputs if outputs is not None else tuple(output.name for output in proto.output)
        nodes = needed(proto.node, names)
        read = set(names).union(*map(reads, nodes))
        steps = [self._step(node, read) for node in nodes]
        initial = initial_names(proto)
        inputs = tuple(value.name for value in proto.input if value.name not in initial)
        graph = Graph(proto.name, inputs, names, steps)
        graph.captured = _captured(graph)
        return graph

    def _body(self, proto: onnx.GraphProto) -> Graph:
        """A graph that is an attribute: its initialisers become steps, since it has no module to hold them."""
        graph = self._graph(proto)
        initial = {value.name: values.tensor(value) for value in proto.initializer}
        initial |= {value.values.name: values.sparse(value) for value in proto.sparse_initializer}
        graph.steps[:0] = [
            Step(f"initializer {printable(name, 80)}", "", functools.partial(_give, value), (), (name,))
            for name, value in initial.items()
        ]
        graph.captured = tuple(name for name in graph.captured if name not in initial)
        graph.declared = tuple(map(_declared, proto.output))
        _mark_releases(graph)
        return graph

    def _dialect(self, node: onnx.NodeProto) -> tuple[str, int]:
        """(domain, version) in which a node's operator is looked up."""
        if node.domain == FUSED and table().find(FUSED, node.op_type, 1) is None:
            return "", onnx.defs.onnx_opset_version()
        domain = "" if node.domain == "ai.onnx" else node.domain
        return domain, self.opsets.get(domain, 1)

    def _step(self, node: onnx.NodeProto, read: Collection[str]) -> Step:
        """`read`: the values that some node or output reads."""
        domain, version = self._dialect(node)
        found = table().find(domain, node.op_type, version)
        inputs = tuple(name or None for name in _trimmed(node.input))
        outputs = tuple(_trimmed(node.output))
        bodies = {each.name: self._body(each.g) for each in node.attribute if each.type == onnx.AttributeProto.GRAPH}
        label = _label(node)
        if found is None:
            self.missing[(domain, node.op_type, version)] += 1
            return Step(label, node.op_type, _give, inputs, outputs, bodies=bodies)
        frames = self.frames(node)
        for body in bodies.values():
            _inside(body, frames or ())
        attributes = {
            each.name: values.attribute(each) for each in node.attribute if each.type != onnx.AttributeProto.GRAPH
        }
        _check_attributes(found, {*attributes, *bodies}, label)
        unread = frozenset(number for number, name in enumerate(outputs) if name not in read)
        call = Call(version, tuple(map(bool, outputs)), self.mode, unread)
        run = functools.partial(found.run, call) if found.takes_call else found.run
        return Step(label, node.op_type, run, inputs, outputs, attributes, bodies, frames)


def needed(nodes: Iterable[onnx.NodeProto], outputs: Iterable[str]) -> list[onnx.NodeProto]:
    """The nodes that `outputs` depend on, in their order."""
    wanted, kept = set(outputs), []
    for node in reversed(list(nodes)):
        if wanted.intersection(node.output):
            kept.append(node)
            wanted.update(reads(node))
    return kept[::-1]


def reads(node: onnx.NodeProto) -> set[str]:
    """The names that a node reads, those that its bodies take from around them included."""
    names = {name for name in node.input if name}
    for each in node.attribute:
        if each.type == onnx.AttributeProto.GRAPH:
            names |= _free_names(each.g)
    return names


def initial_names(graph: onnx.GraphProto) -> set[str]:
    """The names of a graph's initialisers, sparse ones included."""
    return {value.name for value in graph.initializer} | {value.values.name for value in graph.sparse_initializer}


def _free_names(graph: onnx.GraphProto) -> set[str]:
    own = {value.name for value in graph.input} | initial_names(graph)
    free: set[str] = set()
    for node in graph.node:
        free |= reads(node) - own
        own.update(node.output)
    return free | ({output.name for output in graph.output} - own)


def finish(graph: Graph, owners: Iterable[str] = ()) -> Graph:
    """Mark in a main graph where values are released and where module calls begin and end; `owners`: of parameters."""
    _mark_releases(graph)
    mark_calls(graph, owners)
    return graph


def _captured(graph: Graph) -> tuple[str, ...]:
    own = set(graph.inputs)
    free: dict[str, None] = {}
    for step in graph.steps:
        for name in reads_of(step):
            if name not in own:
                free[name] = None
        own.update(step.outputs)
    free.update(dict.fromkeys(name for name in graph.outputs if name and name not in own))
    return tuple(free)


def reads_of(step: Step) -> list[str]:
    """The values that a step reads, those that its bodies capture included."""
    names = [name for name in step.inputs if name is not None]
    return names + [name for body in step.bodies.values() for name in body.captured]


def _mark_releases(graph: Graph) -> None:
    alive = set(graph.outputs)
    for step in reversed(graph.steps):
        handled = {*reads_of(step), *step.outputs}
        step.release = tuple(sorted(name for name in handled - alive if name))
        alive |= handled


def mark_calls(graph: Graph, owners: Iterable[str] = ()) -> None:
    """Find where module calls begin and end, and what each hands out: the values that others read, or the outputs."""
    last_read = _last_reads(graph)
    leaves = _leaf_paths(graph) - {path[:at] for path in owners for at, char in enumerate(path) if char == "."}
    open_calls: list[tuple[Frame, list[str]]] = []

    def handed_out(names: list[str], end: int) -> tuple[str, ...]:
        return tuple(name for name in names if last_read.get(name, -1) >= end)

    for index, step in enumerate(graph.steps):
        frames = step.frames if step.frames is not None else tuple(frame for frame, _ in open_calls)
        common = 0
        while common < min(len(open_calls), len(frames)) and open_calls[common][0][0] == frames[common][0]:
            common += 1
        ending = open_calls[common:][::-1]
        del open_calls[common:]
        step.leave = tuple(handed_out(names, index) for _, names in ending)
        step.enter = tuple((frame, frame[0] in leaves) for frame in frames[common:])
        open_calls += [(frame, []) for frame in frames[common:]]
        for _, names in open_calls:
            names += [name for name in step.outputs if name]
    graph.leave = tuple(handed_out(names, len(graph.steps)) for _, names in reversed(open_calls))


def _last_reads(graph: Graph) -> dict[str, int]:
    last = {name: index for index, step in enumerate(graph.steps) for name in reads_of(step)}
    return last | dict.fromkeys(graph.outputs, len(graph.steps))


def _leaf_paths(graph: Graph) -> set[str]:
    stacks = {step.frames for step in graph.steps if step.frames}
    inner = {frame[0] for frames in stacks for frame in frames[:-1]}
    return {frame[0] for frames in stacks for frame in frames} - inner


def _inside(body: Graph, frames: tuple[Frame, ...]) -> None:
    """The body's nodes run within the calls around the node that it belongs to: those are open already."""
    for step in body.steps:
        if step.frames is not None and step.frames[: len(frames)] == frames:
            step.frames = step.frames[len(frames) :]
    mark_calls(body)


def _declared(value: onnx.ValueInfoProto) -> Declared:
    kind = value.type.tensor_type
    sizes = (each.dim_value if each.HasField("dim_value") else None for each in kind.shape.dim)
    return Declared(values.DTYPES.get(kind.elem_type), tuple(sizes) if kind.HasField("shape") else None)


def _label(node: onnx.NodeProto) -> str:
    if node.name:
        return f"node {printable(node.name, 80)} ({printable(node.op_type, 40)})"
    return f"the node {printable(node.op_type, 40)} that gives {printable(', '.join(node.output), 60)}"


def _trimmed(names: Iterable[str]) -> list[str]:
    kept = list(names)
    while kept and not kept[-1]:
        kept.pop()
    return kept


def _check_attributes(found: Operator, given: set[str], label: str) -> None:
    unknown = sorted(given - found.attributes)
    if unknown:
        known = ", ".join(sorted(found.attributes)) or "none"
        raise AttributeFault(f"{label} has an attribute {printable(unknown[0], 60)}, and its operator knows {known}")


def _give(value: Any = None) -> Any:
    return value
