"""ONNX test data: our own reader agrees with the onnx package on every kind of tensor, and refuses what is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from sample_subjects import Forward, draw, mlp, subject_of
from torch import nn

from gradcheck_cli.errors import SampleError
from gradcheck_cli.sample.files import open_data
from gradcheck_cli.sample.onnx_tensors import read_tensor


def read(path: Path) -> tuple[str, torch.Tensor]:
    with open_data(str(path)) as file:
        return read_tensor(file)


def slug_of(path: Path) -> str:
    with pytest.raises(SampleError) as caught:
        read(path)
    assert caught.value.hint
    return caught.value.slug


def save(path: Path, array: np.ndarray[Any, Any] | TensorProto, name: str = "") -> Path:
    proto = array if isinstance(array, TensorProto) else numpy_helper.from_array(array, name)
    path.write_bytes(proto.SerializeToString())
    return path


KINDS = ["f4", "f8", "f2", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?", "c8", "c16"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(2, 3), (), (0, 4)])
@pytest.mark.parametrize("typed", [False, True])
def test_agrees_with_the_onnx_package(tmp_path: Path, kind: str, shape: tuple[int, ...], typed: bool) -> None:
    array = (np.arange(int(np.prod(shape))) - 2).reshape(shape).astype(kind)
    proto = numpy_helper.from_array(array, "x")
    if typed:
        proto = helper.make_tensor("x", proto.data_type, shape, array.flatten().tolist(), raw=False)
        assert not proto.HasField("raw_data")
    name, tensor = read(save(tmp_path / "a.pb", proto))
    assert name == "x"
    np.testing.assert_array_equal(tensor.numpy(), numpy_helper.to_array(onnx.load_tensor(tmp_path / "a.pb")))
    assert tensor.numpy().dtype == array.dtype


@pytest.mark.parametrize("raw", [False, True])
def test_bfloat16(tmp_path: Path, raw: bool) -> None:
    values = [1.5, -2.0, 3.25]
    proto = helper.make_tensor("x", TensorProto.BFLOAT16, [3], values)
    if raw:
        bits = torch.tensor(values, dtype=torch.bfloat16).view(torch.int16).numpy().tobytes()
        proto = helper.make_tensor("x", TensorProto.BFLOAT16, [3], bits, raw=True)
    _, tensor = read(save(tmp_path / "a.pb", proto))
    assert tensor.dtype == torch.bfloat16
    assert tensor.tolist() == values


def test_numbers_that_are_not_packed(tmp_path: Path) -> None:
    # dims 2 (field 1), data_type 7 (field 2), then int64_data (field 7) one by one: 5 and -1.
    data = bytes([0x08, 2, 0x10, 7, 0x38, 5, 0x38]) + b"\xff" * 9 + b"\x01"
    (tmp_path / "a.pb").write_bytes(data)
    assert read(tmp_path / "a.pb")[1].tolist() == [5, -1]
    np.testing.assert_array_equal(numpy_helper.to_array(onnx.load_tensor(tmp_path / "a.pb")), [5, -1])


@pytest.mark.parametrize(
    ("data", "slug"),
    [
        (b"\x08\x02\x10\x01\x4a\x04\0\0\0\0", "broken-data"),  # two floats declared, one there
        (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x10\x01\x4a\x04\0\0\0\0", "broken-data"),  # 2**62 of them
        (b"\x08\x01\x10\x01\x4a\x7f\0", "broken-data"),  # a length past the end
        (b"\x08" + b"\xff" * 20, "broken-data"),  # a number without an end
        (b"\x0b\x08\x01", "broken-data"),  # a group
        (b"\x08\x01\x10\x01\x4a\x04\0\0\0\0\x22\x04\0\0\0\0", "broken-data"),  # raw and typed values
        (b"\x08\x01\x10\x01\x3a\x01\x01", "broken-data"),  # floats in the field of integers
        (b"\x08\x01\x10\x63\x4a\x01\0", "unsupported-data"),  # a data type of the future
        (b"\x08\x01\x10\x08\x32\x01a", "unsupported-data"),  # text
        (b"\x08\x01\x10\x01\x6a\x02\x0a\x00\x70\x01", "unsupported-data"),  # values in another file
        (b"\xf8\xff\x01\x01", "broken-data"),  # field 4095
        (b"not a tensor", "broken-data"),
        (b"\x10\x01\x0a\x02\x80\x80\x4a\x00", "broken-data"),  # packed numbers that do not end
    ],
)
def test_what_is_no_tensor(tmp_path: Path, data: bytes, slug: str) -> None:
    (tmp_path / "a.pb").write_bytes(data)
    assert slug_of(tmp_path / "a.pb") == slug


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_damage_gives_a_tensor_or_an_error_of_ours(data: st.DataObject, tmp_path_factory: Any) -> None:
    proto = helper.make_tensor("x", TensorProto.INT64, [2, 3], [1, 2, 300, 4, -5, 6])
    damaged = bytearray(proto.SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("pb") / "a.pb"
    path.write_bytes(damaged)
    slug = "fine"
    try:
        read(path)
    except SampleError as error:
        slug = error.slug
    assert slug in ("fine", "broken-data", "unsupported-data")


# ------------------------------------------------------------------------------------------------------------- folders


def test_one_tensor_as_data_and_one_as_target(tmp_path: Path) -> None:
    x, y = np.ones((5, 4), np.float32), np.arange(5) % 3
    data, target = save(tmp_path / "x.pb", x), save(tmp_path / "y.pb", y)
    sample = draw(subject_of(mlp()), str(data), target=str(target))
    assert (sample.samples, sample.loss_name) == (5, "cross-entropy")


def two_inputs() -> nn.Module:
    return Forward(lambda self, a, b: self.one(a) + self.two(b), one=nn.Linear(4, 3), two=nn.Linear(2, 3))


@pytest.mark.parametrize("names", [("", ""), ("b", "a"), ("left", "right")])
def test_test_data_folder(tmp_path: Path, names: tuple[str, str]) -> None:
    folder = tmp_path / "test_data_set_0"
    folder.mkdir()
    widths = (2, 4) if names[0] == "b" else (4, 2)
    for index, (name, width) in enumerate(zip(names, widths, strict=True)):
        save(folder / f"input_{index}.pb", np.ones((3, width), np.float32), name)
    save(folder / "output_0.pb", np.ones((3, 3), np.float32))
    for path in (folder, tmp_path):
        sample = draw(subject_of(two_inputs()), str(path))
        assert (sample.samples, sample.loss_name) == (3, "none")
        assert any("output files" in remark for remark in sample.remarks)
    sample = draw(subject_of(two_inputs()), str(folder), target=str(folder / "output_0.pb"))
    assert sample.loss_name == "mse"


def test_several_sets_are_several_batches_in_order(tmp_path: Path) -> None:
    for index in (0, 2, 10):
        (tmp_path / f"test_data_set_{index}").mkdir()
        save(tmp_path / f"test_data_set_{index}" / "input_0.pb", np.full((1, 4), index, np.float32))
    sample = draw(subject_of(mlp()), str(tmp_path), batches=2)
    assert [batch.args[0][0, 0].item() for batch in sample.batches] == [0, 2]
