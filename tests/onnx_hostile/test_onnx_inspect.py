"""`gradcheck inspect` on ONNX files: versions, operators, inputs, weights, data files, what is missing, and the command."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from hostile_bombs import loop
from hostile_case import CASES, after_layer, changed, honest, model, saved, value, weight
from hostile_external import put_outside
from onnx import TensorProto, helper

from gradcheck_cli.errors import ModelError
from gradcheck_cli.loaders import inspect, load
from gradcheck_cli.loaders.facts import DataFileFacts, FileFacts, OperatorFacts, TensorFacts

node = helper.make_node


def described(found: onnx.ModelProto | bytes, folder: Path) -> FileFacts:
    return inspect(str(saved(found, folder)))


def test_an_honest_file(tmp_path: Path) -> None:
    found = honest()
    found.producer_name, found.producer_version = "pytorch", "2.13.0"
    facts = described(found, tmp_path)
    path = tmp_path / "model.onnx"
    assert (facts.format, facts.is_, facts.bytes) == ("onnx", "an ONNX model", path.stat().st_size)
    assert facts.versions == {"IR": 10, "ai.onnx": 18}
    assert facts.producer == "pytorch 2.13.0"
    assert facts.operators == (
        OperatorFacts(name="Gemm", domain="", version=18, count=2, supported=True),
        OperatorFacts(name="Relu", domain="", version=18, count=1, supported=True),
    )
    assert facts.inputs == (TensorFacts(name="x", dtype="float32", shape=("N", 4)),)
    assert [tensor.name for tensor in facts.outputs] == ["y"]
    assert facts.tensors[0] == TensorFacts(name="first.weight", dtype="float32", shape=(4, 8))
    assert facts.parameters == 4 * 8 + 8 + 8 * 3 + 3
    assert [layer.name for layer in facts.layers] == ["first", "second"]
    assert (facts.runs_code, facts.code, facts.remarks, facts.needs) == (False, (), (), "")
    assert facts.command == f"gradcheck diagnose {path}"
    assert facts.sha256 == load(str(path)).sha256


def test_all_that_is_unsupported_at_once(tmp_path: Path) -> None:
    """As many, of the same versions, as `diagnose` refuses the file for."""
    inside = [node("Frobnicate", ["s"], ["u"]), node("Grumble", ["u"], ["t"], domain="org.example")]
    found = loop(2, inside)
    found.graph.node.append(node("Frobnicate", ["y"], ["z"]))
    found.graph.output[0].name = "z"
    found.opset_import.append(helper.make_opsetid("org.example", 3))
    facts = described(found, tmp_path)
    missing = {(each.domain, each.name, each.version, each.count) for each in facts.operators if not each.supported}
    assert missing == {("", "Frobnicate", 18, 2), ("org.example", "Grumble", 3, 1)}
    said = "2 × Frobnicate (version 18), 1 × org.example.Grumble (version 3)"
    assert said in facts.remarks[0]
    assert facts.command == ""
    assert "operators" in facts.needs
    with pytest.raises(ModelError) as caught:
        load(str(tmp_path / "model.onnx"))
    assert (caught.value.slug, caught.value.status) == ("unsupported-operator", 2)
    assert said in caught.value.message
    assert caught.value.message == facts.remarks[0]


def test_operators_in_functions_count_where_they_stand(tmp_path: Path) -> None:
    opsets = [helper.make_opsetid("", 17)]
    twice = helper.make_function("f", "Twice", ["a"], ["b"], [node("Add", ["a", "a"], ["b"])], opsets)
    found = after_layer(node("Twice", ["h"], ["y"], domain="f"), functions=[twice], domains=["f"])
    counted = {(each.name, each.version): each.count for each in described(found, tmp_path).operators}
    assert counted == {("Gemm", 18): 1, ("Add", 17): 1}


def test_data_files(tmp_path: Path) -> None:
    found = honest()
    (tmp_path / "weights.bin").write_bytes(bytes(200))
    for tensor, place in zip(found.graph.initializer, ("weights.bin", "weights.bin", "gone.bin", "../x"), strict=True):
        put_outside(tensor, place)
    facts = described(found, tmp_path)
    assert facts.data_files == (
        DataFileFacts(name="weights.bin", tensors=2, bytes=200),
        DataFileFacts(name="gone.bin", tensors=1, bytes=None),
        DataFileFacts(name="../x", tensors=1, bytes=None),
    )
    assert "data files" in facts.needs
    assert facts.command == ""
    assert facts.parameters == 4 * 8 + 8 + 8 * 3 + 3


def test_types_and_shapes_of_every_kind(tmp_path: Path) -> None:
    given = [
        value("a", [2, "len", None], TensorProto.INT64),
        value("b", None, TensorProto.STRING),
        value("c", [], TensorProto.BFLOAT16),
        helper.make_tensor_sequence_value_info("d", TensorProto.FLOAT, None),
        value("w", [4, 4]),  # it has an initialiser: old files list those, too
    ]
    facts = described(model([node("MatMul", ["w", "w"], ["y"])], [weight("w", 4, 4)], given), tmp_path)
    listed = [(each.name, each.dtype, each.shape) for each in facts.inputs]
    assert listed == [
        ("a", "int64", (2, "len", "?")),
        ("b", "string", ()),
        ("c", "bfloat16", ()),
        ("d", "unknown", ()),
    ]


def test_a_graph_that_cannot_run_says_why(tmp_path: Path) -> None:
    facts = described(changed(lambda m: m.graph.initializer.pop()), tmp_path)
    assert "nothing gives second.bias" in facts.remarks[0]
    assert (facts.command, facts.runs_code) == ("", False)
    assert "export the model again" in facts.needs


def test_a_file_that_is_cut_off_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        described(bytes(honest().SerializeToString())[:-30], tmp_path)
    assert (caught.value.slug, caught.value.status) == ("truncated-file", 2)


def test_names_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    facts = inspect(str(CASES["names-with-escapes"].write(tmp_path)))
    assert all(tensor.name.isprintable() for tensor in facts.tensors)
    assert any("\\x1b[31m" in tensor.name for tensor in facts.tensors)
