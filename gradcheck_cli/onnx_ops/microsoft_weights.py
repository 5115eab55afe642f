"""com.microsoft: operators whose weights are stored in fewer bits: QAttention, QEmbedLayerNormalization, GatherBlockQuantized …

The weights are dequantised first, so that what follows is the operator on floats, and the gradient its own.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from gradcheck_cli.onnx_ops.axes import axis_of, wrapped
from gradcheck_cli.onnx_ops.convolution import causal_conv_with_state
from gradcheck_cli.onnx_ops.microsoft_attention import attention_microsoft
from gradcheck_cli.onnx_ops.microsoft_norms import embed_layer_normalization
from gradcheck_cli.onnx_ops.packed_weights import unpacked
from gradcheck_cli.onnx_ops.quantisation import dequantised, fitted
from gradcheck_cli.onnx_ops.registry import MICROSOFT, Call, operator

_NF4 = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip
"""Quantiles of the normal distribution. Source: Dettmers 2023, QLoRA, appendix E."""
_FP4_POSITIVE = (0.0, 0.0625 / 12, 8 / 12, 1.0, 4 / 12, 6 / 12, 2 / 12, 3 / 12)
_FP4 = (*_FP4_POSITIVE, *(-value for value in _FP4_POSITIVE))


@operator("QAttention", domain=MICROSOFT)
def q_attention(
    call: Call,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    x_scale: Tensor,
    weight_scale: Tensor,
    mask_index: Tensor | None = None,
    x_zero_point: Tensor | None = None,
    weight_zero_point: Tensor | None = None,
    past: Tensor | None = None,
    *,
    do_rotary: int = 0,
    mask_filter_value: float = -10000.0,
    num_heads: int,
    past_present_share_buffer: int = 0,
    scale: float | None = None,
    unidirectional: int = 0,
) -> tuple[Tensor, Tensor | None]:
    """Attention of an input and weights of 8 bits; the weights' scale may be one a column."""
    return attention_microsoft(
        call, dequantised(x, x_scale, x_zero_point), dequantised(weight, weight_scale, weight_zero_point), bias,
        mask_index, past, do_rotary=do_rotary, mask_filter_value=mask_filter_value, num_heads=num_heads,
        past_present_share_buffer=past_present_share_buffer, scale=scale, unidirectional=unidirectional,
    )  # fmt: skip


@operator("QEmbedLayerNormalization", domain=MICROSOFT)
def q_embed_layer_normalization(
    input_ids: Tensor,
    segment_ids: Tensor | None,
    word_embedding: Tensor,
    position_embedding: Tensor,
    segment_embedding: Tensor | None,
    gamma: Tensor,
    beta: Tensor,
    mask: Tensor | None,
    *steps: Tensor | None,
    epsilon: float = 1e-12,
) -> tuple[Tensor | None, ...]:
    """EmbedLayerNormalization of tables of 8 bits; `steps`: the scales of the five tables, then their zero points."""
    if len(steps) != 10:
        raise ValueError(f"{len(steps)} scales and zero points for five tables")
    tables = (word_embedding, position_embedding, segment_embedding, gamma, beta)
    word, position, segment, gain, shift = (
        None if table is None or scale is None else dequantised(table, scale, zero)
        for table, scale, zero in zip(tables, steps[:5], steps[5:], strict=True)
    )
    if word is None or position is None or gain is None or shift is None:
        raise ValueError("a scale is missing")
    return embed_layer_normalization(
        input_ids, segment_ids, word, position, segment, gain, shift, mask, epsilon=epsilon
    )


@operator("GatherBlockQuantized", domain=MICROSOFT)
def gather_block_quantized(
    data: Tensor,
    indices: Tensor,
    scales: Tensor,
    zero_points: Tensor | None = None,
    *,
    bits: int = 4,
    block_size: int = 128,
    gather_axis: int = 0,
    quantize_axis: int = 1,
) -> Tensor:
    """Gather of rows whose blocks along `quantize_axis` have a scale and a zero point each; bytes hold 8/bits numbers."""
    if bits not in (2, 4, 8) or block_size < 1:
        raise ValueError(f"{bits} bits in blocks of {block_size} are not supported")
    gathered, along = axis_of(gather_axis, data.dim()), axis_of(quantize_axis, data.dim())
    zero: Tensor | None = zero_points
    if _is_packed(data, scales, bits, along, block_size):
        data = unpacked(data, bits)
        zero = torch.tensor(2 ** (bits - 1)) if zero_points is None else unpacked(zero_points, bits)
        zero = zero if zero.dim() == 0 else zero.narrow(-1, 0, scales.shape[-1])
    places = wrapped(indices.reshape(-1), data.shape[gathered], "the axis of the rows")
    rows = data.index_select(gathered, places)
    scale = fitted(scales.index_select(gathered, places), rows, along, block_size)
    if zero is not None and zero.dim():
        zero = fitted(zero.index_select(gathered, places), rows, along, block_size)
    found = dequantised(rows, scale, zero).to(scales.dtype)
    return found.reshape(*found.shape[:gathered], *indices.shape, *found.shape[gathered + 1 :])


def _is_packed(data: Tensor, scales: Tensor, bits: int, along: int, block: int) -> bool:
    """Whether bytes hold several numbers: types of less than a byte are held as bytes, too, and only the scales tell."""
    if data.dtype != torch.uint8:
        return False
    held = data.shape[along] * (8 // bits if along == data.dim() - 1 else 1)
    return -(-held // block) == scales.shape[along]


@operator("MatMulBnb4", domain=MICROSOFT)
def matmul_bnb4(
    a: Tensor,
    b: Tensor,
    absmax: Tensor,
    *,
    K: int,  # noqa: N803
    N: int,  # noqa: N803
    block_size: int,
    quant_type: int,
    training_mode: int = 0,  # noqa: ARG001 - the same values
    transB: int = 1,  # noqa: N803
) -> Tensor:
    """A Wᵀ (A W without `transB`), W (N, K) in blocks of its flat values, each a table's value times the block's largest."""
    if quant_type not in (0, 1) or block_size < 1 or b.numel() * 2 < N * K:
        raise ValueError(f"the weights are no {N} × {K} numbers of 4 bits in blocks of {block_size}")
    table = torch.tensor(_NF4 if quant_type else _FP4, dtype=absmax.dtype, device=b.device)
    nibbles = torch.stack([b.reshape(-1) >> 4, b.reshape(-1) & 15], -1).flatten()[: N * K]
    weight = table[nibbles.long()] * absmax.repeat_interleave(block_size)[: N * K]
    weight = weight.reshape(N, K).to(a.dtype)
    return F.linear(a, weight) if transB else a @ weight


@operator("CausalConvWithState", domain=MICROSOFT)
def causal_conv_with_state_microsoft(
    x: Tensor,
    w: Tensor,
    b: Tensor | None = None,
    past: Tensor | None = None,
    *,
    activation: str = "none",
    channels_last: int = 0,
    dilation: int = 1,
    ndim: int = 1,
    state_window: int = 0,
) -> tuple[Tensor, Tensor]:
    """The standard's operator, over one axis and with adjoining taps."""
    if ndim != 1 or dilation != 1 or state_window:
        raise ValueError("only one spatial axis, no dilation and no window of states are supported")
    if not channels_last:
        return causal_conv_with_state(x, w, b, past, activation=activation)
    y, state = causal_conv_with_state(
        x.transpose(1, 2), w, b, None if past is None else past.transpose(1, 2), activation=activation
    )
    return y.transpose(1, 2), state.transpose(1, 2)
