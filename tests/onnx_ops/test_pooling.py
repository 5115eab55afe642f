"""Pools against ONNX Runtime, torch and finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from runtime_oracle import assert_same, by_us, model_of

from gradcheck_cli.onnx_ops.pooling import average_pool, global_lp_pool, global_max_pool, lp_pool
from gradcheck_cli.onnx_ops.rearranging import max_unpool


def drawn(seed: int) -> tuple[np.ndarray, dict[str, Any]]:
    """An input and attributes, but for SAME with dilations, which ONNX Runtime leaves out of the padding."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 4))
    kernel, form = rng.integers(2, 4, n).tolist(), rng.integers(0, 5)
    attributes: dict[str, Any] = {"kernel_shape": kernel, "ceil_mode": int(rng.integers(0, 2))}
    attributes["strides"] = [int(rng.integers(1, k + 1)) for k in kernel]
    if form < 3:
        attributes["pads"] = [int(rng.integers(0, k)) for k in kernel * 2] if form else [k // 2 for k in kernel] * 2
        attributes["dilations"] = rng.integers(1, 3, n).tolist()
    else:
        attributes["auto_pad"] = ["SAME_UPPER", "SAME_LOWER", "VALID"][rng.integers(0, 3)]
    return rng.standard_normal((2, 3, *rng.integers(6, 10, n).tolist())).astype(np.float32), attributes


@pytest.mark.parametrize("seed", range(40))
def test_average_pool_is_onnx_runtimes(seed: int) -> None:
    x, attributes = drawn(seed)
    assert_same("AveragePool", [x], opset=19, count_include_pad=seed % 2, **attributes)


@pytest.mark.parametrize("seed", range(40))
def test_max_pool_and_its_indices_are_onnx_runtimes(seed: int) -> None:
    x, attributes = drawn(seed)
    assert_same("MaxPool", [x], ["y", "i"], opset=12, storage_order=seed % 2, **attributes)


@pytest.mark.parametrize("seed", range(20))
def test_lp_pool_is_onnx_runtimes(seed: int) -> None:
    x, attributes = drawn(seed)
    assert_same("LpPool", [x], opset=18, p=1 + seed % 3, **attributes)


def test_max_pool_takes_bytes() -> None:
    x = np.random.default_rng(0).integers(0, 255, (1, 2, 5, 5)).astype(np.uint8)
    assert_same("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2], opset=12)


@pytest.mark.parametrize(
    ("operator", "options"), [("GlobalAveragePool", {}), ("GlobalMaxPool", {}), ("GlobalLpPool", {"p": 3})]
)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_global_pools_are_onnx_runtimes(operator: str, options: dict[str, Any], n: int) -> None:
    assert_same(operator, [np.random.default_rng(n).standard_normal((2, 3, *[4] * n)).astype(np.float32)], **options)


def test_windows_that_hang_over_are_clipped() -> None:
    """Seven values in threes: the last window holds one value and one of padding, and what lies beyond never counts."""
    x = torch.arange(1.0, 8.0).reshape(1, 1, 7)
    shape: dict[str, Any] = {"kernel_shape": [3], "strides": [3], "ceil_mode": 1}
    assert average_pool(x, **shape).flatten().tolist() == [2, 5, 7]
    with_pad = average_pool(x, **shape, pads=[0, 1], count_include_pad=1)
    assert with_pad.flatten().tolist() == [2, 5, 3.5]


def test_windows_that_would_begin_in_the_padding_behind_are_left_out() -> None:
    x = torch.ones(1, 1, 3)
    assert average_pool(x, kernel_shape=[2], strides=[2], pads=[1, 1], ceil_mode=1).tolist() == [[[1, 1]]]
    assert average_pool(x, kernel_shape=[1], strides=[3], pads=[0, 2], ceil_mode=1).tolist() == [[[1]]]


@pytest.mark.parametrize("operator", ["AveragePool", "MaxPool", "LpPool"])
@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [1, 0, 0, 1]])
def test_pools_have_their_gradients(operator: str, pads: list[int]) -> None:
    torch.manual_seed(1)
    x = torch.randn(1, 2, 6, 5, dtype=torch.float64, requires_grad=True)
    model = model_of(
        operator, [np.zeros(x.shape)], ["y"], opset=22, kernel_shape=[2, 3], strides=[2, 1], dilations=[2, 1], pads=pads
    )
    assert torch.autograd.gradcheck(lambda v: by_us(model, [v])[0], x, fast_mode=True)


def test_common_pools_are_one_native_call() -> None:
    x = torch.randn(1, 2, 6, 6, requires_grad=True)
    for operator, node in (("AveragePool", "AvgPool2DBackward0"), ("MaxPool", "MaxPool2DWithIndicesBackward0")):
        model = model_of(
            operator, [np.zeros(x.shape, np.float32)], ["y"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]
        )
        assert by_us(model, [x])[0].grad_fn.name() == node


def test_norms_of_zeros_have_a_gradient_of_zero() -> None:
    x = torch.zeros(1, 1, 4, 4, requires_grad=True)
    (lp_pool(x, kernel_shape=[2, 2]).sum() + global_lp_pool(x).sum()).backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert x.grad.count_nonzero() == 0
    assert x.grad.isfinite().all()


def test_the_global_maximum_gives_its_gradient_to_one_value_as_torch() -> None:
    x = torch.zeros(1, 1, 2, 2, requires_grad=True)
    global_max_pool(x).sum().backward()  # type: ignore[no-untyped-call]
    twin = torch.zeros(1, 1, 2, 2, requires_grad=True)
    F.adaptive_max_pool2d(twin, 1).sum().backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(x.grad, twin.grad)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_pools_take_every_floating_type(dtype: torch.dtype, n: int) -> None:
    x = torch.randn(1, 1, *[4] * n, requires_grad=True)
    for operator in ("AveragePool", "MaxPool", "LpPool"):
        model = model_of(operator, [np.zeros(x.shape, np.float32)], ["y"], kernel_shape=[2] * n, pads=[0] * n + [1] * n)
        found = by_us(model, [x.to(dtype)])[0]
        found.sum().backward()
        assert found.dtype == dtype
        torch.testing.assert_close(found.float(), by_us(model, [x])[0], atol=0.05, rtol=0.05)


def test_unpooling_undoes_pooling() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 6)).astype(np.float32)
    pool = model_of("MaxPool", [x], ["y", "i"], kernel_shape=[2, 2], strides=[2, 2])
    y, indices = by_us(pool, [x])
    back = max_unpool(y, indices, kernel_shape=[2, 2], strides=[2, 2])
    again, same = by_us(pool, [back.numpy() + np.where(back.numpy() == 0, -9, 0).astype(np.float32)])
    torch.testing.assert_close(again, y)
    assert same.tolist() == indices.tolist()
    assert_same("MaxUnpool", [y.numpy(), indices.numpy()], kernel_shape=[2, 2], strides=[2, 2], opset=11)
