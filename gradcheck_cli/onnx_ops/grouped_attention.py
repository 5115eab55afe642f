"""com.microsoft: GroupQueryAttention, causal attention with a cache of keys and values, as language models use it.

Shapes as in `dot_product`; M heads of keys, P positions in the cache.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from gradcheck_cli.onnx_ops.dot_product import Scores, attend, merge_heads, split_heads, visible
from gradcheck_cli.onnx_ops.registry import MICROSOFT, Call, operator
from gradcheck_cli.onnx_ops.rotary import rotate


@operator("GroupQueryAttention", domain=MICROSOFT)
def group_query_attention(
    call: Call,
    query: Tensor,
    key: Tensor | None,
    value: Tensor | None,
    past_key: Tensor | None,
    past_value: Tensor | None,
    seqlens_k: Tensor,
    total_sequence_length: Tensor,
    cos_cache: Tensor | None = None,
    sin_cache: Tensor | None = None,
    position_ids: Tensor | None = None,
    attention_bias: Tensor | None = None,
    head_sink: Tensor | None = None,
    k_scale: Tensor | None = None,
    v_scale: Tensor | None = None,
    q_norm_weight: Tensor | None = None,
    k_norm_weight: Tensor | None = None,
    *,
    causal: int = 1,
    do_rotary: int = 0,
    k_quant_type: str = "NONE",
    kv_cache_bit_width: int = 0,  # noqa: ARG001 - only of a quantised cache
    kv_num_heads: int,
    local_window_size: int = -1,
    num_heads: int,
    qk_norm_epsilon: float = 1e-6,
    qk_output: int = 0,
    rotary_interleaved: int = 0,
    scale: float | None = None,
    sliding_window_cache: int = 0,
    smooth_softmax: int = -1,
    softcap: float = 0.0,
    v_quant_type: str = "NONE",
) -> tuple[Tensor | None, ...]:
    """Causal attention of query (B, S, N·D) to key and value (B, S, M·D) and what came before, past (B, M, P, D)."""
    if k_scale is not None or v_scale is not None or {k_quant_type, v_quant_type} != {"NONE"} or sliding_window_cache:
        raise ValueError("a quantised or sliding cache of keys is for generating text, not for training")
    q, k, v = _heads(query, key, value, num_heads, kv_num_heads)
    if q_norm_weight is not None and k_norm_weight is not None:
        q = F.rms_norm(q, q_norm_weight.shape, q_norm_weight, qk_norm_epsilon)
        k = F.rms_norm(k, k_norm_weight.shape, k_norm_weight, qk_norm_epsilon)
    cache = _cache(q, past_key, seqlens_k, int(total_sequence_length))
    if do_rotary and cos_cache is not None and sin_cache is not None:
        places = cache.positions(q.shape[2]) if position_ids is None else position_ids.long()
        cos, sin = cos_cache[places].unsqueeze(1), sin_cache[places].unsqueeze(1)
        q, k = (rotate(x, cos, sin, interleaved=bool(rotary_interleaved)) for x in (q, k))
    k, v = cache.joined(past_key, k), cache.joined(past_value, v)
    window = local_window_size - 1 if local_window_size > 0 else -1
    allowed = visible(q.shape[2], k.shape[2], cache.before, causal=bool(causal), left=window)
    if not causal:
        allowed = torch.arange(k.shape[2], device=q.device) < cache.lengths.reshape(-1, 1, 1, 1)
    bias = attention_bias
    if bias is not None and bias.shape[-1] < k.shape[2]:
        bias = F.pad(bias, (0, k.shape[2] - bias.shape[-1]))
    if head_sink is None and smooth_softmax > 0:
        head_sink = q.new_zeros(num_heads)
    y, scores = attend(
        q, k, v, scale=scale or None, bias=bias, allowed=allowed, softcap=softcap, sink=head_sink
    )  # fmt: skip
    return merge_heads(y), k, v, _shown(scores, allowed, qk_output) if call.wants(3) else None


def _shown(scores: Scores, allowed: Tensor | None, which: int) -> Tensor:
    """The scores, 0 where a key is hidden as in ONNX Runtime, or the probabilities."""
    if which == 2:
        return scores.probabilities
    return scores.masked if allowed is None else scores.masked.masked_fill(~allowed, 0.0)


def _heads(
    query: Tensor, key: Tensor | None, value: Tensor | None, heads: int, own: int
) -> tuple[Tensor, Tensor, Tensor]:
    if key is not None and value is not None:
        return split_heads(query, heads), split_heads(key, own), split_heads(value, own)
    packed = split_heads(query, heads + 2 * own)
    return packed[:, :heads], packed[:, heads : heads + own], packed[:, heads + own :]


@dataclass(frozen=True)
class _Cache:
    """Where in each sample's keys the new ones go."""

    before: Tensor
    """(B): how many keys came before the new ones."""
    lengths: Tensor
    """(B): how many keys there are."""
    size: int
    """T: how many there is room for."""

    def positions(self, new: int) -> Tensor:
        """(B, S) of the new ones."""
        return self.before.unsqueeze(1) + torch.arange(new, device=self.before.device)

    def joined(self, past: Tensor | None, new: Tensor) -> Tensor:
        """(B, M, T, D): the past ones, the new ones behind them, and zeros."""
        behind = 0 if past is None else past.shape[2]
        source = new if past is None else torch.cat([past, new], 2)
        source = F.pad(source, (0, 0, 0, 1))
        places = torch.arange(self.size, device=new.device)
        before = self.before.unsqueeze(1)
        index = torch.where(places < before, places, behind + places - before)
        index = index.masked_fill(places >= before + new.shape[2], source.shape[2] - 1)
        return source.gather(2, index[:, None, :, None].expand(-1, source.shape[1], -1, source.shape[3]))


def _cache(q: Tensor, past: Tensor | None, seqlens: Tensor, total: int) -> _Cache:
    """Raises ValueError for lengths that do not fit the inputs."""
    new = q.shape[2]
    room = 0 if past is None else past.shape[2]
    lengths = seqlens.reshape(-1).long() + 1
    first = new == total  # a prompt: short samples are padded on the right
    before = torch.zeros_like(lengths) if first else lengths - new
    if lengths.numel() != q.shape[0] or total > room + new or bool(((before < 0) | (before > room)).any()):
        raise ValueError(f"seqlens_k {lengths.tolist()[:8]} does not fit {new} new keys and a cache of {room}")
    return _Cache(before, lengths, max(total, room))
