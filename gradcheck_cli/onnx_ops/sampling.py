"""Sampling at fractional places: GridSample, AffineGrid, DeformConv. The gradient flows to the places, too."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from gradcheck_cli.onnx_ops import taps
from gradcheck_cli.onnx_ops.registry import operator
from gradcheck_cli.onnx_ops.sliding_windows import spatial_sizes, windows

_MODES = {"bilinear": "bilinear", "linear": "bilinear", "nearest": "nearest", "bicubic": "bicubic", "cubic": "bicubic"}


@operator("GridSample", since=16)
def grid_sample(
    x: Tensor, grid: Tensor, *, align_corners: int = 0, mode: str = "linear", padding_mode: str = "zeros"
) -> Tensor:
    """Values of X (B, C, D1 … Dn) at `grid` (B, O1 … On, n), which says the last axis first, from -1 to 1."""
    if mode not in _MODES:
        raise ValueError(f"mode {mode!r} is none of {', '.join(_MODES)}")
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(f"padding_mode {padding_mode!r} is none of zeros, border and reflection")
    n = len(spatial_sizes(x))
    values = x if x.is_floating_point() else x.float()
    places = grid.to(values.dtype)
    if n == 2 or (n == 3 and _MODES[mode] != "bicubic"):
        return F.grid_sample(values, places, _MODES[mode], padding_mode, bool(align_corners)).to(x.dtype)
    if n == 1 and _MODES[mode] != "bicubic":
        # A second axis of size 1, sampled at its middle: 0 with either meaning of the corners.
        flat = torch.stack([places[..., 0], torch.zeros_like(places[..., 0])], -1)[:, None]
        y = F.grid_sample(values[:, :, None], flat, _MODES[mode], padding_mode, bool(align_corners))
        return y[:, :, 0].to(x.dtype)
    if _MODES[mode] != "bicubic":
        raise ValueError(f"GridSample over {n} spatial axes is not supported, only over one to three")
    return _cubic(values, places, padding_mode, bool(align_corners)).to(x.dtype)


def _cubic(x: Tensor, grid: Tensor, padding_mode: str, align_corners: bool) -> Tensor:
    """Cubic sampling over one or three axes, which torch lacks."""
    found = []
    for axis, size in enumerate(x.shape[2:]):
        g = grid[..., x.dim() - 3 - axis].flatten(1)
        place = (g + 1) / 2 * (size - 1) if align_corners else ((g + 1) * size - 1) / 2
        fold = taps.zeros_outside(size) if padding_mode == "zeros" else taps.edge_outside(size)
        if padding_mode == "reflection":
            fold = taps.reflected_outside(size, align_corners)
        found.append(taps.cubic_taps(place, fold))
    return taps.sample(x, found).reshape(*x.shape[:2], *grid.shape[1:-1])


@operator("AffineGrid", since=20)
def affine_grid(theta: Tensor, size: Tensor, *, align_corners: int = 0) -> Tensor:
    """The grid of `theta` (B, n, n + 1) for an output of `size` (B, C, O1 … On): (B, O1 … On, n), from -1 to 1."""
    return F.affine_grid(theta, [int(each) for each in size.tolist()], bool(align_corners))


@operator("DeformConv", since=19)
def deform_conv(
    x: Tensor,
    w: Tensor,
    offset: Tensor,
    b: Tensor | None = None,
    mask: Tensor | None = None,
    *,
    dilations: Sequence[int] | None = None,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    offset_group: int = 1,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Tensor:
    """Convolution that reads each of its kernel's places at an offset (B, offset_group·|K|·n, O1 … On), scaled by `mask`."""
    sizes, kernel = spatial_sizes(x), tuple(w.shape[2:])
    if kernel_shape and tuple(kernel_shape) != kernel:
        raise ValueError(f"kernel_shape is {list(kernel_shape)}, but the weight's kernel is {list(kernel)}")
    at = windows(sizes, kernel, strides=strides, pads=pads, dilations=dilations)
    n, batch, channels, places = len(sizes), x.shape[0], x.shape[1], math.prod(kernel)
    if tuple(offset.shape[2:]) != at.outputs or channels % offset_group:
        raise ValueError(
            f"the offsets must be for {list(at.outputs)} outputs, and their groups must divide the channels"
        )
    shifts = offset.reshape(batch * offset_group, places, n, *at.outputs)
    found = []
    for axis, size in enumerate(sizes):
        # (|K|, O1 … On): where the kernel's places lie without offsets.
        starts = torch.arange(at.outputs[axis], device=x.device) * at.strides[axis] - at.begins[axis]
        within = torch.arange(kernel[axis], device=x.device) * at.dilations[axis]
        within = _along(within, axis, n).expand(kernel).reshape(places, *[1] * n)
        place = shifts[:, :, axis] + (within + _along(starts, axis, n))
        found.append(taps.linear_taps(place.flatten(1), taps.zeros_outside(size)))
    values = taps.sample(x.reshape(batch * offset_group, channels // offset_group, *sizes), found)
    values = values.reshape(batch, offset_group, channels // offset_group, places, math.prod(at.outputs))
    if mask is not None:
        values = values * mask.reshape(batch, offset_group, 1, places, -1)
    columns = values.reshape(batch, channels * places, -1)
    return F.conv1d(columns, w.reshape(w.shape[0], -1, 1), b, groups=group).reshape(batch, -1, *at.outputs)


def _along(values: Tensor, axis: int, axes: int) -> Tensor:
    return values.reshape([-1 if i == axis else 1 for i in range(axes)])
