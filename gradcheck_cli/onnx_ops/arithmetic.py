"""Sums, products, powers, roots and roundings, element by element."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gradcheck_cli.onnx_ops.first_forms import aligning, consuming
from gradcheck_cli.onnx_ops.registry import operator
from gradcheck_cli.onnx_ops.unsigned import WIDE, by_int64


@operator("Add", since=7)
@aligning("Add")
@by_int64
def add(a: Tensor, b: Tensor) -> Tensor:
    """a + b."""
    return torch.add(a, b)


@operator("Sub", since=7)
@aligning("Sub")
@by_int64
def sub(a: Tensor, b: Tensor) -> Tensor:
    """a − b."""
    return torch.sub(a, b)


@operator("Mul", since=7)
@aligning("Mul")
@by_int64
def mul(a: Tensor, b: Tensor) -> Tensor:
    """a · b."""
    return torch.mul(a, b)


@operator("Div", since=7)
@aligning("Div")
def div(a: Tensor, b: Tensor) -> Tensor:
    """a / b; integers are rounded towards zero."""
    if a.is_floating_point() or b.is_floating_point():
        return torch.div(a, b)
    if a.dtype in WIDE:
        return _in_numpy(np.floor_divide, a, b)
    # The processor traps where the smallest integer is divided by −1.
    negated = b == -1
    return torch.where(negated, -a, torch.div(a, b.masked_fill(negated, 1), rounding_mode="trunc"))


@operator("Mod", since=10)
def mod(a: Tensor, b: Tensor, *, fmod: int = 0) -> Tensor:
    """a − b·⌊a / b⌋, with the sign of b; if `fmod`, a − b·trunc(a / b), with the sign of a."""
    if a.dtype in WIDE:
        return _in_numpy(np.mod, a, b)
    return torch.fmod(a, b) if fmod else torch.remainder(a, b)


def _in_numpy(function: Callable[[Any, Any], Any], a: Tensor, b: Tensor) -> Tensor:
    """Divisions of large unsigned integers, which int64 cannot hold. Raises ValueError for a zero."""
    divisor = b.cpu().numpy()
    if not divisor.all():
        raise ValueError("integers are divided by zero")
    return torch.from_numpy(np.asarray(function(a.cpu().numpy(), divisor))).to(a.device)


@operator("Pow", since=7)
@aligning("Pow")
def pow_(x: Tensor, y: Tensor) -> Tensor:
    """x^y, in the type of x."""
    exponent = _constant_exponent(x, y)
    power = torch.pow(x, y.to(torch.int64) if y.dtype in WIDE else y) if exponent is None else torch.pow(x, exponent)
    return power.to(x.dtype)


def _constant_exponent(x: Tensor, y: Tensor) -> float | None:
    """The one exponent as a number, with which torch is quicker; None where it is not one, or is learnt, or is huge."""
    if y.numel() != 1 or y.dim() > x.dim() or y.requires_grad or not x.is_floating_point():
        return None
    exponent = float(y.item())
    return exponent if abs(exponent) < 1e4 else None


@operator("Neg", since=6)
@consuming("Neg")
def neg(x: Tensor) -> Tensor:
    """−x."""
    return torch.neg(x)


@operator("Abs", since=6)
@consuming("Abs")
def abs_(x: Tensor) -> Tensor:
    """|x|."""
    return torch.abs(x) if x.dtype.is_signed else x


@operator("Sign", since=9)
def sign(x: Tensor) -> Tensor:
    """−1, 0 or 1."""
    return torch.sign(x) if x.dtype.is_signed else (x != 0).to(x.dtype)


@operator("Reciprocal", since=6)
@consuming("Reciprocal")
def reciprocal(x: Tensor) -> Tensor:
    """1 / x."""
    return torch.reciprocal(x)


@operator("Sqrt", since=6)
@consuming("Sqrt")
def sqrt(x: Tensor) -> Tensor:
    """√x."""
    return torch.sqrt(x)


@operator("Exp", since=6)
@consuming("Exp")
def exp(x: Tensor) -> Tensor:
    """e^x."""
    return torch.exp(x)


@operator("Log", since=6)
@consuming("Log")
def log(x: Tensor) -> Tensor:
    """Natural logarithm."""
    return torch.log(x)


@operator("Erf", since=9)
def erf(x: Tensor) -> Tensor:
    """2/√π ∫₀ˣ e^(−t²) dt."""
    return torch.erf(x) if x.is_floating_point() else torch.erf(x.to(torch.float64)).to(x.dtype)


@operator("Ceil", since=6)
@consuming("Ceil")
def ceil(x: Tensor) -> Tensor:
    """⌈x⌉."""
    return torch.ceil(x)


@operator("Floor", since=6)
@consuming("Floor")
def floor(x: Tensor) -> Tensor:
    """⌊x⌋."""
    return torch.floor(x)


@operator("Round", since=11)
def round_(x: Tensor) -> Tensor:
    """The nearest integer; of two, the even one."""
    return torch.round(x)
