"""Trigonometric and hyperbolic functions; all but Tanh, which is with the activations."""

from __future__ import annotations

import torch
from torch import Tensor

from gradcheck_cli.onnx_ops.registry import operator


@operator("Sin", since=7)
def sin(x: Tensor) -> Tensor:
    """Sine of x in radians."""
    return torch.sin(x)


@operator("Cos", since=7)
def cos(x: Tensor) -> Tensor:
    """Cosine of x in radians."""
    return torch.cos(x)


@operator("Tan", since=7)
def tan(x: Tensor) -> Tensor:
    """Tangent of x in radians."""
    return torch.tan(x)


@operator("Asin", since=7)
def asin(x: Tensor) -> Tensor:
    """Inverse sine, in radians."""
    return torch.asin(x)


@operator("Acos", since=7)
def acos(x: Tensor) -> Tensor:
    """Inverse cosine, in radians."""
    return torch.acos(x)


@operator("Atan", since=7)
def atan(x: Tensor) -> Tensor:
    """Inverse tangent, in radians."""
    return torch.atan(x)


@operator("Sinh", since=9)
def sinh(x: Tensor) -> Tensor:
    """(e^x − e^−x) / 2."""
    return torch.sinh(x)


@operator("Cosh", since=9)
def cosh(x: Tensor) -> Tensor:
    """(e^x + e^−x) / 2."""
    return torch.cosh(x)


@operator("Asinh", since=9)
def asinh(x: Tensor) -> Tensor:
    """Inverse of sinh."""
    return torch.asinh(x)


@operator("Acosh", since=9)
def acosh(x: Tensor) -> Tensor:
    """Inverse of cosh."""
    return torch.acosh(x)


@operator("Atanh", since=9)
def atanh(x: Tensor) -> Tensor:
    """Inverse of tanh."""
    return torch.atanh(x)
