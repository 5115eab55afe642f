"""Cast and CastLike: every pair of types against ONNX Runtime, or numpy, and gradients that pass."""

from __future__ import annotations

import itertools

import ml_dtypes
import numpy as np
import pytest
import torch
from onnx import TensorProto, helper
from runtime_oracle import Array, assert_same, by_us, model_of

from gradcheck_cli.onnx_ops.casting import converted, to_dtype

TYPES = [
    np.float32,
    np.float64,
    np.float16,
    np.int8,
    np.uint8,
    np.int16,
    np.uint16,
    np.int32,
    np.uint32,
    np.int64,
    np.uint64,
    np.bool_,
]
X = np.array([0, 1, 2.5, 3.75, 100, 127])
FLOAT8 = ["FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ"]


@pytest.mark.parametrize(("source", "target"), list(itertools.product(TYPES, TYPES)))
def test_every_pair_is_onnx_runtimes(source: type, target: type) -> None:
    x: Array = X.astype(source)
    to = helper.np_dtype_to_tensor_dtype(np.dtype(target))
    assert_same("Cast", [x], to=to, opset=13)
    assert_same("CastLike", [x, np.zeros(1, target)], opset=15)


@pytest.mark.parametrize("target", [np.int8, np.int32, np.int64])
def test_negative_values_are_onnx_runtimes(target: type) -> None:
    assert_same("Cast", [-X.astype(np.float32)], to=helper.np_dtype_to_tensor_dtype(np.dtype(target)), opset=13)


@pytest.mark.parametrize("name", FLOAT8)
@pytest.mark.parametrize("saturate", [True, False])
def test_float8_is_that_of_ml_dtypes(name: str, saturate: bool) -> None:
    x = np.concatenate([np.linspace(-500, 500, 101), [1e-3, 0.02, -0.0, 1e6]]).astype(np.float32)
    dtype = getattr(
        ml_dtypes,
        {"FLOAT8E5M2": "float8_e5m2", "FLOAT8E4M3FN": "float8_e4m3fn"}.get(name, "float8_" + name[6:].lower()),
    )
    most = float(ml_dtypes.finfo(dtype).max)  # type: ignore[no-untyped-call]
    expected = (np.clip(x, -most, most) if saturate else x).astype(dtype).astype(np.float32)
    found = converted(torch.from_numpy(x), getattr(TensorProto, name), saturate=saturate)
    np.testing.assert_array_equal(found.float().numpy(), expected)


@pytest.mark.parametrize("mode", ["up", "down", "nearest"])
def test_float8_scales_are_powers_of_two(mode: str) -> None:
    x = torch.tensor([1.0, 1.4, 1.5, 1.6, 3.0, 0.3])
    rounded = {"up": [1, 2, 2, 2, 4, 0.5], "down": [1, 1, 1, 1, 2, 0.25], "nearest": [1, 1, 2, 2, 4, 0.25]}[mode]
    assert converted(x, TensorProto.FLOAT8E8M0, round_mode=mode).float().tolist() == rounded


def test_integers_of_less_than_a_byte_wrap() -> None:
    x = torch.arange(-9, 10)
    for kind, bits, signed in (
        (TensorProto.INT4, 4, True),
        (TensorProto.UINT4, 4, False),
        (TensorProto.INT2, 2, True),
        (TensorProto.UINT2, 2, False),
    ):
        low = x.numpy() % (1 << bits)
        expected = np.where(low >= 1 << (bits - 1), low - (1 << bits), low) if signed else low
        np.testing.assert_array_equal(converted(x, kind).numpy(), expected)


def test_float4_rounds_to_even() -> None:
    x = torch.tensor([0.0, 0.25, 0.26, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0, 7.0, -1.3])
    assert converted(x, TensorProto.FLOAT4E2M1).tolist() == [0, 0, 0.5, 1, 1, 2, 2, 4, 4, 6, -1.5]


def test_strings_go_both_ways() -> None:
    words = np.array(["3.14", "-7", "1e3", "inf", "NaN"], dtype=object)
    found = to_dtype(words, torch.float32)
    np.testing.assert_allclose(found.numpy(), np.array([3.14, -7, 1000, np.inf, np.nan], np.float32))
    assert to_dtype(np.array(["5", "-2"], dtype=object), torch.int64).tolist() == [5, -2]
    model = model_of("Cast", [X.astype(np.float32)], ["y"], to=TensorProto.STRING, opset=13)
    assert by_us(model, [X.astype(np.float32)])[0].tolist() == ["0", "1", "2.5", "3.75", "100", "127"]
    assert converted(torch.tensor([True, False]), TensorProto.STRING).tolist() == ["1", "0"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2])
def test_the_gradient_passes_every_floating_type(dtype: torch.dtype) -> None:
    x = torch.tensor([0.5, 1.3, -2.0], requires_grad=True)
    y = to_dtype(to_dtype(x, dtype), torch.float32)
    torch.testing.assert_close(y.detach(), x.detach().to(dtype).float())
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert gradient.tolist() == [1, 1, 1]


def test_no_gradient_passes_an_integer() -> None:
    x = torch.tensor([0.5, 1.3], requires_grad=True)
    assert not to_dtype(x, torch.int32).requires_grad


def test_what_there_is_not_is_said() -> None:
    with pytest.raises(ValueError, match="element type 99 cannot be computed with"):
        converted(torch.zeros(1), 99)
    with pytest.raises(ValueError, match="rounding 'sideways'"):
        converted(torch.zeros(1), TensorProto.FLOAT8E8M0, round_mode="sideways")
