"""com.microsoft: convolutions and pooling with fused or reordered parts, GridSample, CropAndResize."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gradcheck_cli.onnx_ops.convolution import conv, conv_transpose
from gradcheck_cli.onnx_ops.microsoft_activations import fused_activation, parameters
from gradcheck_cli.onnx_ops.pooling import max_pool
from gradcheck_cli.onnx_ops.registry import MICROSOFT, Call, operator

Sizes = Sequence[int] | None


@operator("FusedConv", domain=MICROSOFT)
def fused_conv(
    x: Tensor,
    w: Tensor,
    b: Tensor | None = None,
    z: Tensor | None = None,
    *,
    activation: str = "",
    activation_params: Sequence[float] | None = None,
    auto_pad: str = "NOTSET",
    dilations: Sizes = None,
    group: int = 1,
    kernel_shape: Sizes = None,
    pads: Sizes = None,
    strides: Sizes = None,
) -> Tensor:
    """activation(Conv(X, W, B) + Z)."""
    y = conv(
        x, w, b,
        auto_pad=auto_pad, dilations=dilations, group=group, kernel_shape=kernel_shape, pads=pads, strides=strides,
    )  # fmt: skip
    return fused_activation(y if z is None else y + z, activation, *parameters(activation_params))


@operator("NhwcFusedConv", domain=MICROSOFT)
@operator("NhwcConv", domain=MICROSOFT)
def nhwc_conv(
    x: Tensor,
    w: Tensor,
    b: Tensor | None = None,
    z: Tensor | None = None,
    *,
    activation: str = "",
    activation_params: Sequence[float] | None = None,
    auto_pad: str = "NOTSET",
    dilations: Sizes = None,
    group: int = 1,
    kernel_shape: Sizes = None,
    pads: Sizes = None,
    strides: Sizes = None,
) -> Tensor:
    """As FusedConv with the channels last: X, Z and Y (N, H, W, C), W (M, C/group, kH, kW)."""
    y = fused_conv(
        x.movedim(-1, 1), w, b, None if z is None else z.movedim(-1, 1),
        activation=activation, activation_params=activation_params, auto_pad=auto_pad, dilations=dilations, group=group,
        kernel_shape=kernel_shape, pads=pads, strides=strides,
    )  # fmt: skip
    return y.movedim(1, -1)


@operator("NhwcMaxPool", domain=MICROSOFT)
def nhwc_max_pool(
    call: Call,
    x: Tensor,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Sizes = None,
    kernel_shape: Sequence[int],
    pads: Sizes = None,
    strides: Sizes = None,
) -> Tensor:
    """MaxPool of (N, H, W, C)."""
    found: Any = max_pool(
        call, x.movedim(-1, 1),
        auto_pad=auto_pad, ceil_mode=ceil_mode, dilations=dilations, kernel_shape=kernel_shape, pads=pads, strides=strides,
    )  # fmt: skip
    y: Tensor = found[0] if isinstance(found, tuple) else found
    return y.movedim(1, -1)


@operator("ConvTransposeWithDynamicPads", domain=MICROSOFT)
def conv_transpose_with_dynamic_pads(
    x: Tensor,
    w: Tensor,
    pads: Tensor | None = None,
    b: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sizes = None,
    group: int = 1,
    kernel_shape: Sizes = None,
    output_padding: Sizes = None,
    strides: Sizes = None,
) -> Tensor:
    """ConvTranspose whose pads are an input."""
    return conv_transpose(
        x, w, b,
        auto_pad=auto_pad, dilations=dilations, group=group, kernel_shape=kernel_shape, output_padding=output_padding,
        pads=None if pads is None else pads.tolist(), strides=strides,
    )  # fmt: skip


@operator("GridSample", domain=MICROSOFT)
def grid_sample_microsoft(
    x: Tensor, grid: Tensor, *, align_corners: int = 0, mode: str = "bilinear", padding_mode: str = "zeros"
) -> Tensor:
    """X (N, C, H, W) at the points of grid (N, H', W', 2), whose coordinates go from -1 to 1."""
    return F.grid_sample(x, grid, mode=mode, padding_mode=padding_mode, align_corners=bool(align_corners))


@operator("CropAndResize", domain=MICROSOFT)
def crop_and_resize(
    x: Tensor,
    rois: Tensor,
    batch_indices: Tensor,
    crop_size: Tensor,
    *,
    extrapolation_value: float = 0.0,
    mode: str = "bilinear",
) -> Tensor:
    """Crops of X (N, C, H, W) in the boxes y1, x1, y2, x2 (R, 4) of unit size, each resized to `crop_size`: (R, C, h, w)."""
    if mode not in ("bilinear", "nearest"):
        raise ValueError(f"mode is {mode}; it must be bilinear or nearest")
    height, width = crop_size.tolist()
    y = _samples(rois[:, 0], rois[:, 2], int(height), x.shape[2])
    w = _samples(rois[:, 1], rois[:, 3], int(width), x.shape[3])
    images = batch_indices.long().reshape(-1, 1, 1)

    def at(rows: Tensor, columns: Tensor) -> Tensor:
        """(R, h, w, C)."""
        rows, columns = rows.long().clamp(0, x.shape[2] - 1), columns.long().clamp(0, x.shape[3] - 1)
        return x[images, :, rows.unsqueeze(2), columns.unsqueeze(1)]

    if mode == "nearest":
        found = at(y.round(), w.round())
    else:
        top, left = y.floor(), w.floor()
        down, right = (y - top)[:, :, None, None], (w - left)[:, None, :, None]
        upper = torch.lerp(at(top, left), at(top, left + 1), right.expand(-1, y.shape[1], -1, x.shape[1]))
        lower = torch.lerp(at(top + 1, left), at(top + 1, left + 1), right.expand(-1, y.shape[1], -1, x.shape[1]))
        found = torch.lerp(upper, lower, down.expand_as(upper))
    inside = _inside(y, x.shape[2]).unsqueeze(2) & _inside(w, x.shape[3]).unsqueeze(1)
    return found.masked_fill(~inside.unsqueeze(3), extrapolation_value).movedim(3, 1)


def _samples(begin: Tensor, end: Tensor, count: int, size: int) -> Tensor:
    """(R, count): places from begin to end, both included, in pixels; the middle for a single one."""
    if count < 2:
        return (0.5 * (begin + end) * (size - 1)).unsqueeze(1).expand(-1, count)
    steps = torch.arange(count, dtype=begin.dtype, device=begin.device)
    return begin.unsqueeze(1) * (size - 1) + steps * ((end - begin) * (size - 1) / (count - 1)).unsqueeze(1)


def _inside(places: Tensor, size: int) -> Tensor:
    return (places >= 0) & (places <= size - 1)
