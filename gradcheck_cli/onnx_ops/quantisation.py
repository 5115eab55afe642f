"""Quantised numbers, with straight-through gradients: what all operators on them share.

A quantised tensor is one of an integer type (or of 8 or 4 bits floating). Where a gradient must pass through it, it is held as
float32 with the same values: rounding then hands the gradient on as it is, and a value that was clamped gets none, as in
quantisation-aware training. Everything here takes both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Rounding = Callable[[Tensor], Tensor]


class StraightThrough(torch.autograd.Function):
    """A rounding whose gradient is that of the identity."""

    @staticmethod
    def forward(ctx: object, x: Tensor, rounding: Rounding) -> Tensor:  # noqa: ARG004
        """The rounded values."""
        return rounding(x)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: ARG004
        """The same gradient."""
        return gradient, None


@dataclass(frozen=True)
class Kind:
    """A type to quantise to."""

    dtype: torch.dtype
    """In which its values are held without a gradient."""
    low: float
    high: float
    rounding: Rounding | None = torch.round
    """None for types of 8 bits floating: the cast rounds."""

    @property
    def is_integer(self) -> bool:
        """False for floating types."""
        return self.rounding is torch.round


def _round_to_float4(x: Tensor) -> Tensor:
    """To the nearest of 0, ½, 1, 1½, 2, 3, 4, 6 and their negatives, ties to even: type FLOAT4E2M1."""
    size = x.abs()
    fine, middle, coarse = torch.round(x * 2) / 2, torch.round(x), torch.round(x / 2) * 2
    return torch.where(size < 2, fine, torch.where(size < 4, middle, coarse))


def _integers(dtype: torch.dtype) -> Kind:
    limits = torch.iinfo(dtype)
    return Kind(dtype, limits.min, limits.max)


_FLOAT8 = (torch.float8_e4m3fn, torch.float8_e4m3fnuz, torch.float8_e5m2, torch.float8_e5m2fnuz)
_FLOAT4 = Kind(torch.float32, -6.0, 6.0, _round_to_float4)
_BY_DTYPE = {
    **{dtype: _integers(dtype) for dtype in (torch.uint8, torch.int8, torch.uint16, torch.int16, torch.int32)},
    **{dtype: Kind(dtype, torch.finfo(dtype).min, torch.finfo(dtype).max, None) for dtype in _FLOAT8},
    torch.float32: _FLOAT4,
}
"""By the dtype of a zero point; that of FLOAT4E2M1 is held as float32."""
_BY_NUMBER = {
    2: _BY_DTYPE[torch.uint8],
    3: _BY_DTYPE[torch.int8],
    4: _BY_DTYPE[torch.uint16],
    5: _BY_DTYPE[torch.int16],
    **{17 + i: _BY_DTYPE[dtype] for i, dtype in enumerate(_FLOAT8)},
    21: Kind(torch.uint8, 0, 15),
    22: Kind(torch.int8, -8, 7),
    23: _FLOAT4,
    25: Kind(torch.uint8, 0, 3),
    26: Kind(torch.int8, -2, 1),
}
"""By the element type's number in TensorProto."""


def kind_of(zero_point: Tensor | None, number: int = 0) -> Kind:
    """The type to quantise to: by its number, else by its zero point, else uint8. Raises ValueError for any other."""
    if number:
        if number not in _BY_NUMBER:
            raise ValueError(f"cannot quantise to the element type {number}")
        return _BY_NUMBER[number]
    dtype = torch.uint8 if zero_point is None else zero_point.dtype
    if dtype not in _BY_DTYPE:
        raise ValueError(f"cannot quantise to {dtype}")
    return _BY_DTYPE[dtype]


def wide(x: Tensor) -> Tensor:
    """`x` in float32, or in float64 if it is that already."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def centred(x: Tensor, zero_point: Tensor | None) -> Tensor:
    """x − zero point, in float32 at least."""
    return wide(x) if zero_point is None else wide(x) - wide(zero_point)


def dequantised(x: Tensor, scale: Tensor, zero_point: Tensor | None) -> Tensor:
    """(x − zero point)·scale, in float32 at least; scale and zero point broadcast to x."""
    scale = wide(scale)
    steps = centred(x, zero_point)
    return steps.to(torch.promote_types(steps.dtype, scale.dtype)) * scale  # a 0-d float64 alone would not make it one


def quantised(
    x: Tensor, scale: Tensor, zero_point: Tensor | None, kind: Kind | None = None, *, saturate: bool = True
) -> Tensor:
    """round(x / scale) + zero point, within the type's range.

    Args:
        x: floating.
        scale: broadcast to x; `zero_point` likewise.
        kind: the type; that of the zero point if None.
        saturate: False: a float of 8 bits out of range becomes infinite or NaN.

    Returns:
        The type's own dtype, or float32 at least if x has a gradient.
    """
    kind = kind or kind_of(zero_point)
    scaled = wide(x) / wide(scale)
    if not (torch.is_grad_enabled() and scaled.requires_grad):
        return _shifted(scaled if kind.rounding is None else kind.rounding(scaled), zero_point, kind, saturate).to(
            kind.dtype
        )
    if kind.rounding is None:
        limited = _shifted(scaled, zero_point, kind, saturate)
        return _through(limited, lambda value: value.to(kind.dtype).to(value.dtype))
    return _shifted(_through(scaled, kind.rounding), zero_point, kind, saturate)


def _shifted(x: Tensor, zero_point: Tensor | None, kind: Kind, saturate: bool) -> Tensor:
    x = x if zero_point is None else x + wide(zero_point)
    return x.clamp(kind.low, kind.high) if kind.is_integer or saturate else x


def _through(x: Tensor, rounding: Rounding) -> Tensor:
    found: Tensor = StraightThrough.apply(x, rounding)  # type: ignore[no-untyped-call]
    return found


def exact(x: Tensor, zero_point: Tensor | None) -> Tensor:
    """x − zero point in float64, in which sums of products of 8 bits are exact as they are in int32."""
    x = x.double()
    return x if zero_point is None else x - zero_point.double()


def rounded_off(total: Tensor, *scales: Tensor) -> Tensor:
    """An exact sum as ONNX Runtime goes on with it, in float32; in float64 where the scales are that."""
    return total if torch.float64 in {scale.dtype for scale in scales} else total.float()


def rows(value: Tensor | None) -> Tensor | None:
    """A scale or zero point for each row of a matrix (M) as (M, 1); a scalar and one of more axes stay as they are."""
    return value.unsqueeze(-1) if value is not None and value.dim() == 1 and value.shape[0] > 1 else value


def fitted(value: Tensor, x: Tensor, axis: int, block: int) -> Tensor:
    """A scale or zero point in the form that broadcasts to `x`.

    Args:
        value: a scalar, one for each place along `axis`, or one for each block of `block` places along it.
        x: what it is for.
        axis: may count from the back.
        block: 0 if there are no blocks.

    Raises:
        ValueError: the shape is none of these.
    """
    if value.numel() == 1 and value.dim() <= 1:
        return value.reshape(())
    if x.dim() == 0 or not -x.dim() <= axis < x.dim():
        raise ValueError(f"axis {axis} is not one of the {x.dim()} axes of the input")
    axis %= x.dim()
    if value.dim() == 1 and value.shape[0] == x.shape[axis]:
        return value.reshape([-1 if i == axis else 1 for i in range(x.dim())])
    if block > 0 and value.dim() == x.dim() and value.shape[axis] == -(-x.shape[axis] // block):
        return value.repeat_interleave(block, axis).narrow(axis, 0, x.shape[axis])
    raise ValueError(f"a scale of the shape {tuple(value.shape)} does not fit an input of the shape {tuple(x.shape)}")
