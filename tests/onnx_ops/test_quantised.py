"""Quantised numbers: every type against ONNX Runtime or exact arithmetic, blocks, and straight-through gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto
from runtime_cases import RuntimeCase
from runtime_cases_quantised import CASES
from runtime_oracle import assert_same, by_us, model_of

from gradcheck_cli.onnx_ops import quantisation
from gradcheck_cli.onnx_ops.quantisation import fitted
from gradcheck_cli.onnx_ops.quantised import dequantize_linear, dynamic_quantize_linear, quantize_linear
from gradcheck_cli.onnx_ops.quantised_products import conv_integer, qlinear_conv, qlinear_matmul

X = (np.random.default_rng(0).standard_normal((4, 6)) * 3).astype(np.float32)
SCALE, BLOCK_SCALE = np.array([0.1, 0.2, 0.3, 0.4], np.float32), np.full((4, 3), 0.25, np.float32)


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.uint16, np.int16])
def test_all_integers_are_onnx_runtimes(kind: type) -> None:
    zero: np.ndarray = np.array(3, kind)
    assert_same("QuantizeLinear", [X, np.array(0.05, np.float32), zero], opset=21)
    assert_same("QuantizeLinear", [X, SCALE, np.array([1, 2, 3, 4], kind)], axis=0, opset=21)
    assert_same("QuantizeLinear", [X, BLOCK_SCALE, np.ones((4, 3), kind)], axis=1, block_size=2, opset=21)
    q: np.ndarray = np.random.default_rng(1).integers(0, 100, (4, 6)).astype(kind)
    assert_same("DequantizeLinear", [q, np.array(0.05, np.float32), zero], opset=21)
    assert_same("DequantizeLinear", [q, BLOCK_SCALE, np.ones((4, 3), kind)], axis=1, block_size=2, opset=21)


LIMITS: dict[int, tuple[int, int]] = {
    TensorProto.UINT4: (0, 15),
    TensorProto.INT4: (-8, 7),
    TensorProto.UINT2: (0, 3),
    TensorProto.INT2: (-2, 1),
}


@pytest.mark.parametrize("kind", LIMITS)
def test_integers_of_less_than_a_byte_are_limited(kind: int) -> None:
    x = torch.linspace(-30, 30, 13)
    low, high = LIMITS[kind]
    found = quantize_linear(x, torch.tensor(2.0), output_dtype=kind)
    assert found.tolist() == torch.round(x / 2).clamp(low, high).tolist()
    x.requires_grad_()
    assert quantize_linear(x, torch.tensor(2.0), output_dtype=kind).tolist() == found.tolist()


def test_float4_has_its_sixteen_values() -> None:
    x = torch.tensor([0.0, 0.2, 0.25, 0.3, 0.75, 1.25, 1.75, 2.4, 2.5, 3.5, 4.9, 5.0, 5.1, 9.0, -0.3, -7.0])
    expected = [0, 0, 0, 0.5, 1, 1, 2, 2, 2, 4, 4, 4, 6, 6, -0.5, -6]
    assert quantize_linear(x, torch.tensor(1.0), output_dtype=TensorProto.FLOAT4E2M1).tolist() == expected


@pytest.mark.parametrize(
    "dtype", [torch.float8_e4m3fn, torch.float8_e4m3fnuz, torch.float8_e5m2, torch.float8_e5m2fnuz]
)
def test_float8_rounds_as_the_cast_does(dtype: torch.dtype) -> None:
    x = torch.linspace(-3, 3, 41)
    found = quantize_linear(x, torch.tensor(0.5), torch.zeros((), dtype=dtype))
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), (x / 0.5).to(dtype).float())
    x.requires_grad_()
    passing = quantize_linear(x, torch.tensor(0.5), torch.zeros((), dtype=dtype))
    torch.testing.assert_close(passing.float(), found.float())
    (gradient,) = torch.autograd.grad(passing.sum(), x)
    torch.testing.assert_close(gradient, torch.full_like(x, 2.0))


def test_ties_go_to_even_numbers() -> None:
    x = torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5])
    assert quantize_linear(x, torch.tensor(1.0), torch.tensor(0, dtype=torch.int8)).tolist() == [0, 2, 2, 0, -2]


def test_gradients_are_straight_through_and_stop_where_values_are_clamped() -> None:
    x = torch.tensor([-9.0, 0.3, 0.77, 40.0], dtype=torch.float64, requires_grad=True)
    scale = torch.tensor(0.1, dtype=torch.float64)
    zero = torch.tensor(20, dtype=torch.uint8)
    y = dequantize_linear(quantize_linear(x, scale, zero), scale, zero)
    torch.testing.assert_close(y.detach(), torch.tensor([-2.0, 0.3, 0.8, 23.5], dtype=torch.float64))
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert gradient.tolist() == pytest.approx([0, 1, 1, 0])


def test_scales_learn_as_in_learned_step_size_quantisation() -> None:
    """∂/∂s of s·(round(x / s)) with a straight-through round: round(x/s) − x/s inside, the limit where it is clamped."""
    x, zero = torch.tensor([0.33, 100.0]), torch.tensor(0, dtype=torch.int8)
    scale = torch.tensor(0.1, requires_grad=True)
    y = dequantize_linear(quantize_linear(x, scale, zero), scale, zero)
    for value, expected in zip(y, (3 - 3.3, 127.0), strict=True):
        (gradient,) = torch.autograd.grad(value, scale, retain_graph=True)
        assert float(gradient) == pytest.approx(expected, abs=1e-4)


def test_values_with_and_without_a_gradient_are_the_same() -> None:
    x = torch.from_numpy(X)
    for zero in (torch.tensor(3, dtype=torch.uint8), torch.tensor(-3, dtype=torch.int8)):
        plain = quantize_linear(x, torch.tensor(0.05), zero)
        passing = quantize_linear(x.clone().requires_grad_(), torch.tensor(0.05), zero)
        assert passing.is_floating_point()
        assert torch.equal(passing.detach(), plain.float())


@pytest.mark.parametrize("x", [X, np.abs(X), -np.abs(X), np.zeros_like(X)])
def test_dynamic_quantisation_is_onnx_runtimes(x: np.ndarray) -> None:
    assert_same("DynamicQuantizeLinear", [x], ["y", "s", "z"], opset=11)


def test_dynamic_quantisation_passes_the_gradient() -> None:
    x = torch.from_numpy(X).requires_grad_()
    y, scale, zero = dynamic_quantize_linear(x)
    (gradient,) = torch.autograd.grad(dequantize_linear(y, scale, zero).sum(), x)
    assert float((gradient == 1).float().mean()) > 0.9


def quantised(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.integers(0, 256, shape).astype(np.uint8)


def step(scale: float, zero: int) -> list[np.ndarray]:
    return [np.array(scale, np.float32), np.array(zero, np.uint8)]


def test_products_are_onnx_runtimes() -> None:
    rng = np.random.default_rng(0)
    a, b = quantised(rng, 2, 3, 4), quantised(rng, 4, 5)
    a_step, b_step, y_step = step(0.02, 120), step(0.03, 100), step(0.5, 128)
    assert_same("MatMulInteger", [a, b, a_step[1], b_step[1]], opset=10)
    assert_same("MatMulInteger", [a, b], opset=10)
    assert_same("QLinearMatMul", [a, *a_step, b, *b_step, *y_step], opset=10, atol=1)
    per_column: list[np.ndarray] = [rng.random(5).astype(np.float32) / 20, np.zeros(5, np.int8)]
    assert_same("QLinearMatMul", [a, *a_step, b.astype(np.int8), *per_column, *y_step], opset=21, atol=1)
    x, w = quantised(rng, 1, 2, 6, 6), quantised(rng, 4, 2, 3, 3)
    geometry: dict[str, Any] = {"pads": [1, 1, 1, 1], "strides": [2, 1]}
    assert_same("ConvInteger", [x, w, a_step[1]], opset=10, **geometry)
    assert_same("QLinearConv", [x, *a_step, w, *b_step, *y_step], opset=10, atol=1, **geometry)
    channels: list[np.ndarray] = [rng.random(4).astype(np.float32) / 20, np.zeros(4, np.int8)]
    bias = rng.integers(-500, 500, 4).astype(np.int32)
    assert_same("QLinearConv", [x, *a_step, w.astype(np.int8), *channels, *y_step, bias], opset=10, atol=1, **geometry)


def test_products_pass_gradients_to_what_was_quantised() -> None:
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    w = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    scale, zero = torch.tensor(0.01, dtype=torch.float64), torch.tensor(0, dtype=torch.int8)
    steps = torch.tensor(0.05, dtype=torch.float64)
    q = qlinear_matmul(
        quantize_linear(x, scale, zero), scale, zero, quantize_linear(w, scale, zero), scale, zero, steps, zero
    )
    y = dequantize_linear(q, steps, zero)
    cotangent = torch.randn_like(y)
    found = torch.autograd.grad(y, (x, w), cotangent)
    with torch.no_grad():
        kept = [torch.round(v / scale).clamp(-128, 127) * scale for v in (x, w)]
        inside = [((v / scale).round().abs() <= 127).double() for v in (x, w)]
        reached = ((kept[0] @ kept[1] / steps).round().abs() <= 127).double() * cotangent
    torch.testing.assert_close(found[0], reached @ kept[1].T * inside[0], rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(found[1], kept[0].T @ reached * inside[1], rtol=1e-5, atol=1e-7)


def test_convolutions_pass_gradients_too() -> None:
    x, w = torch.rand(1, 1, 4, 4, requires_grad=True), torch.rand(1, 1, 2, 2)
    scale, zero = torch.tensor(0.01), torch.tensor(0, dtype=torch.uint8)
    y = qlinear_conv(
        quantize_linear(x, scale, zero),
        scale,
        zero,
        quantize_linear(w, scale, zero),
        scale,
        zero,
        torch.tensor(0.02),
        zero,
    )
    (gradient,) = torch.autograd.grad(dequantize_linear(y, torch.tensor(0.02), zero).sum(), x)
    assert gradient.count_nonzero() == gradient.numel()
    whole = conv_integer(quantize_linear(x, scale, zero), torch.ones(1, 1, 2, 2, dtype=torch.uint8))
    (gradient,) = torch.autograd.grad(whole.sum(), x)
    assert float(gradient[0, 0, 1, 1]) == pytest.approx(4 / 0.01, rel=1e-4)


def test_a_scale_that_does_not_fit_is_refused() -> None:
    x = torch.zeros(4, 6)
    with pytest.raises(ValueError, match="does not fit an input of the shape"):
        fitted(torch.ones(5), x, 0, 0)
    with pytest.raises(ValueError, match="axis 7 is not one of the 2 axes"):
        fitted(torch.ones(4), x, 7, 0)
    with pytest.raises(ValueError, match="cannot quantise to the element type 9"):
        quantize_linear(x, torch.tensor(1.0), output_dtype=9)
    with pytest.raises(ValueError, match=r"cannot quantise to torch\.bool"):
        quantize_linear(x, torch.tensor(1.0), torch.tensor(True))


def test_the_last_block_may_be_shorter() -> None:
    x, scale = torch.arange(5.0), torch.tensor([1.0, 2.0, 4.0])
    assert dequantize_linear(x.to(torch.int8), scale, axis=0, block_size=2).tolist() == [0, 1, 4, 6, 16]


def test_half_scales_give_halves() -> None:
    model = model_of("DequantizeLinear", [np.zeros(3, np.int8), np.array(0.5, np.float16)], ["y"], opset=21)
    assert (
        by_us(model, [torch.tensor([2, 4, 6], dtype=torch.int8), torch.tensor(0.5, dtype=torch.float16)])[0].dtype
        == torch.float16
    )


ROUNDING = [case for case in CASES if case.operator.startswith(("QLinear", "QGemm", "Quantize", "NhwcMaxPool"))]


@pytest.mark.parametrize("case", ROUNDING, ids=[f"{n}-{case.operator}" for n, case in enumerate(ROUNDING)])
def test_gradients_are_those_of_the_operator_that_does_not_round(
    case: RuntimeCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Straight through: with the rounding taken out, they are those of finite differences."""
    monkeypatch.setattr(quantisation, "_through", lambda x, _rounding: x)
    model = model_of(
        case.operator, case.inputs, case.outputs, domain=case.domain, opset=case.opset, more=case.attributes
    )
    given = [x for x in case.inputs if x is not None]
    places = [
        n
        for n, x in enumerate(given)
        if x.dtype == np.float32 or (x.ndim and x.dtype in (np.uint8, np.int8) and x.size > 4)
    ]
    leaves = [torch.from_numpy(given[n]).double().requires_grad_() for n in places]

    def run(*moved: torch.Tensor) -> torch.Tensor:
        values: list[Any] = list(given)
        for n, value in zip(places, moved, strict=True):
            values[n] = value
        found: torch.Tensor = by_us(model, values)[0]
        return found

    assert run(*leaves).requires_grad
    assert torch.autograd.gradcheck(run, leaves, fast_mode=True, atol=1e-3, rtol=1e-2)
