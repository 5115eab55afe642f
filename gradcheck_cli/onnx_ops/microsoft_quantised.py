"""com.microsoft: element-wise and pooling operators between quantised tensors (see `quantisation`)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from gradcheck_cli.onnx_ops.pooling import average_pool
from gradcheck_cli.onnx_ops.quantisation import dequantised, kind_of, quantised
from gradcheck_cli.onnx_ops.registry import MICROSOFT, operator

Sizes = Sequence[int] | None


def _again(y: Tensor, scale: Tensor, zero_point: Tensor | None, like: Tensor) -> Tensor:
    """Quantise a result; without a zero point to the type of an input."""
    kind = kind_of(like) if zero_point is None and not like.is_floating_point() else kind_of(zero_point)
    return quantised(y, scale, zero_point, kind)


@operator("QLinearAdd", domain=MICROSOFT)
def qlinear_add(
    a: Tensor,
    a_scale: Tensor,
    a_zero_point: Tensor | None,
    b: Tensor,
    b_scale: Tensor,
    b_zero_point: Tensor | None,
    c_scale: Tensor,
    c_zero_point: Tensor | None = None,
) -> Tensor:
    """A + B."""
    total = dequantised(a, a_scale, a_zero_point) + dequantised(b, b_scale, b_zero_point)
    return _again(total, c_scale, c_zero_point, a)


@operator("QLinearMul", domain=MICROSOFT)
def qlinear_mul(
    a: Tensor,
    a_scale: Tensor,
    a_zero_point: Tensor | None,
    b: Tensor,
    b_scale: Tensor,
    b_zero_point: Tensor | None,
    c_scale: Tensor,
    c_zero_point: Tensor | None = None,
) -> Tensor:
    """A · B."""
    product = dequantised(a, a_scale, a_zero_point) * dequantised(b, b_scale, b_zero_point)
    return _again(product, c_scale, c_zero_point, a)


@operator("QLinearSigmoid", domain=MICROSOFT)
def qlinear_sigmoid(
    x: Tensor, x_scale: Tensor, x_zero_point: Tensor | None, y_scale: Tensor, y_zero_point: Tensor | None = None
) -> Tensor:
    """σ(X)."""
    return _again(torch.sigmoid(dequantised(x, x_scale, x_zero_point)), y_scale, y_zero_point, x)


@operator("QLinearLeakyRelu", domain=MICROSOFT)
def qlinear_leaky_relu(
    x: Tensor,
    x_scale: Tensor,
    x_zero_point: Tensor | None,
    y_scale: Tensor,
    y_zero_point: Tensor | None = None,
    *,
    alpha: float = 0.01,
) -> Tensor:
    """X, or alpha·X below 0."""
    return _again(F.leaky_relu(dequantised(x, x_scale, x_zero_point), alpha), y_scale, y_zero_point, x)


@operator("QLinearSoftmax", domain=MICROSOFT)
def qlinear_softmax(
    x: Tensor,
    x_scale: Tensor,
    x_zero_point: Tensor | None,
    y_scale: Tensor,
    y_zero_point: Tensor,
    *,
    axis: int = -1,
    opset: int,
) -> Tensor:
    """Softmax along `axis`, or over all axes from it on before version 13."""
    values = dequantised(x, x_scale, x_zero_point)
    if opset < 13 and values.dim():
        axis %= values.dim()
        y = torch.softmax(values.flatten(axis), -1).reshape(x.shape)
    else:
        y = torch.softmax(values, axis)
    return _again(y, y_scale, y_zero_point, x)


@operator("QLinearGlobalAveragePool", domain=MICROSOFT)
def qlinear_global_average_pool(
    x: Tensor,
    x_scale: Tensor,
    x_zero_point: Tensor,
    y_scale: Tensor,
    y_zero_point: Tensor,
    *,
    channels_last: int = 0,
) -> Tensor:
    """The mean over all positions: (N, C, H, W) → (N, C, 1, 1), or with the channels last."""
    axes = list(range(1, x.dim() - 1)) if channels_last else list(range(2, x.dim()))
    return _again(dequantised(x, x_scale, x_zero_point).mean(axes, keepdim=True), y_scale, y_zero_point, x)


@operator("QLinearReduceMean", domain=MICROSOFT)
def qlinear_reduce_mean(
    data: Tensor,
    data_scale: Tensor,
    data_zero_point: Tensor | None,
    reduced_scale: Tensor,
    reduced_zero_point: Tensor | None = None,
    *,
    axes: Sequence[int],
    keepdims: int,
) -> Tensor:
    """The mean over `axes`."""
    mean = dequantised(data, data_scale, data_zero_point).mean(list(axes), keepdim=bool(keepdims))
    return _again(mean, reduced_scale, reduced_zero_point, data)


@operator("QLinearAveragePool", domain=MICROSOFT)
def qlinear_average_pool(
    x: Tensor,
    x_scale: Tensor,
    x_zero_point: Tensor | None,
    y_scale: Tensor,
    y_zero_point: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    channels_last: int = 0,
    count_include_pad: int = 0,
    kernel_shape: Sequence[int],
    pads: Sizes = None,
    strides: Sizes = None,
) -> Tensor:
    """AveragePool."""
    values = dequantised(x, x_scale, x_zero_point)
    y = average_pool(
        values.movedim(-1, 1) if channels_last else values,
        auto_pad=auto_pad, ceil_mode=ceil_mode, count_include_pad=count_include_pad, kernel_shape=kernel_shape,
        pads=pads, strides=strides,
    )  # fmt: skip
    return _again(y.movedim(1, -1) if channels_last else y, y_scale, y_zero_point, x)


@operator("QLinearConcat", domain=MICROSOFT)
def qlinear_concat(y_scale: Tensor, y_zero_point: Tensor, *inputs: Tensor, axis: int) -> Tensor:
    """The inputs, each followed by its scale and zero point, one after the other along `axis`."""
    if not inputs or len(inputs) % 3:
        raise ValueError(f"{len(inputs)} inputs are no tensors with a scale and a zero point each")
    parts = [dequantised(*inputs[i : i + 3]) for i in range(0, len(inputs), 3)]
    return _again(torch.cat(parts, axis), y_scale, y_zero_point, inputs[0])


@operator("QLinearWhere", domain=MICROSOFT)
def qlinear_where(
    condition: Tensor,
    x: Tensor,
    x_scale: Tensor,
    x_zero_point: Tensor,
    y: Tensor,
    y_scale: Tensor,
    y_zero_point: Tensor,
    z_scale: Tensor,
    z_zero_point: Tensor,
) -> Tensor:
    """X where the condition holds, else Y."""
    chosen = torch.where(condition.bool(), dequantised(x, x_scale, x_zero_point), dequantised(y, y_scale, y_zero_point))
    return _again(chosen, z_scale, z_zero_point, x)
