"""RotaryEmbedding, of the standard and of com.microsoft."""

from __future__ import annotations

import torch
from torch import Tensor

from gradcheck_cli.onnx_ops.dot_product import split_heads
from gradcheck_cli.onnx_ops.registry import MICROSOFT, operator


def rotate(x: Tensor, cos: Tensor, sin: Tensor, *, interleaved: bool) -> Tensor:
    """Rotate pairs of features by angles whose cosines and sines are given.

    Args:
        x: (…, D); its first 2·R features are rotated.
        cos: broadcast to (…, R).
        sin: likewise.
        interleaved: the pairs are neighbours; else feature i goes with i + R.
    """
    half = cos.shape[-1]
    turned, rest = x[..., : 2 * half], x[..., 2 * half :]
    if interleaved:
        first, second = turned[..., 0::2], turned[..., 1::2]
    else:
        first, second = turned[..., :half], turned[..., half:]
    real, imaginary = cos * first - sin * second, sin * first + cos * second
    result = torch.stack([real, imaginary], -1).flatten(-2) if interleaved else torch.cat([real, imaginary], -1)
    return torch.cat([result, rest], -1) if rest.shape[-1] else result


@operator("RotaryEmbedding", since=23)
def rotary_embedding(
    x: Tensor,
    cos_cache: Tensor,
    sin_cache: Tensor,
    position_ids: Tensor | None = None,
    *,
    interleaved: int = 0,
    num_heads: int | None = None,
    rotary_embedding_dim: int = 0,
) -> Tensor:
    """X (B, N, S, D) or (B, S, N·D), turned by the angles of its positions; caches (positions, R), or (B, S, R) without ids."""
    if position_ids is not None:
        cos_cache, sin_cache = cos_cache[position_ids.long()], sin_cache[position_ids.long()]
    heads = x if x.dim() == 4 else split_heads(x, num_heads or 0).transpose(1, 2)
    half = (rotary_embedding_dim or heads.shape[-1]) // 2
    if cos_cache.shape[-1] != half or sin_cache.shape[-1] != half:
        raise ValueError(
            f"the caches hold {cos_cache.shape[-1]} and {sin_cache.shape[-1]} angles, and {half} are needed"
        )
    axis = 1 if x.dim() == 4 else 2
    turned = rotate(heads, cos_cache.unsqueeze(axis), sin_cache.unsqueeze(axis), interleaved=bool(interleaved))
    return turned if x.dim() == 4 else turned.flatten(2)


@operator("RotaryEmbedding", domain=MICROSOFT)
def rotary_embedding_microsoft(
    x: Tensor,
    position_ids: Tensor,
    cos_cache: Tensor,
    sin_cache: Tensor,
    *,
    interleaved: int = 0,
    is_packed_batching: int = 0,  # noqa: ARG001 - the positions say it all
    num_heads: int = 0,
    rotary_embedding_dim: int = 0,
    scale: float = 1.0,  # noqa: ARG001 - no kernel of ONNX Runtime reads it
) -> Tensor:
    """As the standard's, with positions (B, S), or (1) for the first of consecutive ones."""
    length = x.shape[1] if x.dim() == 3 else x.shape[2]
    ids = positions(position_ids, x.shape[0], length)
    width = 2 * cos_cache.shape[-1] if not rotary_embedding_dim else None
    heads = num_heads or (x.shape[-1] // width if width else 0)
    return rotary_embedding(
        x,
        cos_cache,
        sin_cache,
        ids,
        interleaved=interleaved,
        num_heads=heads,
        rotary_embedding_dim=rotary_embedding_dim,
    )


def positions(ids: Tensor, samples: int, length: int) -> Tensor:
    """(B, S), or one number for the first of consecutive positions → (B, S)."""
    if ids.numel() == 1 and ids.dim() < 2:
        ids = ids.reshape(1, 1) + torch.arange(length, device=ids.device)
    return ids.expand(samples, length)
