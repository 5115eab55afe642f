"""com.microsoft: the GELU family, and element-wise fusions with a bias."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from gradcheck_cli.onnx_ops.registry import MICROSOFT, Call, operator


@operator("Gelu", domain=MICROSOFT)
def gelu_microsoft(x: Tensor) -> Tensor:
    """x Φ(x)."""
    return F.gelu(x)


@operator("BiasGelu", domain=MICROSOFT)
def bias_gelu(a: Tensor, b: Tensor) -> Tensor:
    """GELU(a + b), b along the last axis."""
    return F.gelu(a + b)


@operator("FastGelu", domain=MICROSOFT)
def fast_gelu(x: Tensor, bias: Tensor | None = None) -> Tensor:
    """GELU(x + bias) by tanh."""
    return F.gelu(x if bias is None else x + bias, approximate="tanh")


@operator("QuickGelu", domain=MICROSOFT)
def quick_gelu(x: Tensor, *, alpha: float = 1.702) -> Tensor:
    """x·σ(αx), as SiLU(αx)/α: so the tape has one activation, and not a sigmoid that looks saturated."""
    if alpha == 0.0:
        return x * 0.5
    return F.silu(x) if alpha == 1.0 else F.silu(x * alpha) / alpha


@operator("ScaledSiLU", domain=MICROSOFT)
def scaled_silu(x: Tensor, scale: Tensor | None = None, *, alpha: float = 1.0) -> Tensor:
    """SiLU(scale·x); `alpha` is the scale where the input is not there."""
    return F.silu(x * (alpha if scale is None else scale.to(x.dtype)))


@operator("BiasSplitGelu", domain=MICROSOFT)
def bias_split_gelu(x: Tensor, bias: Tensor) -> Tensor:
    """left · GELU(right), the halves of x + bias along the last axis: (N, S, D) → (N, S, D/2)."""
    left, right = (x + bias).chunk(2, -1)
    return left * F.gelu(right)


@operator("BiasAdd", domain=MICROSOFT)
def bias_add(x: Tensor, bias: Tensor, skip: Tensor) -> Tensor:
    """x + bias + skip; (N, S, C), bias (C)."""
    return x + bias + skip


@operator("GatedAdd", domain=MICROSOFT)
def gated_add(x: Tensor, y: Tensor, gate: Tensor) -> Tensor:
    """x + y·gate; (…, C), gate (…, 1)."""
    return x + y * gate


@operator("BiasDropout", domain=MICROSOFT)
def bias_dropout(
    call: Call,
    data: Tensor,
    bias: Tensor,
    residual: Tensor | None = None,
    ratio: Tensor | None = None,
    training_mode: Tensor | None = None,
    *,
    seed: int | None = None,  # noqa: ARG001 - torch's generator decides
) -> tuple[Tensor, Tensor | None]:
    """dropout(data + bias) + residual, and the mask; nothing is dropped outside of training."""
    x = data + bias
    share = 0.5 if ratio is None else float(ratio)
    if training_mode is None or not bool(training_mode) or not call.mode.training or share == 0.0:
        mask = torch.ones_like(x, dtype=torch.bool) if call.wants(1) else None
    else:
        mask = torch.rand_like(x) >= share
        x = x * mask / (1.0 - share)
    return x if residual is None else x + residual, mask


@operator("BiasSoftmax", domain=MICROSOFT)
def bias_softmax(data: Tensor, bias: Tensor, *, axis: int = 1, is_inner_broadcast: int) -> Tensor:
    """softmax(data + bias) over all axes from `axis` on together.

    The bias lacks the axes that it is the same for: those just before `axis` (inner), or the first ones.
    """
    axis %= data.dim()
    if is_inner_broadcast and bias.dim() < data.dim():
        missing = data.dim() - bias.dim()
        bias = bias.reshape(*bias.shape[: axis - missing], *[1] * missing, *bias.shape[axis - missing :])
    scores = data + bias
    if axis == data.dim() - 1:
        return torch.softmax(scores, -1)
    return torch.softmax(scores.flatten(axis), -1).reshape(data.shape)


def fused_activation(
    x: Tensor, name: str, alpha: float | None = None, beta: float | None = None, gamma: float | None = None
) -> Tensor:
    """The activation that FusedConv, FusedGemm and others end with; an empty name is none.

    Raises:
        ValueError: an activation that ONNX Runtime fuses nowhere.
    """
    if not name:
        return x
    if name in _SIMPLE:
        return _SIMPLE[name](x)
    if name == "LeakyRelu":
        return F.leaky_relu(x, 0.01 if alpha is None else alpha)
    if name == "Elu":
        return F.elu(x, 1.0 if alpha is None else alpha)
    if name == "Clip":
        return x.clamp(alpha, beta)
    if name == "HardSigmoid":
        return ((0.2 if alpha is None else alpha) * x + (0.5 if beta is None else beta)).clamp(0.0, 1.0)
    if name == "QuickGelu":
        return quick_gelu(x, alpha=1.702 if alpha is None else alpha)
    if name == "Selu":
        return F.elu(x, alpha or 1.67326319) * (gamma or 1.05070102) if alpha or gamma else F.selu(x)
    raise ValueError(f"the fused activation {name} is not known")


_SIMPLE: dict[str, Callable[[Tensor], Tensor]] = {
    "Relu": torch.relu,
    "Tanh": torch.tanh,
    "Sigmoid": torch.sigmoid,
    "HardSwish": F.hardswish,
    "Gelu": F.gelu,
    "FastGelu": fast_gelu,
    "Softplus": F.softplus,
    "Softsign": F.softsign,
    "Silu": F.silu,
    "Swish": F.silu,
}


def parameters(values: Sequence[float] | None) -> tuple[float | None, float | None]:
    """(alpha, beta) of a list that may be short or absent."""
    first, second, *_ = [*(values or ()), None, None]
    return first, second
