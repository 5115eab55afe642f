"""Conv, ConvTranspose, CausalConvWithState: one native convolution each. Layout: X (B, C, D1 … Dn), n = 1 … 3."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from gradcheck_cli.onnx_ops.registry import operator
from gradcheck_cli.onnx_ops.sliding_windows import pad, spatial_sizes, windows

_CONVOLUTIONS: dict[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED: dict[int, Callable[..., Tensor]] = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


@operator("Conv")
def conv(
    x: Tensor,
    w: Tensor,
    b: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Tensor:
    """Convolution of X (B, C, D1 … Dn) with W (M, C/group, K1 … Kn) and an optional bias (M)."""
    convolve = _by_rank(_CONVOLUTIONS, x)
    kernel = _kernel(w, kernel_shape)
    at = windows(x.shape[2:], kernel, strides=strides, pads=pads, dilations=dilations, auto_pad=auto_pad)
    if at.symmetric:
        return convolve(x, w, b, at.strides, at.begins, at.dilations, group)
    return convolve(pad(x, at.begins, at.ends), w, b, at.strides, 0, at.dilations, group)


@operator("ConvTranspose")
def conv_transpose(
    x: Tensor,
    w: Tensor,
    b: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    output_padding: Sequence[int] | None = None,
    output_shape: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Tensor:
    """Transposed convolution of X (B, C, D1 … Dn) with W (C, M/group, K1 … Kn).

    ``out = stride·(in - 1) + output_padding + (kernel - 1)·dilation + 1 - begin - end``; an `output_shape` fixes the padding.
    """
    convolve = _by_rank(_TRANSPOSED, x)
    kernel = _kernel(w, kernel_shape)
    sizes, n = spatial_sizes(x), x.dim() - 2
    strides, dilations = list(strides or [1] * n), list(dilations or [1] * n)
    extra = list(output_padding or [0] * n)[:n]
    full = [(size - 1) * s + (k - 1) * d + 1 for size, s, k, d in zip(sizes, strides, kernel, dilations, strict=True)]
    if output_shape is None and auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        output_shape = [size * s for size, s in zip(sizes, strides, strict=True)]
    if output_shape is not None:
        wanted = list(output_shape)[-n:]
        totals = [max(0, f + e - o) for f, e, o in zip(full, extra, wanted, strict=True)]
        begins = [t // 2 if auto_pad == "SAME_UPPER" else t - t // 2 for t in totals]
    else:
        given = list(pads or [0] * (2 * n)) if auto_pad in ("NOTSET", "") else [0] * (2 * n)
        begins = given[:n]
        wanted = [f + e - begin - end for f, e, begin, end in zip(full, extra, begins, given[n:], strict=True)]
    # What torch calls output_padding: how far the output goes beyond what symmetric padding leaves.
    beyond = [o - f + 2 * begin for o, f, begin in zip(wanted, full, begins, strict=True)]
    if min(begins) >= 0 and all(0 <= e < max(s, d) for e, s, d in zip(beyond, strides, dilations, strict=True)):
        return convolve(x, w, b, strides, begins, beyond, group, dilations)
    ends = [f - o - begin for o, f, begin in zip(wanted, full, begins, strict=True)]
    y = pad(convolve(x, w, None, strides, 0, 0, group, dilations), [-v for v in begins], [-v for v in ends])
    return y if b is None else y + b.reshape(-1, *[1] * n)


@operator("CausalConvWithState", since=27)
def causal_conv_with_state(
    x: Tensor, w: Tensor, b: Tensor | None = None, past: Tensor | None = None, *, activation: str = "none"
) -> tuple[Tensor, Tensor]:
    """Depthwise convolution of X (B, C, S) with W (C, 1, K) over the past only; also gives the last K - 1 positions."""
    reach = w.shape[-1] - 1
    seen = F.pad(x, (reach, 0)) if past is None else torch.cat([past, x], dim=2)
    y = F.conv1d(seen, w, b, groups=x.shape[1])
    if activation in ("silu", "swish"):
        y = F.silu(y)
    elif activation != "none":
        raise ValueError(f"activation {activation!r} is none of none, silu and swish")
    return y, seen[:, :, seen.shape[2] - reach :]


def _by_rank(table: dict[int, Callable[..., Tensor]], x: Tensor) -> Callable[..., Tensor]:
    n = len(spatial_sizes(x))
    if n not in table:
        raise ValueError(f"convolutions over {n} spatial axes are not supported, only over one to three")
    return table[n]


def _kernel(w: Tensor, declared: Sequence[int] | None) -> tuple[int, ...]:
    """The kernel's sizes. Raises ValueError where the attribute says otherwise."""
    kernel = tuple(w.shape[2:])
    if declared and tuple(declared) != kernel:
        raise ValueError(f"kernel_shape is {list(declared)}, but the weight's kernel is {list(kernel)}")
    return kernel
