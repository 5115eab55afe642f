"""Attention as torch's exporters spell it is one native call, and outputs that nobody reads are not computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import parser
from onnxruntime import InferenceSession

from gradcheck_cli.loaders.onnx_model.build import build

GUARD = """
    nans = IsNaN(weights)
    guarded = Where(nans, zero, weights)
"""


def attention(guard: str = GUARD, last: str = "guarded", axis: int = -1) -> onnx.ModelProto:
    return parser.parse_model(f"""
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[2,3,5,4] q, float[2,3,4,5] k, float[2,3,5,6] v, float[2,1,5,5] mask) => (float[2,3,5,6] y)
    <float zero = {{0.0}}, float s = {{0.7}}> {{
        qs = Mul(q, s)
        ks = Mul(k, s)
        scores = MatMul(qs, ks)
        masked = Add(scores, mask)
        weights = Softmax<axis: int = {axis}>(masked)
        {guard}
        y = MatMul({last}, v)
    }}""")


def arrays(*, with_empty_row: bool) -> dict[str, np.ndarray[Any, Any]]:
    draw = np.random.default_rng(0)
    shapes = {"q": (2, 3, 5, 4), "k": (2, 3, 4, 5), "v": (2, 3, 5, 6)}
    found = {name: draw.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    mask = np.where(draw.random((2, 1, 5, 5)) < 0.4, -np.inf, 0).astype(np.float32)
    mask[..., 0] = 0
    mask[1, 0, 2] = -np.inf if with_empty_row else 0
    return {**found, "mask": mask}


def operators(model: onnx.ModelProto) -> list[str]:
    return [step.operator for step in build(model).steps]


@pytest.mark.parametrize(("guard", "last"), [(GUARD, "guarded"), ("", "weights")])
def test_it_is_one_call_with_the_values_of_onnx_runtime(guard: str, last: str) -> None:
    feed = arrays(with_empty_row=bool(guard))
    model = attention(guard, last)
    expected = InferenceSession(model.SerializeToString()).run(None, feed)[0]
    assert operators(attention(guard, last)) == ["ScaledDotProductAttention"]
    found = build(model)(**{name: torch.from_numpy(array) for name, array in feed.items()})
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_gradients_are_those_of_the_spelled_out_form() -> None:
    feed = {name: torch.from_numpy(array).double() for name, array in arrays(with_empty_row=False).items()}
    given = [feed[name].requires_grad_() for name in ("q", "k", "v")]
    written = torch.softmax((given[0] * 0.7) @ (given[1] * 0.7) + feed["mask"], -1) @ given[2]
    found = build(attention())(**feed)
    cotangent = torch.randn_like(written)
    wanted = torch.autograd.grad(written, given, cotangent)
    for one, other in zip(torch.autograd.grad(found, given, cotangent), wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)  # 0.7 is one of float32


@pytest.mark.parametrize(
    ("guard", "last", "axis"),
    [
        (GUARD.replace("zero", "s"), "guarded", -1),  # another number in the place of NaN
        (GUARD.replace("IsNaN(weights)", "IsNaN(masked)"), "guarded", -1),  # guarded by something else
        (GUARD + "also = Identity(nans)\nseen = Cast<to: int = 1>(also)\nboth = Add(guarded, seen)", "both", -1),
        ("", "weights", 2),  # over another axis
    ],
)
def test_what_only_looks_alike_stays_as_it_is(guard: str, last: str, axis: int) -> None:
    model = attention(guard, last, axis)
    assert "Softmax" in operators(attention(guard, last, axis))
    feed = arrays(with_empty_row=False)
    expected = InferenceSession(model.SerializeToString()).run(None, feed)[0]
    found = build(model)(**{name: torch.from_numpy(array) for name, array in feed.items()})
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6, equal_nan=True)


def batch_norm(opset: int, attributes: str, outputs: str, result: str) -> onnx.ModelProto:
    return parser.parse_model(f"""
    <ir_version: 8, opset_import: ["" : {opset}]>
    g (float[B,2,4] x, float[2] w, float[2] b, float[2] m, float[2] v) => (float[] {result}) {{
        {outputs} = BatchNormalization{attributes}(x, w, b, m, v)
    }}""")


def normalised(model: onnx.ModelProto) -> torch.Tensor:
    x = torch.arange(24.0).view(3, 2, 4)
    found = build(model).eval()(x, torch.ones(2), torch.zeros(2), torch.zeros(2), torch.ones(2))
    assert isinstance(found, torch.Tensor)
    return found


@pytest.mark.parametrize(
    ("opset", "attributes", "outputs"),
    [(15, "<training_mode: int = 1>", "y, rm, rv"), (9, "", "y, rm, rv, sm, sv"), (6, "", "y, rm, rv, sm, sv")],
)
def test_a_training_batch_norm_stays_one_when_its_statistics_are_not_read(
    opset: int, attributes: str, outputs: str
) -> None:
    y = normalised(batch_norm(opset, attributes, outputs, "y"))
    torch.testing.assert_close(y.mean((0, 2)), torch.zeros(2), atol=1e-5, rtol=0)
    assert y.max() < 3


def test_statistics_that_are_read_are_computed() -> None:
    mean = normalised(batch_norm(15, "<training_mode: int = 1, momentum: float = 0.0>", "y, rm, rv", "rm"))
    torch.testing.assert_close(mean, torch.tensor([9.5, 13.5]))
