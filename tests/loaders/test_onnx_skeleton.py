"""Big weights taken out of an ONNX file: the same model comes back, and whatever is odd is left to protobuf."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from gradcheck_cli.errors import ModelError
from gradcheck_cli.loaders import load
from gradcheck_cli.loaders.onnx_model import skeleton, values
from gradcheck_cli.loaders.onnx_model.load import read
from gradcheck_cli.loaders.onnx_model.module import OnnxModule
from gradcheck_cli.loaders.source import open_source
from gradcheck_cli.records import Batch

SIDE = 128
"""A matrix of float32 with this side has 64 kB."""


def matrix(name: str, dtype: Any = np.float32) -> TensorProto:
    drawn = np.random.default_rng(len(name)).standard_normal((SIDE, SIDE)) * SIDE**-0.5
    return numpy_helper.from_array(drawn.astype(dtype), name)


def model_with(*weights: TensorProto) -> onnx.ModelProto:
    """x · w₀ · w₁ …"""
    names = ["x", *(f"y{i}" for i in range(len(weights)))]
    nodes = [helper.make_node("MatMul", [names[i], w.name], [names[i + 1]]) for i, w in enumerate(weights)]
    kind = weights[0].data_type
    x = helper.make_tensor_value_info("x", kind, ["B", SIDE])
    y = helper.make_tensor_value_info(names[-1], kind, None)
    graph = helper.make_graph(nodes, "g", [x], [y], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def skeleton_of(data: bytes, folder: Path) -> skeleton.Skeleton:
    path = folder / "model.onnx"
    path.write_bytes(data)
    with open_source(str(path)) as source:
        return skeleton.read(source)


def restored(found: skeleton.Skeleton) -> onnx.ModelProto:
    """The message with its weights put in again."""
    model: onnx.ModelProto = onnx.ModelProto.FromString(found.message)
    for proto in model.graph.initializer:
        if proto.name in found.stored:
            assert proto.data_location == TensorProto.EXTERNAL
            assert not proto.HasField("raw_data")
            proto.ClearField("data_location")
            proto.raw_data = values.from_torch(found.stored[proto.name]).tobytes()
    return model


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int64, "bfloat16", "float8_e4m3fn"])
def test_the_message_and_the_weights_are_the_whole_file(dtype: Any, tmp_path: Path) -> None:
    if isinstance(dtype, str):
        import ml_dtypes

        dtype = getattr(ml_dtypes, dtype)
    model = model_with(matrix("first", dtype), matrix("second", dtype))
    small = numpy_helper.from_array(np.arange(3), "small")
    model.graph.initializer.append(small)
    data = model.SerializeToString()
    found = skeleton_of(data, tmp_path)
    assert set(found.stored) == {"first", "second"}
    assert len(found.message) < 1000
    assert restored(found) == model
    assert all(value.data_ptr() % 16 == 0 for value in found.stored.values())


def test_several_graph_fields_are_merged_as_protobuf_merges_them(tmp_path: Path) -> None:
    one, other = model_with(matrix("a"), matrix("b")), model_with(matrix("c"))
    data = one.SerializeToString() + onnx.ModelProto(graph=other.graph).SerializeToString()
    found = skeleton_of(data, tmp_path)
    assert set(found.stored) == {"a", "b", "c"}
    assert restored(found) == onnx.ModelProto.FromString(data)


def odd_tensors() -> dict[str, TensorProto]:
    short, twice, part, unknown, other, text = (matrix("w") for _ in range(6))
    short.dims[0] = SIDE - 1
    twice.float_data.append(1.0)
    part.segment.begin = 1
    unknown.data_type = 99
    other.data_location = TensorProto.EXTERNAL
    text.data_type = TensorProto.STRING
    deep, negative = matrix("w"), matrix("w")
    deep.dims.extend([1] * 100)
    negative.dims[:] = [-SIDE, -SIDE]
    huge = matrix("w")
    huge.dims[:] = [1 << 40, 1 << 40]
    return {
        **{"short": short, "data twice": twice, "segment": part, "unknown type": unknown, "external": other},
        **{"text": text, "deep": deep, "negative": negative, "huge": huge},
    }


@pytest.mark.parametrize("name", odd_tensors())
def test_what_is_odd_stays_for_protobuf(name: str, tmp_path: Path) -> None:
    data = model_with(odd_tensors()[name]).SerializeToString()
    found = skeleton_of(data, tmp_path)
    assert not found.stored
    assert found.message == data


def test_two_weights_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(model_with(matrix("w"), matrix("w")).SerializeToString())
    with pytest.raises(ModelError, match="two initialisers have the name w"):
        load(str(path))


def field(number: int, wire: int, content: bytes) -> bytes:
    return bytes([number << 3 | wire]) + content


@pytest.mark.parametrize(
    "tail",
    [
        field(15, 3, b"") + field(15, 4, b""),  # a group
        field(7, 2, b"\xff\xff\xff\xff\x0f"),  # longer than the file
        field(7, 2, b"\xff" * 11),  # no number
        field(7, 2, b"\x80"),  # ends within a number
        b"\x00",  # field 0
        field(1, 5, b"\x00"),  # ends within a number of 4 bytes
    ],
)
def test_a_file_that_is_not_plain_protobuf_is_left_alone(tail: bytes, tmp_path: Path) -> None:
    data = model_with(matrix("w")).SerializeToString() + tail
    found = skeleton_of(data, tmp_path)
    assert found.message == data
    assert not found.stored


def test_the_scan_gives_up_on_millions_of_fields(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skeleton, "_MAX_FIELDS", 100)
    data = model_with(matrix("w")).SerializeToString() + field(1, 0, b"\x08") * 200
    found = skeleton_of(data, tmp_path)
    assert found.message == data
    assert not found.stored


@given(cut=st.integers(0, 70_000), flips=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4))
def test_a_damaged_file_is_either_the_same_to_protobuf_or_left_alone(
    cut: int, flips: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    plain = model_with(matrix("w"))
    plain.graph.initializer.append(numpy_helper.from_array(np.arange(3), "small"))
    data = bytearray(plain.SerializeToString()[: 70_000 - cut or None])
    for place, value in flips:
        if place < len(data):
            data[-1 - place if place % 2 else place] = value
    content = bytes(data) or b"\x00"
    found = skeleton_of(content, tmp_path_factory.getbasetemp())
    if not found.stored:
        assert found.message == content
    elif parses(content):
        assert restored(found) == onnx.ModelProto.FromString(content)
    else:
        assert not parses(found.message)


def parses(data: bytes) -> bool:
    try:
        onnx.ModelProto.FromString(data)
    except DecodeError:
        return False
    return True


# ------------------------------------------------------------------------------------------------------- whole models


@pytest.mark.parametrize("external", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_the_model_runs_and_agrees_with_onnx_runtime(dtype: Any, external: bool, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    model = model_with(matrix("first", dtype), matrix("second", dtype))
    expected = [numpy_helper.to_array(each) for each in model.graph.initializer]
    onnx.save(model, path, save_as_external_data=external, location="model.data", size_threshold=0)
    subject = load(str(path))
    x = np.random.default_rng(1).standard_normal((3, SIDE)).astype(dtype)
    found = subject.module(torch.from_numpy(x)).detach().numpy()
    wanted = x.astype(np.float64) @ expected[0].astype(np.float64) @ expected[1].astype(np.float64)
    np.testing.assert_allclose(found, wanted, rtol=1e-2 if dtype is np.float16 else 1e-4, atol=1e-2)
    assert subject.parity is not None
    assert subject.parity(Batch(args=(torch.from_numpy(x),), size=3)) == ()


@pytest.mark.parametrize("external", [False, True])
def test_onnx_runtime_computes_on_our_weights(external: bool, tmp_path: Path) -> None:
    """A weight that is changed after loading is changed for both: there is one copy of it."""
    path = tmp_path / "model.onnx"
    onnx.save(
        model_with(matrix("w"), matrix("v")), path, save_as_external_data=external, location="d", size_threshold=0
    )
    subject = load(str(path))
    with torch.no_grad():
        next(subject.module.parameters()).mul_(3)
    assert subject.parity is not None
    assert subject.parity(Batch(args=(torch.randn(3, SIDE),), size=3)) == ()


def test_small_external_values_that_shapes_depend_on_reach_onnx_runtime(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    model = model_with(matrix("w"))
    model.graph.initializer.append(numpy_helper.from_array(np.array([-1, 2, SIDE // 2]), "shape"))
    model.graph.node.append(helper.make_node("Reshape", ["y0", "shape"], ["z"]))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("z", 1, ["B", 2, SIDE // 2]))
    onnx.save(model, path, save_as_external_data=True, location="d", size_threshold=0)
    subject = load(str(path))
    assert subject.parity is not None
    assert subject.parity(Batch(args=(torch.randn(3, SIDE),), size=3)) == ()
    assert subject.module(torch.randn(3, SIDE)).shape == (3, 2, SIDE // 2)


def test_a_differing_model_with_external_data_names_its_node(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    model = model_with(matrix("first"), matrix("second"))
    model.graph.node[1].name = "the_second"
    onnx.save(model, path, save_as_external_data=True, location="d", size_threshold=0)
    subject = load(str(path))
    assert isinstance(subject.module, OnnxModule)
    step = subject.module.steps[1]
    right = step.run
    step.run = lambda a, b: right(a, b) * 1.1
    assert subject.parity is not None
    with pytest.raises(ModelError, match="the_second"):
        subject.parity(Batch(args=(torch.randn(3, SIDE),), size=3))


def test_a_single_file_is_not_held_as_bytes(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(model_with(matrix("w")).SerializeToString())
    with open_source(str(path)) as source:
        message, stored = read(source)
        assert source._data is None
    assert len(message) < 1000
    assert stored["w"].shape == (SIDE, SIDE)


def test_a_file_that_grows_or_shrinks_later_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(model_with(matrix("w")).SerializeToString())
    subject = load(str(path))
    x = torch.randn(2, SIDE)
    before = subject.module(x)
    path.write_bytes(b"")
    torch.testing.assert_close(subject.module(x), before, rtol=0, atol=0)


def test_big_weights_survive_the_writing_out_of_functions(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    model = model_with(matrix("w"))
    body = [helper.make_node("Relu", ["a"], ["b"])]
    opsets = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("own", "Rectify", ["a"], ["b"], body, opsets))
    model.opset_import.append(helper.make_opsetid("own", 1))
    model.graph.node.append(helper.make_node("Rectify", ["y0"], ["z"], domain="own"))
    model.graph.output[0].name = "z"
    path.write_bytes(model.SerializeToString())
    subject = load(str(path))
    x = torch.randn(3, SIDE)
    expected = torch.relu(x @ torch.from_numpy(numpy_helper.to_array(matrix("w")).copy()))
    torch.testing.assert_close(subject.module(x), expected)
    assert subject.parity is not None
    assert subject.parity(Batch(args=(x,), size=3)) == ()
