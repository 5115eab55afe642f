"""Scaled dot-product attention as matmul, softmax, matmul: the parts that all attention operators share.

It is not torch's fused kernel: the softmax stays on the tape with its rows, for every sample, and its scores can be handed out.
Shapes: ``B`` samples, ``N`` heads, ``S`` queries, ``T`` keys, ``D`` size of a head.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Modifier = Callable[[Tensor], Tensor]


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, S, N·D) → (B, N, S, D). Raises ValueError where the width is no multiple of the heads."""
    if heads < 1 or x.shape[-1] % heads:
        raise ValueError(f"a width of {x.shape[-1]} cannot be divided among {heads} heads")
    return x.reshape(*x.shape[:-1], heads, x.shape[-1] // heads).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """(B, N, S, D) → (B, S, N·D)."""
    return x.transpose(1, 2).flatten(2)


def for_all_heads(x: Tensor, heads: int) -> Tensor:
    """Keys or values (B, N', T, D) for `heads` queries' heads, each used by a group of neighbours."""
    own = x.shape[1]
    if own == heads:
        return x
    if own == 0 or heads % own:
        raise ValueError(f"{heads} heads of queries cannot share {own} heads of keys")
    return x.repeat_interleave(heads // own, dim=1)


def visible(
    queries: int, keys: int, offset: Tensor | int, *, causal: bool, left: int = -1, right: int = -1
) -> Tensor | None:
    """Which keys each query may see; None for all.

    Args:
        queries: S; query i stands at position i + `offset`.
        keys: T; key j stands at position j.
        offset: one number, or one for each sample (B).
        causal: no key after the query.
        left: how many keys before the query may be seen; `right` likewise after it; -1 for all.

    Returns:
        (S, T), or (B, 1, S, T) for an offset of each sample.
    """
    right = (0 if right < 0 else min(right, 0)) if causal else right
    if left < 0 and right < 0:
        return None
    device = offset.device if isinstance(offset, Tensor) else None
    shift = offset.reshape(-1, 1, 1, 1) if isinstance(offset, Tensor) else offset
    place = torch.arange(queries, device=device).unsqueeze(1) + shift - torch.arange(keys, device=device)
    allowed = torch.ones_like(place, dtype=torch.bool)
    if left >= 0:
        allowed = allowed & (place <= left)
    if right >= 0:
        allowed = allowed & (place >= -right)
    return allowed


def both(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    """What two masks allow."""
    if first is None or second is None:
        return second if first is None else first
    return first & second


def window_bias(allowed: Tensor | None, hidden: float, like: Tensor) -> Tensor | None:
    """A mask as numbers to add: 0 where allowed, else `hidden`."""
    if allowed is None:
        return None
    return torch.zeros_like(allowed, dtype=like.dtype).masked_fill(~allowed, hidden)


@dataclass(frozen=True)
class Scores:
    """What lies between queries and output, each (B, N, S, T)."""

    raw: Tensor
    """Scaled products."""
    capped: Tensor
    masked: Tensor
    probabilities: Tensor


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    scale: float | None = None,
    bias: Tensor | None = None,
    allowed: Tensor | None = None,
    softcap: float = 0.0,
    precision: torch.dtype | None = None,
    change_scores: Modifier | None = None,
    change_probabilities: Modifier | None = None,
    sink: Tensor | None = None,
) -> tuple[Tensor, Scores]:
    """softmax(q kᵀ · scale + bias) v, where a query that may see no key gets zeros.

    Args:
        q: (B, N, S, D); k: (B, N', T, D); v: (B, N', T, D'), N a multiple of N'.
        scale: 1/√D if None.
        bias: added to the scores; broadcast to (B, N, S, T).
        allowed: keys that may be seen; broadcast likewise.
        softcap: limits the scores to ± this, by tanh; 0 for no limit.
        precision: of the softmax; that of q if None.
        change_scores: applied before the softmax; `change_probabilities` after it.
        sink: (N), a score for each head that takes probability and gives nothing.

    Returns:
        (B, N, S, D') and the scores.
    """
    k, v = for_all_heads(k, q.shape[1]), for_all_heads(v, q.shape[1])
    scale = 1.0 / math.sqrt(q.shape[-1]) if scale is None else scale
    raw = torch.matmul(q * scale, k.transpose(-2, -1))
    capped = torch.tanh(raw / softcap) * softcap if softcap else raw
    masked = capped if bias is None else capped + bias.to(capped.dtype)
    masked = masked if allowed is None else masked.masked_fill(~allowed, -math.inf)
    inner = masked if precision is None else masked.to(precision)
    inner = inner if change_scores is None else change_scores(inner)
    unmasked = bias is None and allowed is None and change_scores is None
    probabilities = _softmax(inner, sink, safe=not unmasked)
    if change_probabilities is not None:
        probabilities = change_probabilities(probabilities)
    probabilities = probabilities.to(q.dtype)
    return torch.matmul(probabilities, v), Scores(raw, capped, masked, probabilities)


def _softmax(scores: Tensor, sink: Tensor | None, *, safe: bool) -> Tensor:
    if sink is not None:
        column = sink.to(scores.dtype).reshape(1, -1, 1, 1).expand(*scores.shape[:-1], 1)
        return torch.softmax(torch.cat([scores, column], -1), -1)[..., :-1]
    if safe:
        return torch._safe_softmax(scores, -1)  # 0 for a row of -inf, and on the tape it is a softmax like the other
    return torch.softmax(scores, -1)
