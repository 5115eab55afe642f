"""Attention and FlexAttention of the standard."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from gradcheck_cli.onnx_ops.dot_product import (
    Modifier,
    Scores,
    attend,
    both,
    for_all_heads,
    merge_heads,
    split_heads,
    visible,
)
from gradcheck_cli.onnx_ops.registry import Call, operator

_PRECISIONS = {1: torch.float32, 10: torch.float16, 11: torch.float64, 16: torch.bfloat16}
"""TensorProto's number → dtype."""


@operator("Attention", since=23)
def attention(
    call: Call,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attn_mask: Tensor | None = None,
    past_key: Tensor | None = None,
    past_value: Tensor | None = None,
    nonpad_kv_seqlen: Tensor | None = None,
    *,
    is_causal: int = 0,
    kv_num_heads: int | None = None,
    left_window_size: int = -1,
    q_num_heads: int | None = None,
    qk_matmul_output_mode: int = 0,
    right_window_size: int = -1,
    scale: float | None = None,
    softcap: float = 0.0,
    softmax_precision: int | None = None,
) -> tuple[Tensor | None, ...]:
    """softmax(Q Kᵀ · scale + mask) V; inputs (B, N, S, D) or (B, S, N·D)."""
    flat = q.dim() == 3
    if flat:
        if q_num_heads is None or kv_num_heads is None:
            raise ValueError("inputs of three dimensions need q_num_heads and kv_num_heads")
        q, k, v = split_heads(q, q_num_heads), split_heads(k, kv_num_heads), split_heads(v, kv_num_heads)
    if (past_key is None) != (past_value is None):
        raise ValueError("past_key and past_value must be given together")
    k = k if past_key is None else torch.cat([past_key, k], 2)
    v = v if past_value is None else torch.cat([past_value, v], 2)
    queries, keys = q.shape[2], k.shape[2]
    offset: Tensor | int = 0 if past_key is None else past_key.shape[2]
    if nonpad_kv_seqlen is not None and past_key is None:
        offset = nonpad_kv_seqlen - queries
    allowed = visible(queries, keys, offset, causal=bool(is_causal), left=left_window_size, right=right_window_size)
    if nonpad_kv_seqlen is not None:
        inside = torch.arange(keys, device=q.device) < nonpad_kv_seqlen.reshape(-1, 1, 1, 1)
        allowed = both(allowed, inside)
    bias = None
    if attn_mask is not None:
        mask = _padded(attn_mask, keys)
        allowed, bias = (both(allowed, mask), None) if mask.dtype == torch.bool else (allowed, mask)
    y, scores = attend(
        q, k, v,
        scale=scale, bias=bias, allowed=allowed, softcap=softcap, precision=_precision(softmax_precision),
    )  # fmt: skip
    shown = _shown(scores, qk_matmul_output_mode) if call.wants(3) else None
    return merge_heads(y) if flat else y, k, v, shown


def _padded(mask: Tensor, keys: int) -> Tensor:
    """A mask for fewer keys hides the rest."""
    missing = keys - mask.shape[-1]
    if missing <= 0 or mask.shape[-1] == 1:
        return mask
    return F.pad(mask, (0, missing), value=False if mask.dtype == torch.bool else -math.inf)


def _shown(scores: Scores, mode: int) -> Tensor:
    try:
        return (scores.raw, scores.capped, scores.masked, scores.probabilities)[mode]
    except IndexError:
        raise ValueError(f"qk_matmul_output_mode is {mode}; it must be 0, 1, 2 or 3") from None


def _precision(number: int | None) -> torch.dtype | None:
    if number is None:
        return None
    if number not in _PRECISIONS:
        raise ValueError(f"softmax_precision is {number}, which is no floating type of 16 to 64 bits")
    return _PRECISIONS[number]


@operator("FlexAttention", domain="ai.onnx.preview")
def flex_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    prob_mod: Modifier | None = None,
    scale: float | None = None,
    score_mod: Modifier | None = None,
    softmax_precision: int | None = None,
) -> Tensor:
    """softmax(score_mod(Q Kᵀ · scale)), changed by prob_mod, times V; all (B, N, S, D)."""
    usual = torch.float64 if q.dtype == torch.float64 else torch.float32
    precision = _precision(softmax_precision) or usual
    y, _ = attend(
        q.to(precision),
        for_all_heads(k, q.shape[1]).to(precision),
        v.to(precision),
        scale=scale,
        change_scores=_body(score_mod),
        change_probabilities=_body(prob_mod),
    )
    return y.to(q.dtype)


def _body(graph: Modifier | None) -> Modifier | None:
    """A graph gives a list of outputs; this one has one."""
    return None if graph is None else lambda x: graph(x)[0]
