"""BatchNormalization in all its versions: ``(x - mean) / √(var + epsilon) · scale + B``, one native call.

A training run (``call.mode.training``) takes the batch's statistics even where the node says inference: the diagnosis asks how
the model learns, and a training loop would have normalised so.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from gradcheck_cli.onnx_ops.registry import Call, operator

Outputs = Tensor | tuple[Tensor | None, ...]


@operator("BatchNormalization")
def batch_normalization_1(
    call: Call,
    x: Tensor,
    scale: Tensor,
    b: Tensor,
    mean: Tensor,
    var: Tensor,
    *,
    consumed_inputs: object = None,
    epsilon: float = 1e-5,
    is_test: int = 0,
    momentum: float = 0.9,
    spatial: int = 1,
) -> Outputs:
    """Versions 1 and 6: trains unless `is_test`."""
    del consumed_inputs
    return _with_saved(call, x, (scale, b, mean, var), epsilon, momentum, not is_test, bool(spatial))


@operator("BatchNormalization", since=7)
def batch_normalization_7(
    call: Call,
    x: Tensor,
    scale: Tensor,
    b: Tensor,
    mean: Tensor,
    var: Tensor,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    spatial: int = 1,
) -> Outputs:
    """Versions 7 and 9: trains if more than the first output is asked for."""
    training = any(call.outputs[1:])
    return _with_saved(call, x, (scale, b, mean, var), epsilon, momentum, training, bool(spatial))


@operator("BatchNormalization", since=14)
def batch_normalization_14(
    call: Call,
    x: Tensor,
    scale: Tensor,
    b: Tensor,
    mean: Tensor,
    var: Tensor,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    training_mode: int = 0,
) -> Outputs:
    """Versions 14 and 15: trains if `training_mode`; gives Y, running mean, running variance."""
    y = _normalised(x, (scale, b, mean, var), epsilon, bool(training_mode) or call.mode.training)
    if not (training_mode and (call.wants(1) or call.wants(2))):
        return y
    now = _statistics(x, mean.dtype)
    return (y, *(_running(old, new, momentum) for old, new in zip((mean, var), now, strict=True)))


def _with_saved(
    call: Call, x: Tensor, stored: tuple[Tensor, ...], epsilon: float, momentum: float, training: bool, spatial: bool
) -> Outputs:
    """Y, running mean and variance, and those of the batch; without `spatial`, statistics are per value of a sample."""
    shape = x.shape
    if not spatial:
        x, stored = x.flatten(1), tuple(each.flatten() for each in stored)
    y = _normalised(x, stored, epsilon, training or call.mode.training).reshape(shape)
    if not (training and any(map(call.wants, range(1, 5)))):
        return y
    now = _statistics(x, stored[2].dtype)
    running = [_running(old, new, momentum) for old, new in zip(stored[2:], now, strict=True)]
    shaped = [each if spatial else each.reshape(shape[1:]) for each in (*running, *now)]
    return (y, *shaped)


def _normalised(x: Tensor, stored: tuple[Tensor, ...], epsilon: float, by_batch: bool) -> Tensor:
    if x.dim() == 1:  # "also accepts single dimension input of size N in which case C is assumed to be 1"
        return _normalised(x[:, None], stored, epsilon, by_batch)[:, 0]
    dtype = x.dtype
    if any(each.dtype != dtype for each in stored):
        wide = torch.promote_types(dtype, stored[0].dtype)
        wide = torch.promote_types(wide, stored[2].dtype)
        x, stored = x.to(wide), tuple(each.to(wide) for each in stored)
    scale, b, mean, var = stored
    if by_batch:
        return F.batch_norm(x, None, None, scale, b, training=True, eps=epsilon).to(dtype)
    if torch.is_grad_enabled() and (mean.requires_grad or var.requires_grad):
        # The native form takes the statistics as constants; here they are computed by the graph.
        scale, b, mean, var = (each.reshape(-1, *[1] * (x.dim() - 2)) for each in stored)
        return ((x - mean) * (var + epsilon).rsqrt() * scale + b).to(dtype)
    return F.batch_norm(x, mean, var, scale, b, eps=epsilon).to(dtype)


def _statistics(x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Mean and variance (of the population) of each channel."""
    x = x[:, None] if x.dim() == 1 else x
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    var, mean = torch.var_mean(wide, [axis for axis in range(x.dim()) if axis != 1], correction=0)
    return mean.to(dtype), var.to(dtype)


def _running(old: Tensor, new: Tensor, momentum: float) -> Tensor:
    return old * momentum + new * (1 - momentum)
