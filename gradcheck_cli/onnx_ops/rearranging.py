"""Operators that only move values between positions and channels: blocks, crops, unpooling, overlapping columns."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from gradcheck_cli.onnx_ops.registry import operator
from gradcheck_cli.onnx_ops.sliding_windows import pad, spatial_sizes, windows


@operator("DepthToSpace")
def depth_to_space(x: Tensor, *, blocksize: int, mode: str = "DCR") -> Tensor:
    """(B, C·k², H, W) → (B, C, H·k, W·k); the k² lie outside C in mode DCR, inside in CRD."""
    if mode == "CRD":
        return F.pixel_shuffle(x, blocksize)
    if mode != "DCR":
        raise ValueError(f"mode {mode!r} is neither DCR nor CRD")
    b, c, h, w = x.shape
    blocks = x.reshape(b, blocksize, blocksize, c // blocksize**2, h, w).permute(0, 3, 4, 1, 5, 2)
    return blocks.reshape(b, c // blocksize**2, h * blocksize, w * blocksize)


@operator("SpaceToDepth")
def space_to_depth(x: Tensor, *, blocksize: int, mode: str = "DCR") -> Tensor:
    """(B, C, H·k, W·k) → (B, C·k², H, W): the inverse of DepthToSpace."""
    if mode == "CRD":
        return F.pixel_unshuffle(x, blocksize)
    if mode != "DCR":
        raise ValueError(f"mode {mode!r} is neither DCR nor CRD")
    b, c, h, w = x.shape
    blocks = x.reshape(b, c, h // blocksize, blocksize, w // blocksize, blocksize).permute(0, 3, 5, 1, 2, 4)
    return blocks.reshape(b, c * blocksize**2, h // blocksize, w // blocksize)


@operator("CenterCropPad", since=18)
def center_crop_pad(x: Tensor, shape: Tensor, *, axes: Sequence[int] | None = None) -> Tensor:
    """Crop, or pad with zeros, to `shape` around the centre; the odd one goes behind."""
    targets = list(x.shape)
    for axis, size in zip(range(x.dim()) if axes is None else axes, shape.tolist(), strict=True):
        targets[axis] = int(size)
    begins = [(t - s) // 2 if t >= s else -((s - t) // 2) for t, s in zip(targets, x.shape, strict=True)]
    return pad(x, begins, [t - s - begin for t, s, begin in zip(targets, x.shape, begins, strict=True)])


@operator("MaxUnpool", since=9)
def max_unpool(
    x: Tensor,
    indices: Tensor,
    output_shape: Tensor | None = None,
    *,
    kernel_shape: Sequence[int],
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Tensor:
    """Put each value where its flat index says, zeros elsewhere; a larger `output_shape` adds zeros behind."""
    n = len(spatial_sizes(x))
    strides, pads = strides or [1] * n, pads or [0] * (2 * n)
    inferred = [(x.shape[i + 2] - 1) * strides[i] + kernel_shape[i] - pads[i] - pads[n + i] for i in range(n)]
    shape = [*x.shape[:2], *inferred]
    y = x.new_zeros(math.prod(shape)).scatter(0, indices.flatten(), x.flatten()).reshape(shape)
    if output_shape is None:
        return y
    return pad(y, [0] * len(shape), [int(o) - s for o, s in zip(output_shape.tolist(), shape, strict=True)])


@operator("Col2Im", since=18)
def col2im(
    x: Tensor,
    image_shape: Tensor,
    block_shape: Tensor,
    *,
    dilations: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Tensor:
    """(B, C·|block|, L) → (B, C, *image): overlapping blocks are added up; ``F.fold`` where it can, over any number of axes."""
    sizes, kernel = image_shape.tolist(), block_shape.tolist()
    at = windows(sizes, kernel, strides=strides, pads=pads, dilations=dilations)
    if x.dim() != 3 or x.shape[2] != math.prod(at.outputs) or x.shape[1] % math.prod(kernel):
        raise ValueError(f"blocks of {kernel} in an image of {sizes} make {math.prod(at.outputs)} columns")
    if len(sizes) == 2 and at.symmetric:
        return F.fold(x, at.sizes, at.kernel, at.dilations, at.begins, at.strides)
    padded = [size + begin + end for size, begin, end in zip(sizes, at.begins, at.ends, strict=True)]
    places = torch.zeros((), dtype=torch.int64, device=x.device)
    for axis, size in enumerate(padded):
        within = torch.arange(kernel[axis], device=x.device) * at.dilations[axis]
        starts = torch.arange(at.outputs[axis], device=x.device) * at.strides[axis]
        along = (within[:, None] + starts).reshape(
            _at_axis(kernel[axis], axis, len(sizes)) + _at_axis(len(starts), axis, len(sizes))
        )
        places = places * size + along
    channels = x.shape[1] // math.prod(kernel)
    flat = x.new_zeros(x.shape[0], channels, math.prod(padded))
    image = flat.index_add(2, places.flatten(), x.reshape(x.shape[0], channels, -1)).reshape(
        x.shape[0], channels, *padded
    )
    return pad(image, [-begin for begin in at.begins], [-end for end in at.ends])


def _at_axis(size: int, axis: int, axes: int) -> list[int]:
    return [size if i == axis else 1 for i in range(axes)]
