"""Every known door of `torch.export.load` through which a file can run code; each file here would touch a marker."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forged_files as forge
import pytest
import torch
from torch import nn

from gradcheck_cli.errors import ModelError
from gradcheck_cli.loaders import load

MODEL = "model/models/model.json"
WEIGHTS = "model/data/weights/model_weights_config.json"
CONSTANTS = "model/data/constants/model_constants_config.json"
SAMPLE = "model/data/sample_inputs/model.pt"
Members = dict[str, bytes]
Door = Callable[[Members, str], None]


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Members:
    path = tmp_path_factory.mktemp("export") / "model.pt2"
    shapes = {"input": {0: torch.export.Dim("batch", min=2, max=64)}}
    program = torch.export.export(nn.Sequential(nn.Linear(3, 2), nn.ReLU()), (torch.ones(4, 3),), dynamic_shapes=shapes)
    torch.export.save(program, path)
    return forge.unzipped(path)


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


def _saved(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def _pickled_weights(members: Members, marker: str) -> None:
    config = json.loads(members[WEIGHTS])
    next(iter(config["config"].values()))["use_pickle"] = True
    members[WEIGHTS] = json.dumps(config).encode()
    members["model/data/weights/weight_0"] = _saved(_Touch(marker))


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
    "sample-inputs": lambda members, marker: members.update({SAMPLE: _saved(_Touch(marker))}),
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
HARMLESS_ONCE_DROPPED = {"guards"}


@pytest.mark.parametrize("door", DOORS)
def test_a_door_is_shut(door: str, honest: Members, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    members = dict(honest)
    DOORS[door](members, str(marker))
    assert members != honest
    path = forge.written(tmp_path, forge.zipped(members), "model.pt2")
    if door in HARMLESS_ONCE_DROPPED:
        load(path).module(torch.ones(2, 3))
    else:
        with pytest.raises(ModelError) as caught:
            load(path)
        assert caught.value.slug in ("unsafe-archive", "unsafe-pickle", "truncated-file")
        assert "nothing was run" in caught.value.hint or caught.value.slug == "truncated-file"
        assert str(caught.value).isprintable()
    assert not marker.exists()


def test_the_forged_archive_itself_is_fine(honest: Members, tmp_path: Path) -> None:
    assert load(forge.written(tmp_path, forge.zipped(honest))).module(torch.ones(5, 3)).shape == (5, 2)


@pytest.mark.parametrize("door", ["pickled-weights", "opaque-constant", "expression"])
def test_the_payloads_are_real(door: str, honest: Members, tmp_path: Path) -> None:
    """Without the checks, torch runs them: otherwise the tests above would prove nothing."""
    marker = tmp_path / "marker"
    members = dict(honest)
    DOORS[door](members, str(marker))
    with pytest.raises(ModelError):
        load(forge.written(tmp_path, forge.zipped(members), "model.pt2"), trust=True)
    assert marker.exists()
