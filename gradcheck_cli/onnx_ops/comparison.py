"""Comparisons, logic and choice: what they decide by has no gradient, what they choose from has one."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from gradcheck_cli.onnx_ops.first_forms import aligning
from gradcheck_cli.onnx_ops.registry import operator
from gradcheck_cli.onnx_ops.unsigned import ordered_inputs


@operator("Equal", since=7)
@aligning("Equal")
def equal(a: Any, b: Any) -> Tensor:
    """a = b, for strings too."""
    if isinstance(a, Tensor):
        return torch.eq(a, b)
    return torch.from_numpy(np.asarray(np.equal(a, b), dtype=bool))


@operator("Greater", since=7)
@aligning("Greater")
@ordered_inputs
def greater(a: Tensor, b: Tensor) -> Tensor:
    """a > b."""
    return torch.gt(a, b)


@operator("Less", since=7)
@aligning("Less")
@ordered_inputs
def less(a: Tensor, b: Tensor) -> Tensor:
    """a < b."""
    return torch.lt(a, b)


@operator("GreaterOrEqual", since=12)
@ordered_inputs
def greater_or_equal(a: Tensor, b: Tensor) -> Tensor:
    """a ≥ b."""
    return torch.ge(a, b)


@operator("LessOrEqual", since=12)
@ordered_inputs
def less_or_equal(a: Tensor, b: Tensor) -> Tensor:
    """a ≤ b."""
    return torch.le(a, b)


@operator("And", since=7)
@aligning("And")
def and_(a: Tensor, b: Tensor) -> Tensor:
    """Both are true."""
    return torch.logical_and(a, b)


@operator("Or", since=7)
@aligning("Or")
def or_(a: Tensor, b: Tensor) -> Tensor:
    """One of them is true."""
    return torch.logical_or(a, b)


@operator("Xor", since=7)
@aligning("Xor")
def xor(a: Tensor, b: Tensor) -> Tensor:
    """One of them only is true."""
    return torch.logical_xor(a, b)


@operator("Not")
def not_(x: Tensor) -> Tensor:
    """It is false."""
    return torch.logical_not(x)


@operator("Where", since=9)
def where(condition: Tensor, x: Any, y: Any) -> Any:
    """x where the condition holds, else y, all broadcast; strings too."""
    if isinstance(x, Tensor):
        return torch.where(condition, x, y)
    return np.asarray(np.where(condition.cpu().numpy(), x, y), dtype=object)


@operator("IsNaN", since=9)
def is_nan(x: Tensor) -> Tensor:
    """Whether it is no number."""
    return torch.isnan(_float(x))


@operator("IsInf", since=10)
def is_inf(x: Tensor, *, detect_negative: int = 1, detect_positive: int = 1) -> Tensor:
    """Whether it is infinite, of a sign that is asked for."""
    x = _float(x)
    if detect_negative and detect_positive:
        return torch.isinf(x)
    if detect_positive:
        return torch.isposinf(x)
    return torch.isneginf(x) if detect_negative else torch.zeros_like(x, dtype=torch.bool)


def _float(x: Tensor) -> Tensor:
    """Floats of 8 bits as float32."""
    return x.float() if x.element_size() == 1 else x
