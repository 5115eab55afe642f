"""LinearAttention: a state of keys times values that is read by the queries, step by step."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gradcheck_cli.onnx_ops.dot_product import for_all_heads, merge_heads, split_heads
from gradcheck_cli.onnx_ops.registry import MICROSOFT, operator

_RULES = {"linear": (False, False), "gated": (True, False), "delta": (False, True), "gated_delta": (True, True)}
"""Rule → whether the state decays, and whether only what it does not hold yet is written to it."""


@operator("LinearAttention", domain=MICROSOFT)
@operator("LinearAttention", since=27)
def linear_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    past_state: Tensor | None = None,
    decay: Tensor | None = None,
    beta: Tensor | None = None,
    *,
    chunk_size: int = 64,  # noqa: ARG001 - a hint for speed
    kv_num_heads: int,
    q_num_heads: int,
    scale: float = 0.0,
    update_rule: str = "gated_delta",
) -> tuple[Tensor, Tensor]:
    """S ← exp(g)·S + β·k ⊗ (v − exp(g)·Sᵀk), o = scale·Sᵀq; output (B, T, N·D') and the last state (B, N', D, D')."""
    if update_rule not in _RULES:
        raise ValueError(f"update_rule is {update_rule}; it must be one of {', '.join(_RULES)}")
    gated, corrected = _RULES[update_rule]
    if gated != (decay is not None) or corrected != (beta is not None):
        raise ValueError(f"the inputs decay and beta do not fit the rule {update_rule}")
    precision = torch.promote_types(query.dtype, torch.float32)
    q, k, v = (
        split_heads(x, n).to(precision) for x, n in ((query, q_num_heads), (key, kv_num_heads), (value, kv_num_heads))
    )
    q = q * (scale or 1.0 / math.sqrt(q.shape[-1]))
    empty = (q.shape[0], kv_num_heads, k.shape[-1], v.shape[-1])
    state = q.new_zeros(empty) if past_state is None else past_state.to(precision)
    keep = _gate(decay, kv_num_heads, precision).exp().unbind(2) if decay is not None else None
    rate = _gate(beta, kv_num_heads, precision).unbind(2) if beta is not None else None
    outputs = []
    for step, (now, what) in enumerate(zip(k.unbind(2), v.unbind(2), strict=True)):
        if keep is not None:
            state = state * keep[step].unsqueeze(-1)
        if rate is not None:
            what = rate[step] * (what - torch.matmul(now.unsqueeze(-2), state).squeeze(-2))
        state = state + now.unsqueeze(-1) * what.unsqueeze(-2)
        read = for_all_heads(state, q_num_heads)
        outputs.append(torch.matmul(q[:, :, step].unsqueeze(-2), read))
    y = torch.cat(outputs, 2) if outputs else q.new_zeros(*q.shape[:3], v.shape[-1])
    return merge_heads(y).to(query.dtype), state.to(query.dtype if past_state is None else past_state.dtype)


def _gate(x: Tensor, heads: int, precision: torch.dtype) -> Tensor:
    """(B, T, N·D), (B, T, N) or (B, T, 1) → (B, N or 1, T, D or 1)."""
    return split_heads(x, 1 if x.shape[-1] == 1 else heads).to(precision)
