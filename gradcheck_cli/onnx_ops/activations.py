"""Activations, each as the native function of torch, by whose name on the tape it is known as one."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from gradcheck_cli.onnx_ops.element_types import promoted
from gradcheck_cli.onnx_ops.first_forms import consuming
from gradcheck_cli.onnx_ops.registry import operator
from gradcheck_cli.onnx_ops.unsigned import by_int64

_FLOAT32_STEP = 1e-6
"""Attributes are float32: closer than this they are the same."""


@operator("Relu", since=6)
@consuming("Relu")
def relu(x: Tensor) -> Tensor:
    """max(0, x)."""
    return torch.relu(x)


@operator("LeakyRelu", since=6)
@consuming("LeakyRelu")
def leaky_relu(x: Tensor, *, alpha: float = 0.01) -> Tensor:
    """x, and alpha·x below 0."""
    return F.leaky_relu(x, alpha)


@operator("PRelu", since=7)
@by_int64
def p_relu(x: Tensor, slope: Tensor) -> Tensor:
    """x, and slope·x below 0; the slope broadcasts to x."""
    x, slope = promoted(x, slope)
    if not x.is_floating_point():
        return torch.where(x < 0, slope * x, x)
    sizes = (1,) * (x.dim() - slope.dim()) + tuple(slope.shape)
    if slope.numel() == 1 or all(size == 1 for axis, size in enumerate(sizes) if axis != 1):
        return F.prelu(x, slope.reshape(-1))
    return torch.where(x < 0, slope * x, x)


@operator("PRelu")
def p_relu_of_channels(x: Tensor, slope: Tensor, *, consumed_inputs: object = ()) -> Tensor:  # noqa: ARG001
    """The same with one slope, or one for each channel (axis 1)."""
    x, slope = promoted(x, slope)
    return F.prelu(x, slope.reshape(-1))


@operator("ThresholdedRelu", since=10)
def thresholded_relu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """x above alpha, else 0."""
    return F.threshold(x, alpha, 0.0)


@operator("Elu", since=6)
@consuming("Elu")
def elu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """x, and alpha·(e^x − 1) below 0."""
    return F.elu(x, alpha)


@operator("Selu", since=6)
def selu(x: Tensor, *, alpha: float = 1.6732632423543772, gamma: float = 1.0507009873554805) -> Tensor:
    """gamma·x, and gamma·alpha·(e^x − 1) below 0."""
    scaled: Tensor = torch.ops.aten.elu(x, alpha, gamma)  # what F.selu calls with its own two constants
    return scaled


@operator("Selu")
def selu_1(x: Tensor, *, alpha: float = 1.6732, gamma: float = 1.0507, consumed_inputs: object = ()) -> Tensor:  # noqa: ARG001
    """The same with rounded defaults."""
    return selu(x, alpha=alpha, gamma=gamma)


@operator("Celu", since=12)
def celu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """x, and alpha·(e^(x/alpha) − 1) below 0."""
    return F.celu(x, alpha)


@operator("Sigmoid", since=6)
@consuming("Sigmoid")
def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + e^−x)."""
    return torch.sigmoid(x)


@operator("HardSigmoid", since=6)
@consuming("HardSigmoid")
def hard_sigmoid(x: Tensor, *, alpha: float = 0.2, beta: float = 0.5) -> Tensor:
    """alpha·x + beta, clipped to 0 … 1; torch's own is x/6 + ½."""
    if not (_same(6 * alpha, 1) and _same(beta, 0.5)):
        x = x * (6 * alpha) + (6 * beta - 3)
    return F.hardsigmoid(x)


@operator("HardSwish", since=14)
def hard_swish(x: Tensor) -> Tensor:
    """x · clip(x/6 + ½, 0, 1)."""
    return F.hardswish(x)


@operator("Tanh", since=6)
@consuming("Tanh")
def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent."""
    return torch.tanh(x)


@operator("Softplus")
def softplus(x: Tensor) -> Tensor:
    """log(1 + e^x)."""
    return F.softplus(x)


@operator("Softsign")
def softsign(x: Tensor) -> Tensor:
    """x / (1 + |x|)."""
    return F.softsign(x)


@operator("Gelu", since=20)
def gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    """x · Φ(x), Φ the normal distribution's, or its approximation by tanh."""
    return F.gelu(x, approximate=approximate)


@operator("Mish", since=18)
def mish(x: Tensor) -> Tensor:
    """x · tanh(softplus(x))."""
    return F.mish(x)


@operator("Swish", since=24)
def swish(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """x · sigmoid(alpha·x)."""
    return F.silu(x) if alpha == 1 else x * torch.sigmoid(alpha * x)


@operator("SwiGLU", since=28)
def swi_glu(a: Tensor, b: Tensor, *, alpha: float = 1.0) -> Tensor:
    """swish(a) · b, for two tensors of one shape."""
    if a.shape != b.shape:
        raise ValueError("the two inputs of SwiGLU differ in shape")
    return swish(a, alpha=alpha) * b


def _same(one: float, other: float) -> bool:
    return math.isclose(one, other, abs_tol=_FLOAT32_STEP)
