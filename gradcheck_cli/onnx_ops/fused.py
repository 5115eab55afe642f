"""Operators of our own, for what exporters spell out and the user wrote as one call."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from gradcheck_cli.onnx_ops.registry import FUSED, operator


@operator("ScaledDotProductAttention", domain=FUSED)
def scaled_dot_product_attention(
    q: Tensor, kt: Tensor, v: Tensor, s1: Tensor, s2: Tensor, mask: Tensor | None = None
) -> Tensor:
    """softmax(s1·s2·q·kt + mask)·v; q (…, S, D), kt (…, D, S'), v (…, S', E), s1 and s2 single numbers."""
    scale = float(s1.detach() * s2.detach())
    return F.scaled_dot_product_attention(q, kt.transpose(-1, -2), v, attn_mask=mask, scale=scale)
