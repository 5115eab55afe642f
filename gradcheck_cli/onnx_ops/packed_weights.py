"""com.microsoft: weights of 2, 4 or 8 bits, several in a byte: MatMulNBits."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from gradcheck_cli.onnx_ops.registry import MICROSOFT, operator


@operator("MatMulNBits", domain=MICROSOFT)
def matmul_n_bits(
    a: Tensor,
    b: Tensor,
    scales: Tensor,
    zero_points: Tensor | None = None,
    g_idx: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    K: int,  # noqa: N803
    N: int,  # noqa: N803
    accuracy_level: int = 0,  # noqa: ARG001 - how A is rounded on the way
    bits: int = 4,
    block_size: int,
    weight_prepacked: int = 0,
) -> Tensor:
    """A Wᵀ + bias, W (N, K) from blocks along K, each with a scale and a zero point; A (…, K)."""
    if bits not in (2, 4, 8) or block_size < 1 or g_idx is not None or weight_prepacked:
        raise ValueError("only weights of 2, 4 or 8 bits in consecutive blocks, not packed for a device, are supported")
    blocks = -(-K // block_size)
    values = unpacked(b.reshape(N, -1), bits)[:, : blocks * block_size].reshape(N, blocks, block_size).to(scales.dtype)
    if zero_points is None:
        zero = torch.tensor(float(2 ** (bits - 1)), dtype=scales.dtype)
    elif zero_points.dtype == torch.uint8:
        zero = unpacked(zero_points.reshape(N, -1), bits)[:, :blocks].to(scales.dtype).unsqueeze(-1)
    else:
        zero = zero_points.reshape(N, blocks, 1).to(scales.dtype)
    weight = ((values - zero) * scales.reshape(N, blocks, 1)).flatten(1)[:, :K]
    return F.linear(a, weight.to(a.dtype), bias)


def unpacked(x: Tensor, bits: int) -> Tensor:
    """Bytes (…, n) as the numbers in them (…, n·8/bits), the lowest bits first."""
    shifts = torch.arange(0, 8, bits, device=x.device, dtype=torch.uint8)
    numbers: Tensor = (x.unsqueeze(-1) >> shifts) & (2**bits - 1)
    return numbers.flatten(-2)
