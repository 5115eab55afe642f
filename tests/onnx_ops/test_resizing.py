"""Resize and Upsample of all versions against ONNX Runtime on random settings, and their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from runtime_oracle import Array, assert_same, by_us, model_of

TRANSFORMATIONS = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric"]
NEAREST = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]
X = np.random.default_rng(0).standard_normal((1, 2, 5, 6)).astype(np.float32)
NONE = np.array([], np.float32)


def scales_of(*values: float) -> Array:
    return np.array([1.0, 1.0, *values], np.float32)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("scales", [(2.0, 2.0), (1.6, 2.4), (0.5, 0.6)])
@pytest.mark.parametrize("operator", ["Upsample-7", "Upsample-9", "Resize-10"])
def test_first_forms_are_onnx_runtimes(mode: str, scales: tuple[float, float], operator: str) -> None:
    name, opset = operator.split("-")
    if name == "Upsample" and min(scales) < 1:
        pytest.skip("it only enlarges")
    if opset == "7":
        assert_same(name, [X], mode=mode, scales=scales_of(*scales).tolist(), opset=7)
    else:
        assert_same(name, [X, scales_of(*scales)], mode=mode, opset=int(opset))


def test_the_very_first_upsample_has_two_scales() -> None:
    model = model_of("Upsample", [X], ["y"], mode="nearest", height_scale=2.0, width_scale=3.0, opset=1)
    np.testing.assert_array_equal(by_us(model, [X])[0], X.repeat(2, 2).repeat(3, 3))


@pytest.mark.parametrize("transformation", TRANSFORMATIONS)
@pytest.mark.parametrize("rounding", NEAREST)
@pytest.mark.parametrize("opset", [11, 13, 19])
def test_nearest_is_onnx_runtimes(transformation: str, rounding: str, opset: int) -> None:
    if transformation == "half_pixel_symmetric" and opset < 19:
        pytest.skip("not in this version")
    for scales in ((2.0, 3.0), (0.7, 1.3), (1.5, 0.4)):
        assert_same(
            "Resize", [X, NONE, scales_of(*scales)], mode="nearest", nearest_mode=rounding, opset=opset,
            coordinate_transformation_mode=transformation,
        )  # fmt: skip


@pytest.mark.parametrize("transformation", TRANSFORMATIONS)
@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("sized", [False, True])
@pytest.mark.parametrize("exclude", [0, 1])
def test_filters_are_onnx_runtimes(transformation: str, mode: str, sized: bool, exclude: int) -> None:
    if exclude and mode == "linear":
        pytest.skip("ONNX Runtime heeds it for cubic only")
    for scales in ((2.0, 3.0), (0.7, 1.3), (1.5, 0.4)):
        sizes = np.array([1, 2, *(int(n * s) for n, s in zip(X.shape[2:], scales, strict=True))], np.int64)
        inputs = [X, None, None, sizes] if sized else [X, None, scales_of(*scales)]
        options: dict[str, Any] = {"coordinate_transformation_mode": transformation, "exclude_outside": exclude}
        assert_same("Resize", inputs, mode=mode, opset=19, **options)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("scales", [(0.5, 0.4), (0.6, 1.5), (2.0, 2.0)])
def test_antialiasing_is_onnx_runtimes(mode: str, scales: tuple[float, float]) -> None:
    assert_same("Resize", [X, None, scales_of(*scales)], mode=mode, antialias=1, opset=18, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("policy", ["stretch", "not_larger", "not_smaller"])
def test_policies_and_axes_are_onnx_runtimes(policy: str) -> None:
    sizes = np.array([8, 7], np.int64)
    options: dict[str, Any] = {"axes": [2, 3], "keep_aspect_ratio_policy": policy, "mode": "nearest"}
    assert_same("Resize", [X, None, None, sizes], opset=18, **options)


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_cropping_is_onnx_runtimes(mode: str) -> None:
    roi = np.array([0, 0, 0.2, -0.1, 1, 1, 0.7, 1.3], np.float32)
    sizes = np.array([1, 2, 4, 7], np.int64)
    options: dict[str, Any] = {"coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 9.0}
    assert_same("Resize", [X, roi, None, sizes], mode=mode, opset=13, **options)


@pytest.mark.parametrize("rank", [3, 5])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_other_ranks_are_onnx_runtimes(rank: int, mode: str) -> None:
    x = np.random.default_rng(rank).standard_normal((1, 2, *[4] * (rank - 2))).astype(np.float32)
    scales = np.array([1, 1, *[1.5] * (rank - 2)], np.float32)
    assert_same("Resize", [x, None, scales], mode=mode, opset=13)


def test_common_forms_are_one_native_call() -> None:
    x = torch.from_numpy(X).requires_grad_()
    for options, name in (
        (
            {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
            "UpsampleNearest2DBackward0",
        ),
        ({"mode": "linear"}, "UpsampleBilinear2DBackward0"),
        ({"mode": "cubic", "coordinate_transformation_mode": "align_corners"}, "UpsampleBicubic2DBackward0"),
    ):
        scales = torch.tensor([1.0, 1.0, 2.0, 2.0])
        model = model_of("Resize", [X, None, scales.numpy()], ["y"], opset=13, more=options)
        assert by_us(model, [x, scales])[0].grad_fn.name() == name


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("antialias", [0, 1])
def test_gradients_are_those_of_finite_differences(mode: str, antialias: int) -> None:
    x = torch.randn(1, 1, 4, 5, dtype=torch.float64, requires_grad=True)
    sizes = torch.tensor([3, 8])
    model = model_of("Resize", [x.detach().numpy(), None, None, sizes.numpy()], ["y"], opset=18, mode=mode, axes=[2, 3],
                     antialias=antialias if mode != "nearest" else 0, coordinate_transformation_mode="asymmetric")  # fmt: skip
    assert torch.autograd.gradcheck(lambda value: by_us(model, [value, sizes])[0], x, fast_mode=True)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.uint8])
def test_small_types_stay(dtype: torch.dtype) -> None:
    x = (torch.rand(1, 1, 4, 4) * 100).to(dtype)
    scales = torch.tensor([1.0, 1.0, 1.5, 1.5])
    for mode in ("nearest", "linear"):
        model = model_of("Resize", [x.float().numpy(), None, scales.numpy()], ["y"], opset=13, mode=mode)
        found = by_us(model, [x, scales])[0]
        assert found.dtype == dtype
        expected = by_us(model, [x.float(), scales])[0]
        torch.testing.assert_close(found.float(), expected, atol=1.0, rtol=0.02)
