"""QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear (see `quantisation` for how gradients pass)."""

from __future__ import annotations

import torch
from torch import Tensor

from gradcheck_cli.onnx_ops.element_types import torch_dtype
from gradcheck_cli.onnx_ops.quantisation import dequantised, fitted, kind_of, quantised, wide
from gradcheck_cli.onnx_ops.registry import MICROSOFT, operator


@operator("QuantizeLinear", domain=MICROSOFT)
@operator("QuantizeLinear", since=10)
def quantize_linear(
    x: Tensor,
    y_scale: Tensor,
    y_zero_point: Tensor | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
    precision: int = 0,  # noqa: ARG001 - float32 at least holds every other
    saturate: int = 1,
) -> Tensor:
    """saturate(round(x / scale) + zero point): for the whole tensor, along `axis`, or in blocks along it."""
    scale = fitted(y_scale, x, axis, block_size)
    zero = None if y_zero_point is None else fitted(y_zero_point, x, axis, block_size)
    return quantised(x, scale, zero, kind_of(y_zero_point, output_dtype), saturate=bool(saturate))


@operator("DequantizeLinear", domain=MICROSOFT)
@operator("DequantizeLinear", since=10)
def dequantize_linear(
    x: Tensor,
    x_scale: Tensor,
    x_zero_point: Tensor | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
) -> Tensor:
    """(x − zero point)·scale, in the scale's dtype if no other is asked for."""
    scale = fitted(x_scale, x, axis, block_size)
    zero = None if x_zero_point is None else fitted(x_zero_point, x, axis, block_size)
    return dequantised(x, scale, zero).to(torch_dtype(output_dtype) if output_dtype else x_scale.dtype)


@operator("DynamicQuantizeLinear", since=11)
def dynamic_quantize_linear(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x as uint8, with the scale and zero point that fit its range; for the gradient these are constants."""
    scale, zero = dynamic_range(x)
    return quantised(x, scale, zero), scale, zero


def dynamic_range(x: Tensor) -> tuple[Tensor, Tensor]:
    """Scale and zero point (uint8) with which 0 … 255 spans x and 0."""
    values = wide(x.detach())
    zero = values.new_zeros(())
    low, high = (torch.minimum(values.amin(), zero), torch.maximum(values.amax(), zero)) if x.numel() else (zero, zero)
    scale = (high - low) / 255.0
    scale = torch.where(scale == 0, 1.0, scale)
    return scale, torch.round(-low / scale).clamp(0, 255).to(torch.uint8)
