"""Resize along one axis: from output places to places in the input, and to taps. Source: the schema of Resize.

Computed in float32 in ONNX Runtime's order, since `floor` and `round` turn a last bit into another pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gradcheck_cli.onnx_ops.taps import cubic_weights

_LARGEST_FILTER = 1 << 16


@dataclass(frozen=True)
class Axis:
    """What happens to one axis."""

    size: int
    """Of the input."""
    output: int
    scale: float
    """As given, or output / size; the output may be less than size·scale, since it is whole."""
    crop: tuple[Tensor, Tensor] | None = None
    """Where in the input, from 0 to 1, the output begins and ends, if it is cropped."""

    @property
    def exact(self) -> bool:
        """Whether the output is just size·scale, as torch takes it to be."""
        return abs(self.size * self.scale - self.output) < 1e-4


def places(axis: Axis, transformation: str) -> Tensor:
    """Where in the input each output value lies, (O,) float32. Raises ValueError for an unknown transformation."""
    x = torch.arange(axis.output, dtype=torch.float32)
    scale = torch.tensor(axis.scale, dtype=torch.float32)
    if transformation == "half_pixel":
        return (x + 0.5) / scale - 0.5
    if transformation == "pytorch_half_pixel":
        return (x + 0.5) / scale - 0.5 if axis.output > 1 else torch.zeros_like(x)
    if transformation == "asymmetric":
        return x / scale
    if transformation == "align_corners":
        return x * (axis.size - 1) / (axis.output - 1) if axis.output > 1 else torch.zeros_like(x)
    if transformation == "tf_half_pixel_for_nn":
        return (x + 0.5) / scale
    if transformation == "half_pixel_symmetric":
        adjustment = torch.tensor(float(axis.output)).div(scale * axis.size)  # ``/`` would multiply by a reciprocal
        offset = axis.size / 2 * (1 - adjustment)
        return (offset.double() + (x.double() + 0.5) / scale.double() - 0.5).float()
    if transformation == "tf_crop_and_resize":
        start, end = axis.crop or (torch.zeros(()), torch.ones(()))
        x = x.to(start.dtype)
        if axis.output > 1:
            return start * (axis.size - 1) + x * (end - start) * (axis.size - 1) / (axis.output - 1)
        return 0.5 * (start + end) * (axis.size - 1) + x
    raise ValueError(f"coordinate_transformation_mode {transformation!r} is not known")


def nearest(place: Tensor, axis: Axis, rounding: str) -> Tensor:
    """The input's index for each place, (O,). Raises ValueError for an unknown rounding."""
    if rounding == "simple":  # of Resize 10 and Upsample: up where it shrinks, else down
        rounding = "ceil" if axis.scale < 1 else "floor"
    if rounding == "round_prefer_floor":
        found = (place - 0.5).ceil()
    elif rounding == "round_prefer_ceil":
        found = (place + 0.5).floor()
    elif rounding == "floor":
        found = place.floor()
    elif rounding == "ceil":
        found = place.ceil()
    else:
        raise ValueError(f"nearest_mode {rounding!r} is none of round_prefer_floor, round_prefer_ceil, floor and ceil")
    return found.clamp(0, axis.size - 1).to(torch.int64)


def filtered(
    place: Tensor, axis: Axis, *, cubic: bool, a: float, antialias: bool, exclude_outside: bool
) -> tuple[Tensor, Tensor]:
    """The input's indices (O, T) and their weights (O, T) of a linear or cubic filter."""
    low = place.detach().floor()
    stretch = min(axis.scale, 1.0) if antialias else 1.0
    if stretch < 1:
        radius = 2 if cubic else 1
        first = int(torch.tensor(-radius / stretch).floor()) + 1
        if -first > _LARGEST_FILTER:
            raise ValueError(f"the scale {axis.scale} is too small for an antialiasing filter")
        numbers = torch.arange(first, 2 - first)
        distance = (numbers - (place - low)[:, None]) * stretch
        weights = _cubic_filter(distance, a) if cubic else (1 - distance.abs()).clamp(min=0)
        weights = weights / weights.sum(1, keepdim=True)
    elif cubic:
        numbers = torch.arange(-1, 3)
        weights = cubic_weights(place - low, a)
    else:
        numbers = torch.arange(0, 2)
        weights = torch.stack([1 - (place - low), place - low], 1)
    index = low[:, None] + numbers
    if exclude_outside:
        weights = weights * ((index >= 0) & (index < axis.size))
        weights = weights / weights.sum(1, keepdim=True)
    return index.clamp(0, axis.size - 1).to(torch.int64), weights


def _cubic_filter(distance: Tensor, a: float) -> Tensor:
    """Keys' kernel at any distance."""
    d = distance.abs()
    inner = ((a + 2) * d - (a + 3)) * d * d + 1
    outer = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return torch.where(d <= 1, inner, torch.where(d < 2, outer, 0))
