"""com.microsoft: layer, RMS and group normalisation, fused with the additions before them. H: size of the last axis."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from gradcheck_cli.onnx_ops.registry import MICROSOFT, Call, operator

Normalised = tuple[Tensor | None, ...]


@operator("SimplifiedLayerNormalization")
def simplified_layer_normalization(
    call: Call,
    x: Tensor,
    scale: Tensor,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,  # noqa: ARG001 - torch computes in float32 at least
) -> Normalised:
    """RMS norm over the axes from `axis` on, and 1/RMS. ONNX Runtime has it in the standard's domain."""
    axis %= max(1, x.dim())
    y = F.rms_norm(x, x.shape[axis:], scale.to(x.dtype), epsilon)
    return y, _inverse_rms(x, axis, epsilon) if call.wants(1) else None


def _inverse_rms(x: Tensor, axis: int, epsilon: float) -> Tensor:
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return torch.rsqrt(wide.square().mean(tuple(range(axis, x.dim())), keepdim=True) + epsilon)


@operator("SkipSimplifiedLayerNormalization", domain=MICROSOFT)
def skip_simplified_layer_normalization(
    call: Call, x: Tensor, skip: Tensor, gamma: Tensor, bias: Tensor | None = None, *, epsilon: float = 1e-12
) -> Normalised:
    """RMS norm of x + skip + bias; fourth the sum itself. x (B, S, H) or (tokens, H)."""
    total = x + skip if bias is None else x + skip + bias
    y = F.rms_norm(total, gamma.shape, gamma, epsilon)
    return y, None, _inverse_rms(total, total.dim() - 1, epsilon) if call.wants(2) else None, total


@operator("SkipLayerNormalization", domain=MICROSOFT)
def skip_layer_normalization(
    call: Call,
    x: Tensor,
    skip: Tensor,
    gamma: Tensor,
    beta: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    epsilon: float = 1e-12,
) -> Normalised:
    """Layer norm of x + skip + bias; also its mean and 1/deviation, and fourth the sum itself. x (B, S, H)."""
    total = x + skip if bias is None else x + skip + bias
    y = F.layer_norm(total, gamma.shape, gamma, beta, epsilon)
    if not call.wants(1) and not call.wants(2):
        return y, None, None, total
    wide = total.to(torch.promote_types(total.dtype, torch.float32))
    variance, mean = torch.var_mean(wide, -1, correction=0, keepdim=True)
    return y, mean, torch.rsqrt(variance + epsilon), total


@operator("EmbedLayerNormalization", domain=MICROSOFT)
def embed_layer_normalization(
    input_ids: Tensor,
    segment_ids: Tensor | None,
    word_embedding: Tensor,
    position_embedding: Tensor,
    segment_embedding: Tensor | None,
    gamma: Tensor,
    beta: Tensor,
    mask: Tensor | None = None,
    position_ids: Tensor | None = None,
    *,
    epsilon: float = 1e-12,
    mask_index_type: int = 0,  # noqa: ARG001 - whether the output is named says the same
) -> tuple[Tensor, Tensor, Tensor]:
    """Layer norm of word + position + segment embeddings; also the length of each sample's mask, and the sum. ids (B, S)."""
    places = torch.arange(input_ids.shape[1], device=input_ids.device) if position_ids is None else position_ids.long()
    total = F.embedding(input_ids.long(), word_embedding) + F.embedding(places, position_embedding)
    if segment_ids is not None and segment_embedding is not None:
        total = total + F.embedding(segment_ids.long(), segment_embedding)
    lengths = input_ids.new_zeros(input_ids.shape[0]) if mask is None else mask.sum(1)
    return F.layer_norm(total, gamma.shape, gamma, beta, epsilon), lengths.to(torch.int32), total


@operator("GroupNorm", domain=MICROSOFT)
def group_norm_microsoft(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    *,
    activation: int,
    channels_last: int = 1,
    epsilon: float = 1e-5,
    groups: int,
) -> Tensor:
    """Group norm of (N, H, W, C), or (N, C, H, W) with `channels_last` 0; SiLU after it with `activation` 1."""
    if groups < 1 or gamma.shape[0] % groups:
        raise ValueError(f"{gamma.shape[0]} channels cannot be split into {groups} groups")
    images = x.movedim(-1, 1) if channels_last else x
    y = torch.group_norm(images, groups, gamma.to(x.dtype), beta.to(x.dtype), epsilon)
    y = F.silu(y) if activation else y
    return y.movedim(1, -1) if channels_last else y


@operator("SkipGroupNorm", domain=MICROSOFT)
def skip_group_norm(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    skip: Tensor,
    bias: Tensor | None = None,
    *,
    activation: int,
    channels_last: int = 1,
    epsilon: float = 1e-5,
    groups: int,
) -> tuple[Tensor, Tensor]:
    """Group norm of x + skip + bias, and the sum; skip as x, (N, 1, 1, C) or (N, C), bias (C)."""
    axis = x.dim() - 1 if channels_last else 1
    ones = [1] * (x.dim() - 2)
    if skip.dim() == 2:
        skip = skip.reshape(skip.shape[0], *ones, -1) if channels_last else skip.reshape(*skip.shape, *ones)
    total = x + skip
    if bias is not None:
        total = total + bias.reshape([-1 if i == axis else 1 for i in range(x.dim())])
    y = group_norm_microsoft(
        total, gamma, beta, activation=activation, channels_last=channels_last, epsilon=epsilon, groups=groups
    )
    return y, total


@operator("GatedRMSNorm", domain=MICROSOFT)
def gated_rms_norm(
    x: Tensor, scale: Tensor, gate: Tensor, *, activation: str = "silu", epsilon: float = 1e-5
) -> Tensor:
    """RMS norm over groups of len(scale) features, times SiLU(gate) or σ(gate); computed in float32 at least."""
    if activation not in ("silu", "swish", "sigmoid"):
        raise ValueError(f"activation is {activation}; it must be silu, swish or sigmoid")
    wide = torch.promote_types(x.dtype, torch.float32)
    size = scale.shape[0]
    rows = x.to(wide).reshape(*x.shape[:-1], x.shape[-1] // size, size)
    y = F.rms_norm(rows, (size,), scale.to(wide), epsilon).reshape(x.shape)
    opened = torch.sigmoid(gate.to(wide)) if activation == "sigmoid" else F.silu(gate.to(wide))
    return (y * opened).to(x.dtype)
