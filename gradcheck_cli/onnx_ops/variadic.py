"""Sum, mean, largest and smallest of several tensors; clipping and shrinking."""

from __future__ import annotations

import functools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from gradcheck_cli.onnx_ops.first_forms import consuming
from gradcheck_cli.onnx_ops.registry import operator
from gradcheck_cli.onnx_ops.unsigned import by_int64, ordered_values


@operator("Sum", since=6)
@consuming("Sum")
def sum_(*tensors: Tensor) -> Tensor:
    """Their sum, broadcast."""
    return functools.reduce(torch.add, tensors)


@operator("Mean", since=6)
@consuming("Mean")
def mean(*tensors: Tensor) -> Tensor:
    """Their sum over their number, broadcast."""
    return functools.reduce(torch.add, tensors) / len(tensors)


@operator("Max", since=6)
@consuming("Max")
@ordered_values
def max_(*tensors: Tensor) -> Tensor:
    """The largest of them, broadcast."""
    if len(tensors) == 2:
        for x, bound in (tensors, tensors[::-1]):
            if _is_bound(x, bound):
                return torch.clamp(x, min=bound.item())
    return functools.reduce(torch.maximum, tensors)


@operator("Min", since=6)
@consuming("Min")
@ordered_values
def min_(*tensors: Tensor) -> Tensor:
    """The smallest of them, broadcast."""
    if len(tensors) == 2:
        for x, bound in (tensors, tensors[::-1]):
            if _is_bound(x, bound):
                return torch.clamp(x, max=bound.item())
    return functools.reduce(torch.minimum, tensors)


def _is_bound(x: Tensor, bound: Tensor) -> bool:
    """Whether a constant bounds `x`: what exporters make of ReLU becomes an operation that is known as an activation."""
    constant = bound.numel() == 1 and bound.dim() <= x.dim() and not bound.requires_grad and bound.dtype == x.dtype
    return constant and x.requires_grad and not math.isnan(bound.item())


_FLOAT_MAX = torch.finfo(torch.float32).max


@operator("Clip", since=6)
@consuming("Clip")
def clip_by_attributes(x: Tensor, *, min: float | None = None, max: float | None = None) -> Tensor:
    """min(max(x, `min`), `max`); the whole range of float32 is no bound."""
    low = None if min is None or min <= -_FLOAT_MAX else min
    high = None if max is None or max >= _FLOAT_MAX else max
    return x if low is None and high is None else torch.clamp(x, low, high)


@operator("Clip", since=11)
@ordered_values
def clip(x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    """min(max(x, low), high), each bound a single value or absent."""
    if low is None and high is None:
        return x
    for bound in (low, high):
        if bound is not None and bound.numel() != 1:
            raise ValueError("a bound of Clip is not a single value")
    if any(bound is not None and bound.requires_grad for bound in (low, high)):
        return torch.clamp(x, *(None if bound is None else bound.reshape(()) for bound in (low, high)))
    return torch.clamp(x, *(None if bound is None else bound.item() for bound in (low, high)))


@operator("Shrink", since=9)
@by_int64
def shrink(x: Tensor, *, bias: float = 0.0, lambd: float = 0.5) -> Tensor:
    """x + bias below −lambd, x − bias above lambd, 0 between."""
    if x.is_floating_point() and lambd >= 0 and bias in (0.0, lambd):
        return F.softshrink(x, lambd) if bias else F.hardshrink(x, lambd)
    moved = torch.where(x < -lambd, x + bias, x - bias)
    return moved.masked_fill((x >= -lambd) & (x <= lambd), 0).to(x.dtype)
