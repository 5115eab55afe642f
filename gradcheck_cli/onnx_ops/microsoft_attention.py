"""com.microsoft: Attention and MultiHeadAttention. Shapes as in `dot_product`; H: hidden size, N·D."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from gradcheck_cli.onnx_ops.dot_product import attend, merge_heads, split_heads, visible, window_bias
from gradcheck_cli.onnx_ops.registry import MICROSOFT, Call, operator
from gradcheck_cli.onnx_ops.rotary import rotate

_HIDDEN = -10000.0
"""What ONNX Runtime adds to the score of a key that is masked."""


@operator("Attention", domain=MICROSOFT)
def attention_microsoft(
    call: Call,
    x: Tensor,
    weights: Tensor,
    bias: Tensor | None = None,
    mask_index: Tensor | None = None,
    past: Tensor | None = None,
    attention_bias: Tensor | None = None,
    past_sequence_length: Tensor | None = None,
    *,
    do_rotary: int = 0,
    mask_filter_value: float = _HIDDEN,
    num_heads: int,
    past_present_share_buffer: int = 0,
    qkv_hidden_sizes: Sequence[int] | None = None,
    rotary_embedding_dim: int = 0,
    scale: float | None = None,
    unidirectional: int = 0,
) -> tuple[Tensor, Tensor | None]:
    """Self-attention with the projection: x (B, S, I), weights (I, 2·H + H'); past and present (2, B, N, P, D)."""
    if past_present_share_buffer or past_sequence_length is not None:
        raise ValueError("a buffer that past and present share is for generating text, not for training")
    third = weights.shape[1] // 3
    q, k, v = (
        split_heads(part, num_heads)
        for part in F.linear(x, weights.t(), bias).split_with_sizes(list(qkv_hidden_sizes or [third] * 3), -1)
    )
    before = 0 if past is None else past.shape[3]
    if do_rotary:
        q, k = _rotated(q, before, rotary_embedding_dim), _rotated(k, before, rotary_embedding_dim)
    if past is not None:
        k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
    hidden = _padding_bias(mask_index, q, k.shape[2], mask_filter_value)
    y, _ = attend(
        q, k, v,
        scale=scale or None,
        bias=_sum(hidden, attention_bias),
        allowed=visible(q.shape[2], k.shape[2], before, causal=bool(unidirectional)),
    )  # fmt: skip
    return merge_heads(y), torch.stack([k, v]) if call.wants(1) else None


def _rotated(x: Tensor, first: int, dim: int) -> Tensor:
    """Rotary angles of base 10000, at positions from `first` on."""
    half = (dim or x.shape[-1]) // 2
    places = torch.arange(first, first + x.shape[2], dtype=torch.float32, device=x.device)
    angles = torch.outer(places, 10000.0 ** (-torch.arange(half, dtype=torch.float32, device=x.device) / half))
    return rotate(x, angles.cos().to(x.dtype), angles.sin().to(x.dtype), interleaved=False)


@operator("MultiHeadAttention", domain=MICROSOFT)
def multi_head_attention(
    call: Call,
    query: Tensor,
    key: Tensor | None = None,
    value: Tensor | None = None,
    bias: Tensor | None = None,
    key_padding_mask: Tensor | None = None,
    attention_bias: Tensor | None = None,
    past_key: Tensor | None = None,
    past_value: Tensor | None = None,
    past_sequence_length: Tensor | None = None,
    cache_indirection: Tensor | None = None,
    *,
    mask_filter_value: float = _HIDDEN,
    num_heads: int,
    scale: float | None = None,
    unidirectional: int = 0,
) -> tuple[Tensor | None, ...]:
    """Attention of projected inputs: query (B, S, H), key and value (B, T, H), or packed; output (B, S, H')."""
    if past_sequence_length is not None or cache_indirection is not None:
        raise ValueError("a buffer that past and present share is for generating text, not for training")
    q, k, v = _heads(query, key, value, bias, num_heads)
    before = 0
    if past_key is not None and past_value is not None:
        before = past_key.shape[2]
        k, v = torch.cat([past_key, k], 2), torch.cat([past_value, v], 2)
    hidden = _padding_bias(key_padding_mask, q, k.shape[2], mask_filter_value)
    y, scores = attend(
        q, k, v,
        scale=scale or None,
        bias=_sum(hidden, attention_bias),
        allowed=visible(q.shape[2], k.shape[2], before, causal=bool(unidirectional)),
    )  # fmt: skip
    return merge_heads(y), k, v, scores.masked if call.wants(3) else None


def _heads(
    query: Tensor, key: Tensor | None, value: Tensor | None, bias: Tensor | None, heads: int
) -> tuple[Tensor, Tensor, Tensor]:
    """(B, N, S, D) of each, with the bias of the projection added, from any of the packings that are defined."""
    if query.dim() == 5:  # (B, S, N, 3, D)
        q, k, v = (part.transpose(1, 2) for part in query.unbind(3))
    elif key is None:
        raise ValueError("key is missing, and the query is not packed with it")
    elif key.dim() == 5:  # (B, T, N, 2, D)
        q = split_heads(query, heads)
        k, v = (part.transpose(1, 2) for part in key.unbind(3))
    elif value is None:
        raise ValueError("value is missing, and the key is not packed with it")
    else:
        q = split_heads(query, heads)
        k, v = (part if part.dim() == 4 else split_heads(part, heads) for part in (key, value))
    if bias is None:
        return q, k, v
    width = heads * q.shape[-1]
    added = [bias[:width], bias[width : 2 * width], bias[2 * width :]]
    projected = [True, key is None or key.dim() != 4, value is None or value.dim() != 4]
    q, k, v = (
        part + own.reshape(heads, 1, -1) if new else part
        for part, own, new in zip((q, k, v), added, projected, strict=True)
    )
    return q, k, v


def _sum(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    if first is None or second is None:
        return second if first is None else first
    return first + second


def _padding_bias(mask: Tensor | None, q: Tensor, keys: int, hidden: float) -> Tensor | None:
    """A padding mask in any of its forms as numbers to add, broadcast to (B, N, S, T).

    Forms: lengths (B); ends and then begins (2·B); lengths first of (3·B + 2); 0 or 1 for each key (B, T), for each query
    and key (B, S, T), or the lower corner of (B, 1, max, max).
    """
    if mask is None:
        return None
    samples, queries = q.shape[0], q.shape[2]
    if mask.dim() == 1:
        places = torch.arange(keys, device=mask.device)
        ends = mask[:samples].reshape(-1, 1, 1, 1)
        allowed = places < ends
        if mask.shape[0] == 2 * samples:
            allowed = allowed & (places >= mask[samples:].reshape(-1, 1, 1, 1))
    elif mask.dim() == 2:
        allowed = mask[:, None, None, :] > 0
    elif mask.dim() == 3:
        allowed = mask[:, None] > 0
    else:
        allowed = mask[:, :, keys - queries : keys, :keys] > 0
    return window_bias(allowed, hidden, q)
