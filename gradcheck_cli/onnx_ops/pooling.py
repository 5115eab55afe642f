"""AveragePool, MaxPool, LpPool and the global pools. Layout: X (B, C, D1 … Dn)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gradcheck_cli.onnx_ops.registry import Call, operator
from gradcheck_cli.onnx_ops.sliding_windows import Windows, by_windows, pad, spatial_sizes, windows

_AVERAGES: dict[int, Callable[..., Tensor]] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
_MAXIMA: dict[int, Callable[..., Any]] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}


@operator("AveragePool")
def average_pool(
    x: Tensor,
    *,
    kernel_shape: Sequence[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    dilations: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Tensor:
    """Mean of each window, over the values in it, or over them and the declared padding (never what lies beyond it)."""
    at = _windows(x, kernel_shape, strides, pads, dilations, auto_pad, ceil_mode)
    # torch has no average of half values in three dimensions.
    if (
        _native(at)
        and set(at.dilations) == {1}
        and len(at.sizes) in _AVERAGES
        and not (len(at.sizes) == 3 and _is_half(x))
    ):
        rounds_up = bool(ceil_mode) and not auto_pad.startswith("SAME")
        return _AVERAGES[len(at.sizes)](x, at.kernel, at.strides, at.begins, rounds_up, bool(count_include_pad))
    y = pad(x, at.begins, at.reaches)
    for number in range(len(at.sizes)):
        y = by_windows(y, number + 2, at, number).sum(-1)
        y = y / _members(at, number, bool(count_include_pad), y)
    return y


def _members(at: Windows, number: int, with_padding: bool, like: Tensor) -> Tensor:
    """How many values each window along a spatial axis has, in the shape of a factor to `like`."""
    starts = torch.arange(at.outputs[number]) * at.strides[number] - at.begins[number]
    places = starts[:, None] + torch.arange(at.kernel[number]) * at.dilations[number]
    first, last = (-at.begins[number], at.sizes[number] + at.ends[number]) if with_padding else (0, at.sizes[number])
    counts = ((places >= first) & (places < last)).sum(1)
    return counts.to(like).reshape(-1, *[1] * (len(at.sizes) - number - 1))


@operator("MaxPool")
def max_pool(
    call: Call,
    x: Tensor,
    *,
    kernel_shape: Sequence[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    storage_order: int = 0,
    strides: Sequence[int] | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """Maximum of each window, padding left out; also its flat index in all of X, each plane in row or column order."""
    at = _windows(x, kernel_shape, strides, pads, dilations, auto_pad, ceil_mode)
    if len(at.sizes) not in _MAXIMA:
        raise ValueError(f"MaxPool over {len(at.sizes)} spatial axes is not supported, only over one to three")
    pool, indexed = _MAXIMA[len(at.sizes)], call.wants(1)
    values = x if x.is_floating_point() else x.float()
    if _native(at):
        rounds_up = bool(ceil_mode) and not auto_pad.startswith("SAME")
        found = pool(values, at.kernel, at.strides, at.begins, at.dilations, rounds_up, indexed)
        begins, sizes = (0,) * len(at.sizes), at.sizes
    else:
        padded = pad(values, at.begins, at.reaches, -math.inf)
        found = pool(padded, at.kernel, at.strides, 0, at.dilations, False, indexed)
        begins, sizes = at.begins, tuple(padded.shape[2:])
    if not indexed:
        return _of_type(found, x)
    return _of_type(found[0], x), _flat_indices(found[1], sizes, begins, x, bool(storage_order))


def _flat_indices(within: Tensor, padded: Sequence[int], begins: Sequence[int], x: Tensor, by_column: bool) -> Tensor:
    """From indices in each padded plane to ONNX's: over all of `x`."""
    places, rest = [], within
    for size, begin in zip(reversed(padded), reversed(begins), strict=True):
        places.append(rest % size - begin)
        rest = rest // size
    sizes = list(x.shape[2:])
    if not by_column:
        sizes.reverse()
    else:
        places.reverse()
    flat, step = torch.zeros_like(within), 1
    for place, size in zip(places, sizes, strict=True):
        flat = flat + place * step
        step *= size
    planes = torch.arange(x.shape[0] * x.shape[1], device=x.device) * step
    return flat + planes.reshape(x.shape[0], x.shape[1], *[1] * len(sizes))


@operator("LpPool")
def lp_pool(
    x: Tensor,
    *,
    kernel_shape: Sequence[int] | None = None,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Sequence[int] | None = None,
    p: float = 2,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Tensor:
    """``(Σ |x|^p)^(1/p)`` over each window."""
    kernel = kernel_shape or spatial_sizes(x)
    at = _windows(x, kernel, strides, pads, dilations, auto_pad, ceil_mode)
    y = pad(x, at.begins, at.reaches)
    for number in range(len(at.sizes)):
        # The norm of norms is the norm; torch's has a gradient of 0 where all is 0, the formula's is NaN.
        y = torch.linalg.vector_norm(by_windows(y, number + 2, at, number), p, dim=-1)
    return y


@operator("GlobalAveragePool")
def global_average_pool(x: Tensor) -> Tensor:
    """Mean over all spatial axes, which stay with size 1."""
    return x.mean(_spatial_axes(x), keepdim=True)


@operator("GlobalMaxPool")
def global_max_pool(x: Tensor) -> Tensor:
    """Maximum over all spatial axes, which stay with size 1; the first of equal ones gets the gradient, as in torch."""
    axes = _spatial_axes(x)
    return x.flatten(2).max(2).values.reshape(*x.shape[:2], *[1] * len(axes))


@operator("GlobalLpPool")
def global_lp_pool(x: Tensor, *, p: float = 2) -> Tensor:
    """``(Σ |x|^p)^(1/p)`` over all spatial axes, which stay with size 1."""
    norm: Tensor = torch.linalg.vector_norm(x, p, dim=_spatial_axes(x), keepdim=True)
    return norm


def _windows(
    x: Tensor,
    kernel: Sequence[int],
    strides: Sequence[int] | None,
    pads: Sequence[int] | None,
    dilations: Sequence[int] | None,
    auto_pad: str,
    ceil_mode: int,
) -> Windows:
    sizes = spatial_sizes(x)
    return windows(
        sizes, kernel, strides=strides, pads=pads, dilations=dilations, auto_pad=auto_pad, ceil_mode=bool(ceil_mode)
    )


def _native(at: Windows) -> bool:
    """Whether torch's own pools can do it: they want the same padding on both sides, half a kernel at most."""
    return at.symmetric and all(2 * begin <= k for begin, k in zip(at.begins, at.kernel, strict=True))


def _spatial_axes(x: Tensor) -> list[int]:
    return list(range(2, 2 + len(spatial_sizes(x))))


def _is_half(x: Tensor) -> bool:
    return x.dtype in (torch.float16, torch.bfloat16)


def _of_type(y: Tensor, x: Tensor) -> Tensor:
    return y if y.dtype == x.dtype else y.to(x.dtype)
