"""Products of quantised matrices and images: QLinearMatMul, QLinearConv, MatMulInteger, ConvInteger, and com.microsoft's.

Sums are exact, in float64, as they are in int32.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gradcheck_cli.onnx_ops.convolution import conv
from gradcheck_cli.onnx_ops.quantisation import exact, quantised, rounded_off, rows, wide
from gradcheck_cli.onnx_ops.quantised import dynamic_range
from gradcheck_cli.onnx_ops.registry import MICROSOFT, operator

Sizes = Sequence[int] | None


@operator("MatMulInteger", since=10)
def matmul_integer(
    a: Tensor, b: Tensor, a_zero_point: Tensor | None = None, b_zero_point: Tensor | None = None
) -> Tensor:
    """(A − a₀)(B − b₀) as int32; a₀ for each row, b₀ for each column."""
    return _integers(torch.matmul(exact(a, rows(a_zero_point)), exact(b, b_zero_point)))


def _integers(y: Tensor) -> Tensor:
    """int32, or floating where a gradient must pass."""
    return wide(y.float()) if torch.is_grad_enabled() and y.requires_grad else y.to(torch.int32)


@operator("QLinearMatMul", since=10)
def qlinear_matmul(
    a: Tensor,
    a_scale: Tensor,
    a_zero_point: Tensor,
    b: Tensor,
    b_scale: Tensor,
    b_zero_point: Tensor,
    y_scale: Tensor,
    y_zero_point: Tensor,
) -> Tensor:
    """The product of A and B dequantised, quantised again; A's and Y's scales may be one a row, B's one a column."""
    total = torch.matmul(exact(a, rows(a_zero_point)), exact(b, b_zero_point))
    return _requantised(total, rows(a_scale), b_scale, rows(y_scale), rows(y_zero_point))


def _requantised(
    total: Tensor, first: Tensor | None, second: Tensor, scale: Tensor | None, zero_point: Tensor | None
) -> Tensor:
    """A sum of products in steps of first·second, in steps of `scale`."""
    if first is None or scale is None:
        raise ValueError("a scale is missing")
    return quantised(rounded_off(total, first, second, scale), wide(scale) / (wide(first) * wide(second)), zero_point)


@operator("ConvInteger", since=10)
def conv_integer(
    x: Tensor,
    w: Tensor,
    x_zero_point: Tensor | None = None,
    w_zero_point: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sizes = None,
    group: int = 1,
    kernel_shape: Sizes = None,
    pads: Sizes = None,
    strides: Sizes = None,
) -> Tensor:
    """Conv(X − x₀, W − w₀) as int32; w₀ for each output channel."""
    return _integers(
        conv(
            exact(x, x_zero_point), exact(w, _by_channel(w_zero_point, w.dim())),
            auto_pad=auto_pad, dilations=dilations, group=group, kernel_shape=kernel_shape, pads=pads, strides=strides,
        )
    )  # fmt: skip


def _by_channel(value: Tensor | None, axes: int) -> Tensor | None:
    """(M) → (M, 1, …) for a weight of so many axes; a scalar stays as it is."""
    return value if value is None or value.numel() == 1 else value.reshape(-1, *[1] * (axes - 1))


@operator("QLinearConv", domain=MICROSOFT)
@operator("QLinearConv", since=10)
def qlinear_conv(
    x: Tensor,
    x_scale: Tensor,
    x_zero_point: Tensor,
    w: Tensor,
    w_scale: Tensor,
    w_zero_point: Tensor,
    y_scale: Tensor,
    y_zero_point: Tensor,
    b: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    channels_last: int = 0,
    dilations: Sizes = None,
    group: int = 1,
    kernel_shape: Sizes = None,
    pads: Sizes = None,
    strides: Sizes = None,
) -> Tensor:
    """Conv of X and W dequantised with a bias in steps of both scales, quantised again; w's scale may be one a channel."""
    images = x.movedim(-1, 1) if channels_last else x
    total = conv(
        exact(images, x_zero_point), exact(w, _by_channel(w_zero_point, w.dim())), None if b is None else b.double(),
        auto_pad=auto_pad, dilations=dilations, group=group, kernel_shape=kernel_shape, pads=pads, strides=strides,
    )  # fmt: skip
    channels = _by_channel(w_scale, w.dim() - 1)
    y = _requantised(total, x_scale, w_scale if channels is None else channels, y_scale, y_zero_point)
    return y.movedim(1, -1) if channels_last else y


@operator("QGemm", domain=MICROSOFT)
def qgemm(
    a: Tensor,
    a_scale: Tensor,
    a_zero_point: Tensor,
    b: Tensor,
    b_scale: Tensor,
    b_zero_point: Tensor | None = None,
    c: Tensor | None = None,
    y_scale: Tensor | None = None,
    y_zero_point: Tensor | None = None,
    *,
    alpha: float = 1.0,
    transA: int = 0,  # noqa: N803
    transB: int = 0,  # noqa: N803
) -> Tensor:
    """alpha·A B of dequantised matrices, plus C in steps of alpha·both scales; floating without a scale of Y."""
    first = exact(a.t() if transA else a, a_zero_point)
    columns = rows(b_zero_point) if transB else b_zero_point
    second = exact(b, columns)
    total = torch.matmul(first, second.t() if transB else second)
    total = total if c is None else total + c.double()
    if y_scale is None:
        return rounded_off(total, a_scale, b_scale) * (wide(a_scale) * wide(b_scale) * alpha)
    return _requantised(total, wide(a_scale) * alpha, b_scale, y_scale, y_zero_point)


@operator("MatMulIntegerToFloat", domain=MICROSOFT)
def matmul_integer_to_float(
    a: Tensor,
    b: Tensor,
    a_scale: Tensor,
    b_scale: Tensor,
    a_zero_point: Tensor | None = None,
    b_zero_point: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """A B of dequantised matrices, plus a bias; floating."""
    total = torch.matmul(exact(a, rows(a_zero_point)), exact(b, b_zero_point))
    scale = wide(a_scale) if a_scale.numel() == 1 else wide(a_scale).unsqueeze(-1)
    y = rounded_off(total, a_scale, b_scale) * (scale * wide(b_scale))
    return (y if bias is None else y + wide(bias)).to(a_scale.dtype)


@operator("DynamicQuantizeMatMul", domain=MICROSOFT)
def dynamic_quantize_matmul(
    a: Tensor, b: Tensor, b_scale: Tensor, b_zero_point: Tensor | None = None, bias: Tensor | None = None
) -> Tensor:
    """A B where A is quantised by its range first and B is quantised already; floating."""
    scale, zero = dynamic_range(a)
    return matmul_integer_to_float(quantised(a, scale, zero), b, scale, b_scale, zero, b_zero_point, bias)
