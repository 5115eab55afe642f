"""Every known door of `torch.export.load` through which a file can run code."""

from __future__ import annotations

import dataclasses
import functools
import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import forged_files as forge

from hostile import honest
from hostile.case import Case, of_model

MODEL = "model/models/model.json"
WEIGHTS = "model/data/weights/model_weights_config.json"
CONSTANTS = "model/data/constants/model_constants_config.json"
SAMPLE = "model/data/sample_inputs/model.pt"
Members = dict[str, bytes]
Door = Callable[[Members, str], None]
"""Changes the members of an honest archive so that loading it would create the marker."""


class _Touch:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return eval, (_code(self.path),)


def _code(path: str) -> str:
    return f"__import__('pathlib').Path('{path}').touch()"


def _edit(member: str, change: Callable[[Any, str], None]) -> Door:
    def door(members: Members, marker: str) -> None:
        content = json.loads(members[member])
        change(content, marker)
        members[member] = json.dumps(content).encode()

    return door


def _graph(change: Callable[[Any, str], None]) -> Door:
    return _edit(MODEL, lambda content, marker: change(content["graph_module"]["graph"], marker))


def _signature(content: Any) -> Any:
    return content["graph_module"]["module_call_graph"][0]["signature"]


def _first_node(**fields: Any) -> Door:
    return _graph(lambda graph, marker: graph["nodes"][0].update(fields))


def _expression(graph: Any, marker: str) -> None:
    sizes = next(meta for meta in graph["tensor_values"].values() if "as_expr" in meta["sizes"][0])["sizes"]
    sizes[0]["as_expr"]["expr_str"] = _code(marker)


def _pickled_weights(members: Members, marker: str) -> None:
    config = json.loads(members[WEIGHTS])
    next(iter(config["config"].values()))["use_pickle"] = True
    members[WEIGHTS] = json.dumps(config).encode()
    members["model/data/weights/weight_0"] = honest.saved(_Touch(marker))


def _constant(prefix: str) -> Door:
    def door(members: Members, marker: str) -> None:
        config = {
            "config": {"c": {"path_name": f"{prefix}0", "is_param": False, "use_pickle": True, "tensor_meta": None}}
        }
        members[CONSTANTS] = json.dumps(config).encode()
        members[f"model/data/constants/{prefix}0"] = pickle.dumps(_Touch(marker))

    return door


def _rename_input(content: Any, marker: str) -> None:
    evil = f"x=({_code(marker)})"
    text = json.dumps(content["graph_module"])
    content["graph_module"] = json.loads(text.replace('"name": "input"', '"name": ' + json.dumps(evil)))


def _enum_in_spec(content: Any, marker: str) -> None:
    context = json.dumps([{"__enum__": True, "fqn": "this:d", "name": "a"}])
    leaf: dict[str, Any] = {"type": None, "context": None, "children_spec": []}
    spec = {"type": "builtins.dict", "context": context, "children_spec": [leaf]}
    _signature(content)["in_spec"] = json.dumps([1, spec])


def _defaultdict_in_spec(content: Any, marker: str) -> None:
    context = {"default_factory_module": "this", "default_factory_name": "d", "dict_context": []}
    spec = {"type": "collections.defaultdict", "context": context, "children_spec": []}
    _signature(content)["in_spec"] = json.dumps([1, spec])


def _custom_object(graph: Any, marker: str) -> None:
    graph["nodes"][0]["inputs"][0]["arg"] = {"as_custom_obj": {"name": "c", "class_fqn": "x"}}


def _subgraph_target(graph: Any, marker: str) -> None:
    inner = {**graph, "nodes": [{**graph["nodes"][0], "target": "torch.hub.load"}]}
    graph["nodes"][0]["inputs"][0]["arg"] = {"as_graph": {"name": "sub", "graph": json.loads(json.dumps(inner))}}


def _member(name: str, content: bytes = b"") -> Door:
    return lambda members, marker: members.update({f"model/{name}": content or pickle.dumps(_Touch(marker))})


def _layout(**fields: Any) -> Door:
    def change(content: Any, marker: str) -> None:
        next(iter(content["config"].values()))["tensor_meta"].update(fields)

    return _edit(WEIGHTS, change)


DOORS: dict[str, Door] = {
    "pickled-weights": _pickled_weights,
    "pickled-constant": _constant("tensor_"),
    "custom-constant": _constant("custom_obj_"),
    "opaque-constant": _constant("opaque_obj_"),
    "pickled-state-dict": _member("data/weights/model.pt"),
    "pickled-constants": _member("data/constants/model.pt"),
    "sample-inputs": lambda members, marker: members.update({SAMPLE: honest.saved(_Touch(marker))}),
    "sample-inputs-legacy": lambda members, marker: members.update({SAMPLE: pickle.dumps(_Touch(marker))}),
    "expression": _graph(_expression),
    "guards": _edit(MODEL, lambda content, marker: content.update(guards_code=[_code(marker)])),
    "argument-name": _edit(MODEL, lambda c, marker: _signature(c).update(forward_arg_names=[f"x=({_code(marker)})"])),
    "input-name": _edit(MODEL, _rename_input),
    "node-name": _first_node(name="a=1;import this;b"),
    "enum-in-tree-spec": _edit(MODEL, _enum_in_spec),
    "defaultdict-in-tree-spec": _edit(MODEL, _defaultdict_in_spec),
    "target-eval": _first_node(target="torch.serialization.os.system"),
    "target-operator": _first_node(target="_operator.attrgetter"),
    "target-file": _first_node(target="torch.ops.aten.from_file.default"),
    "target-attribute": _first_node(target="torch.ops.aten.add.__class__"),
    "target-library": _first_node(target="torch.ops.load_library"),
    "target-extension": _first_node(target="#x:y"),
    "target-in-subgraph": _graph(_subgraph_target),
    "custom-object": _graph(_custom_object),
    "range": _edit(MODEL, lambda c, marker: c.update(range_constraints={"u99999999": {"min_val": 0, "max_val": 1}})),
    "dialect": _edit(MODEL, lambda c, marker: c.update(verifiers=["EDGE"])),
    "second-model": _member("models/other.json", b"{}"),
    "executorch": _member("data/executorch/x.pte"),
    "parameter-name": _edit(
        WEIGHTS, lambda c, marker: c["config"].update({'x"); import this; ("': c["config"]["0.weight"]})
    ),
    "no-weights": lambda members, marker: members.update({WEIGHTS: b"{}"}),
    "no-json": lambda members, marker: members.update({MODEL: b"{"}),
    "deep-json": lambda members, marker: members.update({MODEL: b"[" * 200_000}),
    "huge-tensor": _layout(sizes=[{"as_int": 1 << 40}], strides=[{"as_int": 0}]),
    "out-of-bounds": _layout(storage_offset={"as_int": 5}),
    "negative": _layout(sizes=[{"as_int": -2}], strides=[{"as_int": 1}]),
    "symbolic-weight": _layout(storage_offset={"as_expr": {"expr_str": "s0", "hint": None}}),
    "sparse": _layout(layout=1),
    "path-out": _edit(WEIGHTS, lambda c, marker: c["config"]["0.weight"].update(path_name="../../x")),
    "version": lambda members, marker: members.update({"model/archive_version": b"7"}),
    "big-endian": lambda members, marker: members.update({"model/byteorder": b"big"}),
}
HARMLESS_ONCE_DROPPED = frozenset({"guards"})
"""The clean copy that torch is given leaves them out."""


def forged(door: str, marker: Path) -> bytes:
    """The archive with this door open."""
    members = dict(honest.members(honest.exported()))
    DOORS[door](members, str(marker))
    return forge.zipped(members)


def cases() -> Iterator[Case]:
    for door in DOORS:
        content = functools.partial(forged, door)
        case = of_model("pt2-doors", door, content, *_SLUGS, filename="model.pt2")
        yield dataclasses.replace(case, slugs=(), loadable=True) if door in HARMLESS_ONCE_DROPPED else case


_SLUGS = ("unsafe-archive", "unsafe-pickle", "truncated-file")
