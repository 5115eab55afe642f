"""Operators that the standard had on trial up to its opset 8, and that ONNX Runtime still runs: old image models have them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from gradcheck_cli.onnx_ops.registry import operator


@operator("Affine")
def affine(x: Tensor, *, alpha: float = 1.0, beta: float = 0.0) -> Tensor:
    """alpha·x + beta."""
    return alpha * x + beta


@operator("Scale")
def scale(x: Tensor, *, scale: float = 1.0) -> Tensor:
    """scale·x."""
    return x * scale


@operator("ScaledTanh")
def scaled_tanh(x: Tensor, *, alpha: float, beta: float) -> Tensor:
    """alpha·tanh(beta·x)."""
    return alpha * torch.tanh(beta * x)


@operator("ParametricSoftplus")
def parametric_softplus(x: Tensor, *, alpha: float, beta: float) -> Tensor:
    """alpha·ln(1 + e^(beta·x))."""
    return alpha * F.softplus(beta * x)


@operator("ImageScaler")
def image_scaler(x: Tensor, *, bias: Sequence[float] = (), scale: float = 1.0) -> Tensor:
    """scale·x + bias, one a channel of (B, C, H, W)."""
    y = x * scale
    return y + torch.tensor(bias).to(x).reshape(-1, 1, 1) if bias else y


@operator("Crop")
def crop(x: Tensor, *, border: Sequence[int] = (), scale: Sequence[int] = ()) -> Tensor:
    """(B, C, H, W) without its left, top, right and bottom `border`; or, from the first two on, a piece of `scale` (H, W)."""
    if len(border) != 4 or len(scale) not in (0, 2):
        raise ValueError("border must have four values, and scale two if any")
    left, top, right, bottom = border
    height, width = scale or (x.shape[2] - top - bottom, x.shape[3] - left - right)
    if min(left, top) < 0 or not (0 < height <= x.shape[2] - top and 0 < width <= x.shape[3] - left):
        raise ValueError(f"a piece of {height} × {width} does not lie in a picture of {x.shape[2]} × {x.shape[3]}")
    return x[:, :, top : top + height, left : left + width]
