"""Operations on the bits of integers, and the bits of one type read as another."""

from __future__ import annotations

import torch
from torch import Tensor

from gradcheck_cli.onnx_ops.element_types import torch_dtype
from gradcheck_cli.onnx_ops.registry import operator
from gradcheck_cli.onnx_ops.unsigned import by_int64

_SMALL = {21: 4, 22: 4, 25: 2, 26: 2}
"""UINT4, INT4, UINT2 and INT2 → bits; held in whole bytes."""
_SMALL_SIGNED = frozenset({22, 26})


@operator("BitwiseAnd", since=18)
def bitwise_and(a: Tensor, b: Tensor) -> Tensor:
    """Bits that are in both."""
    return torch.bitwise_and(a, b)


@operator("BitwiseOr", since=18)
def bitwise_or(a: Tensor, b: Tensor) -> Tensor:
    """Bits that are in one of them."""
    return torch.bitwise_or(a, b)


@operator("BitwiseXor", since=18)
def bitwise_xor(a: Tensor, b: Tensor) -> Tensor:
    """Bits that are in one of them only."""
    return torch.bitwise_xor(a, b)


@operator("BitwiseNot", since=18)
@by_int64
def bitwise_not(x: Tensor) -> Tensor:
    """Bits that are not in it."""
    return torch.bitwise_not(x)


@operator("BitShift", since=11)
def bit_shift(x: Tensor, y: Tensor, *, direction: str) -> Tensor:
    """x · 2^y or ⌊x / 2^y⌋; a y that is negative or too large leaves nothing but the sign of a right shift."""
    if direction not in ("LEFT", "RIGHT"):
        raise ValueError(f"the direction of BitShift is {direction!r}, not LEFT or RIGHT")
    bits, by = x.to(torch.int64), y.to(torch.int64)
    too_far = (by < 0) | (by >= 8 * x.element_size())
    if direction == "LEFT":
        return (bits << by.clamp(0, 63)).masked_fill(too_far, 0).to(x.dtype)
    if x.dtype.is_signed:
        return (bits >> by.masked_fill(too_far, 63)).to(x.dtype)
    moved = bits >> by.clamp(0, 63)
    if x.dtype is torch.uint64:  # its highest bit has become a sign, which must not be spread
        moved = torch.where(by > 0, moved & ((1 << (64 - by.clamp(1, 63))) - 1), moved)
    return moved.masked_fill(too_far, 0).to(x.dtype)


@operator("BitCast", since=26)
def bit_cast(x: Tensor, *, to: int) -> Tensor:
    """The same bits as another type of the same width; nothing to differentiate."""
    if to in _SMALL:
        return _small(x, _SMALL[to], to in _SMALL_SIGNED)
    dtype = torch_dtype(to)
    if dtype.itemsize != x.element_size():
        raise ValueError(f"BitCast cannot make {8 * dtype.itemsize} bits of {8 * x.element_size()}")
    return x.detach().view(dtype)


def _small(x: Tensor, bits: int, signed: bool) -> Tensor:
    if x.dtype not in (torch.int8, torch.uint8):
        raise ValueError(f"BitCast cannot make {bits} bits of {8 * x.element_size()}")
    low = x.to(torch.int64) & ((1 << bits) - 1)
    if not signed:
        return low.to(torch.uint8)
    sign = 1 << (bits - 1)
    return ((low ^ sign) - sign).to(torch.int8)
