"""Resize and Upsample: one ``F.interpolate`` where that is exactly the same, else a filter along each axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from gradcheck_cli.onnx_ops import resize_axis
from gradcheck_cli.onnx_ops.registry import operator
from gradcheck_cli.onnx_ops.resize_axis import Axis

_Crops = dict[int, tuple[Tensor, Tensor]]
"""Axis → where in the input, from 0 to 1, its output begins and ends."""
_LINEAR = {3: "linear", 4: "bilinear", 5: "trilinear"}


@dataclass(frozen=True)
class _Manner:
    """How to interpolate: the attributes of Resize."""

    mode: str = "nearest"
    transformation: str = "asymmetric"
    rounding: str = "simple"
    a: float = -0.75
    antialias: bool = False
    exclude_outside: bool = False
    extrapolation: float = 0.0


@operator("Upsample")
def upsample_1(x: Tensor, *, height_scale: float, mode: str = "nearest", width_scale: float) -> Tensor:
    """Version 1: (B, C, H, W) only."""
    return _resized(x, _scaled(x, [1.0, 1.0, height_scale, width_scale]), _Manner(_old_mode(mode)))


@operator("Upsample", since=7)
def upsample_7(x: Tensor, *, mode: str = "nearest", scales: Sequence[float]) -> Tensor:
    """Version 7: one scale an axis, as an attribute."""
    return _resized(x, _scaled(x, scales), _Manner(_old_mode(mode)))


@operator("Resize", since=10)
@operator("Upsample", since=9)
def resize_10(x: Tensor, scales: Tensor, *, mode: str = "nearest") -> Tensor:
    """Upsample from 9 on and Resize 10: ``x_in = x_out / scale``."""
    return _resized(x, _scaled(x, scales.tolist()), _Manner(_old_mode(mode)))


@operator("Resize", since=11)
def resize(
    x: Tensor,
    roi: Tensor | None = None,
    scales: Tensor | None = None,
    sizes: Tensor | None = None,
    *,
    antialias: int = 0,
    axes: Sequence[int] | None = None,
    coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
    mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor",
) -> Tensor:
    """Resize X by `scales` or to `sizes`, both for `axes` (all if absent), by nearest, linear or cubic interpolation."""
    chosen = [axis % x.dim() for axis in axes] if axes is not None else list(range(x.dim()))
    crops: _Crops = {}
    if coordinate_transformation_mode == "tf_crop_and_resize" and roi is not None:
        crops = {axis: (roi[i], roi[len(chosen) + i]) for i, axis in enumerate(chosen)}
    if scales is not None and scales.numel():
        given = dict(zip(chosen, scales.tolist(), strict=True))
        plan = _scaled(x, [given.get(axis, 1.0) for axis in range(x.dim())], crops)
    elif sizes is not None and sizes.numel():
        wanted = dict(zip(chosen, map(int, sizes.tolist()), strict=True))
        plan = _sized(x, wanted, keep_aspect_ratio_policy, crops)
    else:
        raise ValueError("Resize needs scales or sizes")
    manner = _Manner(
        mode,
        coordinate_transformation_mode,
        nearest_mode,
        cubic_coeff_a,
        bool(antialias),
        bool(exclude_outside),
        extrapolation_value,
    )
    return _resized(x, plan, manner)


def _old_mode(mode: str) -> str:
    return "linear" if mode == "bilinear" else mode


def _scaled(x: Tensor, scales: Sequence[float], crops: _Crops | None = None) -> list[Axis]:
    """``out = floor(in · scale)``, in float32 and whatever the crop, as ONNX Runtime and the standard's shape inference."""
    if len(scales) != x.dim() or min(scales, default=1) <= 0:
        raise ValueError(f"{x.dim()} positive scales are needed, not {list(scales)}")
    outputs = (torch.tensor(scales, dtype=torch.float32) * torch.tensor(x.shape)).floor().to(torch.int64).tolist()
    fields = enumerate(zip(x.shape, outputs, scales, strict=True))
    return [Axis(size, output, scale, (crops or {}).get(axis)) for axis, (size, output, scale) in fields]


def _sized(x: Tensor, wanted: dict[int, int], policy: str, crops: _Crops) -> list[Axis]:
    """The sizes themselves, or by one scale for all axes that keeps the ratio of their sizes."""
    if min(wanted.values(), default=0) < 0 or any(not x.shape[axis] for axis in wanted):
        raise ValueError(f"sizes {list(wanted.values())} cannot be made of an input of {list(x.shape)}")
    scales = {axis: size / x.shape[axis] for axis, size in wanted.items()}
    if policy in ("not_larger", "not_smaller"):
        common = min(scales.values()) if policy == "not_larger" else max(scales.values())
        scales = dict.fromkeys(scales, common)
        wanted = {axis: int(common * x.shape[axis] + 0.5) for axis in wanted}
    elif policy != "stretch":
        raise ValueError(f"keep_aspect_ratio_policy {policy!r} is none of stretch, not_larger and not_smaller")
    return [
        Axis(size, wanted.get(axis, size), scales.get(axis, 1.0), crops.get(axis)) for axis, size in enumerate(x.shape)
    ]


def _resized(x: Tensor, plan: Sequence[Axis], manner: _Manner) -> Tensor:
    if manner.mode not in ("nearest", "linear", "cubic"):
        raise ValueError(f"mode {manner.mode!r} is none of nearest, linear and cubic")
    if not all(axis.size for axis in plan) or not all(axis.output for axis in plan):
        return x.new_zeros([axis.output for axis in plan])
    y = x if manner.mode == "nearest" or x.is_floating_point() else x.float()
    native = _native(y, plan, manner)
    if native is None:
        native = _by_axes(y, plan, manner)
    if native.dtype != x.dtype:
        limits = torch.iinfo(x.dtype)
        native = native.clamp(limits.min, limits.max).to(x.dtype)
    return native


def _native(x: Tensor, plan: Sequence[Axis], manner: _Manner) -> Tensor | None:
    """By ``F.interpolate``; None where that is not exactly what is asked for."""
    outputs = [axis.output for axis in plan]
    if x.dim() not in _LINEAR or outputs[:2] != list(x.shape[:2]) or not x.is_floating_point() or manner.antialias:
        return None
    if not all(axis.exact and axis.crop is None for axis in plan):
        return None
    if manner.mode == "nearest":
        return F.interpolate(x, size=outputs[2:]) if all(_as_torch(axis, manner) for axis in plan[2:]) else None
    half_pixel = manner.transformation in ("half_pixel", "half_pixel_symmetric")
    if manner.transformation == "pytorch_half_pixel":
        half_pixel = all(axis.output > 1 or axis.size == 1 for axis in plan[2:])
    if manner.exclude_outside or not (half_pixel or manner.transformation == "align_corners"):
        return None
    corners = manner.transformation == "align_corners"
    if manner.mode == "linear":
        return F.interpolate(x, size=outputs[2:], mode=_LINEAR[x.dim()], align_corners=corners)
    if x.dim() == 4 and manner.a == -0.75:
        return F.interpolate(x, size=outputs[2:], mode="bicubic", align_corners=corners)
    return None


def _as_torch(axis: Axis, manner: _Manner) -> bool:
    """Whether torch's nearest, ``floor(x · in / out)`` in float32, picks the same values."""
    ours = resize_axis.nearest(resize_axis.places(axis, manner.transformation), axis, manner.rounding)
    ratio = torch.tensor(axis.size, dtype=torch.float32) / axis.output
    theirs = (torch.arange(axis.output, dtype=torch.float32) * ratio).floor().clamp(max=axis.size - 1)
    return bool((ours == theirs).all())


def _by_axes(x: Tensor, plan: Sequence[Axis], manner: _Manner) -> Tensor:
    """One axis after the other: the filter of a product is the product of the filters."""
    beyond: Tensor | None = None
    y = x
    crops = manner.transformation == "tf_crop_and_resize"
    for number, axis in enumerate(plan):
        if axis.size == axis.output and axis.scale == 1 and axis.crop is None:
            continue
        place = resize_axis.places(axis, manner.transformation)
        y = _along(y, number, axis, place, manner)
        if crops:
            outside = ((place < 0) | (place > axis.size - 1)).reshape(-1, *[1] * (x.dim() - number - 1))
            beyond = outside if beyond is None else beyond | outside
    if beyond is None:
        return y
    return torch.where(beyond.to(y.device), torch.tensor(manner.extrapolation, dtype=y.dtype, device=y.device), y)


def _along(x: Tensor, number: int, axis: Axis, place: Tensor, manner: _Manner) -> Tensor:
    if manner.mode == "nearest":
        return x.index_select(number, resize_axis.nearest(place, axis, manner.rounding).to(x.device))
    index, weights = resize_axis.filtered(
        place,
        axis,
        cubic=manner.mode == "cubic",
        a=manner.a,
        antialias=manner.antialias,
        exclude_outside=manner.exclude_outside,
    )
    index, weights = index.to(x.device), weights.to(x)
    shape = [-1] + [1] * (x.dim() - number - 1)
    total = torch.zeros((), dtype=x.dtype, device=x.device)
    for tap in range(index.shape[1]):
        total = total + x.index_select(number, index[:, tap]) * weights[:, tap].reshape(shape)
    return total
