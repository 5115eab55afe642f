"""Normalisation over a sample's own values: Layer, RMS, Group, Instance, Lp, MeanVariance, LRN.

`stash_type` asks for float32 at least in the statistics: torch's kernels do so for half values, and float64 stays float64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from gradcheck_cli.onnx_ops.registry import Call, operator


@operator("LayerNormalization", since=17)
def layer_normalization(
    call: Call,
    x: Tensor,
    scale: Tensor,
    b: Tensor | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
) -> Tensor | tuple[Tensor | None, ...]:
    """``(x - mean) / √(var + epsilon) · Scale + B`` over the axes from `axis` on; also Mean and InvStdDev."""
    del stash_type
    shape = _normalised_shape(x, axis)
    weight, bias = _fitted(scale, shape), None if b is None else _fitted(b, shape)
    if weight is not None and (b is None or bias is not None):
        y = F.layer_norm(x, shape, weight, bias, epsilon)
    else:  # they broadcast over more axes than are normalised
        y = F.layer_norm(x, shape, eps=epsilon) * scale
        y = y if b is None else y + b
    if not (call.wants(1) or call.wants(2)):
        return y
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    var, mean = torch.var_mean(wide, list(range(x.dim() - len(shape), x.dim())), correction=0, keepdim=True)
    return y, mean, (var + epsilon).rsqrt()


@operator("RMSNormalization", since=23)
def rms_normalization(
    x: Tensor, scale: Tensor, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> Tensor:
    """``x / √(mean(x²) + epsilon) · scale`` over the axes from `axis` on."""
    del stash_type
    shape = _normalised_shape(x, axis)
    weight = _fitted(scale, shape)
    if weight is not None:
        return F.rms_norm(x, shape, weight, epsilon)
    return F.rms_norm(x, shape, eps=epsilon) * scale


@operator("GroupNormalization", since=18)
def group_normalization_18(x: Tensor, scale: Tensor, bias: Tensor, *, epsilon: float = 1e-5, num_groups: int) -> Tensor:
    """Version 18: scale and bias are one a group."""
    per_group = x.shape[1] // num_groups if num_groups > 0 else 0
    return group_normalization(
        x, scale.repeat_interleave(per_group), bias.repeat_interleave(per_group), epsilon=epsilon, num_groups=num_groups
    )


@operator("GroupNormalization", since=21)
def group_normalization(
    x: Tensor, scale: Tensor, bias: Tensor, *, epsilon: float = 1e-5, num_groups: int, stash_type: int = 1
) -> Tensor:
    """Normalise each sample's groups of channels; scale and bias are one a channel."""
    del stash_type
    if num_groups < 1 or x.shape[1] % num_groups:
        raise ValueError(f"{x.shape[1]} channels cannot be split into {num_groups} groups")
    # Not F.group_norm, which refuses a single value a group: the standard does not.
    return torch.group_norm(x, num_groups, scale, bias, epsilon)


@operator("InstanceNormalization")
def instance_normalization(
    x: Tensor, scale: Tensor, b: Tensor, *, consumed_inputs: object = None, epsilon: float = 1e-5
) -> Tensor:
    """Normalise each channel of each sample over its positions."""
    del consumed_inputs
    if x.dim() < 3:
        raise ValueError(f"the input has {x.dim()} axes, but batch, channels and at least one spatial axis are needed")
    # Not F.instance_norm, which refuses a single position: the standard does not.
    return torch.instance_norm(x, scale, b, None, None, True, 0.0, epsilon, torch.backends.cudnn.enabled)


@operator("LpNormalization")
def lp_normalization(x: Tensor, *, axis: int = -1, p: int = 2) -> Tensor:
    """``x / ‖x‖_p`` along `axis`; 0 where the norm is 0."""
    norm: Tensor = torch.linalg.vector_norm(x, p, dim=axis, keepdim=True)
    return x / torch.where(norm == 0, 1, norm)


@operator("MeanVarianceNormalization", since=9)
def mean_variance_normalization(x: Tensor, *, axes: Sequence[int] = (0, 2, 3)) -> Tensor:
    """``(x - mean) / (std + 1e-9)`` over `axes`."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    centred = wide - wide.mean(list(axes), keepdim=True)
    count = math.prod(x.shape[axis] for axis in axes)
    # By the norm, whose gradient is 0 where all values are equal; the root's is infinite.
    std: Tensor = torch.linalg.vector_norm(centred, dim=list(axes), keepdim=True) / math.sqrt(max(1, count))
    return (centred / (std + 1e-9)).to(x.dtype)


@operator("LRN")
def lrn(x: Tensor, *, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0, size: int) -> Tensor:
    """``x / (bias + alpha/size · Σ x²)^beta``, summed over `size` channels around each, the longer side behind."""
    if x.dim() < 2 or size < 1:
        raise ValueError("LRN needs an axis of channels and a positive size")
    squares = (x * x).reshape(x.shape[0], 1, x.shape[1], -1)
    around = F.pad(squares, (0, 0, (size - 1) // 2, size // 2))
    means = F.avg_pool2d(around, (size, 1), stride=1).reshape(x.shape)
    return x / (bias + alpha * means) ** beta


def _normalised_shape(x: Tensor, axis: int) -> list[int]:
    if not -x.dim() <= axis < x.dim():
        raise ValueError(f"axis {axis} is not one of the input's {x.dim()}")
    return list(x.shape[axis % x.dim() :])


def _fitted(parameter: Tensor, shape: Sequence[int]) -> Tensor | None:
    """`parameter` in `shape` if it broadcasts to it, else None."""
    if list(parameter.shape) == list(shape):
        return parameter
    if parameter.dim() > len(shape):
        return None
    return parameter.expand(shape)
