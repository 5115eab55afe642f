"""Weights that lie inside the bodies of If, Loop and Scan: moved out, so that they are parameters like all others."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from gradcheck_cli.loaders.onnx_model.compiler import initial_names


def hoist(graph: onnx.GraphProto) -> None:
    """Move the initialisers of all bodies, however deep, to the main graph; one whose name is taken gets a new one."""
    taken = _all_names(graph)
    numbers: dict[str, int] = {}
    for body in bodies(graph):
        _hoist_from(body, graph, taken, numbers)


def bodies(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graphs that are attributes of nodes, the outer before the inner."""
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield attribute.g
                yield from bodies(attribute.g)


def _hoist_from(body: onnx.GraphProto, main: onnx.GraphProto, taken: dict[str, int], numbers: dict[str, int]) -> None:
    """`numbers`: name → the last number that was put behind it."""
    renamed = {}
    for name in sorted(initial_names(body)):
        taken[name] -= 1
        if taken[name]:
            renamed[name] = _free_name(name, taken, numbers)
            taken[renamed[name]] = 1
        else:
            taken[name] = 1
    kept = [value for value in body.input if value.name not in initial_names(body)]
    for value in body.initializer:
        value.name = renamed.get(value.name, value.name)
    for sparse in body.sparse_initializer:
        sparse.values.name = renamed.get(sparse.values.name, sparse.values.name)
    main.initializer.extend(body.initializer)
    main.sparse_initializer.extend(body.sparse_initializer)
    del body.initializer[:], body.sparse_initializer[:]
    if len(kept) < len(body.input):
        kept = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in kept]
        del body.input[:]
        body.input.extend(kept)
    if renamed:
        _rename(body, renamed)


def _all_names(graph: onnx.GraphProto) -> dict[str, int]:
    """Value → in how many graphs it is made."""
    counts: dict[str, int] = {}
    for each in (graph, *bodies(graph)):
        made = initial_names(each) | {value.name for value in each.input}
        made |= {name for node in each.node for name in node.output}
        for name in made:
            counts[name] = counts.get(name, 0) + 1
    return counts


def _free_name(name: str, taken: dict[str, int], numbers: dict[str, int]) -> str:
    number = numbers.get(name, 0) + 1
    while f"{name}_{number}" in taken:
        number += 1
    numbers[name] = number
    return f"{name}_{number}"


def _rename(body: onnx.GraphProto, renamed: dict[str, str]) -> None:
    """In a body, and in those within it that do not make a value of their own of that name."""
    for node in body.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                inner = attribute.g
                made = initial_names(inner) | {value.name for value in inner.input}
                made |= {name for each in inner.node for name in each.output}
                _rename(inner, {old: new for old, new in renamed.items() if old not in made})
    for value in body.output:
        value.name = renamed.get(value.name, value.name)
