"""Operators that look at a shape or change it, without touching the values: all of them are views where torch has one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gradcheck_cli.onnx_ops.axes import axes_of, axis_of, integers
from gradcheck_cli.onnx_ops.carriers import moves
from gradcheck_cli.onnx_ops.registry import operator


@operator("Identity")
def identity(x: Any) -> Any:
    """The same value: a tensor, a sequence or an optional."""
    return x


@operator("Shape")
def shape(x: Any, *, start: int = 0, end: int | None = None) -> Tensor:
    """The sizes of the axes from `start` to before `end`; bounds beyond the rank are moved to it."""
    return torch.tensor(list(x.shape)[start:end], dtype=torch.int64)


@operator("Size")
def size(x: Any) -> Tensor:
    """How many elements: 0-d."""
    return torch.tensor(math.prod(x.shape), dtype=torch.int64)


@operator("Reshape")
@moves
def reshape_by_attribute(x: Tensor, *, shape: Sequence[int] = (), consumed_inputs: Sequence[int] = ()) -> Tensor:  # noqa: ARG001
    """The values in another shape; 0 keeps an axis, −1 is what remains."""
    return reshaped(x, list(shape), keep_zeros=False)


@operator("Reshape", since=5)
@moves
def reshape(x: Tensor, shape: Tensor, *, allowzero: int = 0) -> Tensor:
    """The values in another shape; 0 keeps an axis (or is empty, with `allowzero`), −1 is what remains."""
    return reshaped(x, integers(shape), keep_zeros=bool(allowzero))


def reshaped(x: Tensor, sizes: list[int], *, keep_zeros: bool) -> Tensor:
    """`x` in the shape that Reshape means by `sizes`. Raises ValueError where there is none."""
    if not keep_zeros:
        if any(extent == 0 for extent in sizes[x.dim() :]):
            raise ValueError(f"the shape {sizes} keeps an axis that the input of {x.dim()} dimensions does not have")
        sizes = [x.shape[axis] if extent == 0 else extent for axis, extent in enumerate(sizes)]
    if -1 in sizes and not x.numel():  # torch does not divide nothing by nothing
        rest = math.prod(extent for extent in sizes if extent != -1)
        if not rest:
            raise ValueError(f"in the shape {sizes} of an empty tensor, −1 can be anything")
        sizes = [0 if extent == -1 else extent for extent in sizes]
    return x.reshape(sizes)


@operator("Flatten")
@moves
def flatten(x: Tensor, *, axis: int = 1) -> Tensor:
    """(d0 · … · d(axis−1), d(axis) · …)."""
    if not -x.dim() <= axis <= x.dim():
        raise ValueError(f"there is no axis {axis} in a tensor of {x.dim()} dimensions")
    axis = axis + x.dim() if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


@operator("Squeeze")
@moves
def squeeze_by_attribute(x: Tensor, *, axes: Sequence[int] | None = None) -> Tensor:
    """Without axes of size 1: those named, or all."""
    return _squeezed(x, axes)


@operator("Squeeze", since=13)
@moves
def squeeze(x: Tensor, axes: Tensor | None = None) -> Tensor:
    """Without axes of size 1: those named, or all."""
    return _squeezed(x, integers(axes) if axes is not None else None)


def _squeezed(x: Tensor, axes: Sequence[int] | None) -> Tensor:
    if not axes:
        return x.squeeze()
    places = axes_of(axes, x.dim())
    wide = [axis for axis in places if x.shape[axis] != 1]
    if wide:
        raise ValueError(f"axis {wide[0]} cannot be squeezed: its size is {x.shape[wide[0]]}")
    return x.squeeze(tuple(places))


@operator("Unsqueeze")
@moves
def unsqueeze_by_attribute(x: Tensor, *, axes: Sequence[int]) -> Tensor:
    """With axes of size 1 where the result has those of `axes`."""
    return _unsqueezed(x, axes)


@operator("Unsqueeze", since=13)
@moves
def unsqueeze(x: Tensor, axes: Tensor) -> Tensor:
    """With axes of size 1 where the result has those of `axes`."""
    return _unsqueezed(x, integers(axes))


def _unsqueezed(x: Tensor, axes: Sequence[int]) -> Tensor:
    for axis in sorted(axes_of(axes, x.dim() + len(axes))):
        x = x.unsqueeze(axis)
    return x


@operator("Transpose")
@moves
def transpose(x: Tensor, *, perm: Sequence[int] | None = None) -> Tensor:
    """The axes in the order `perm`, or reversed."""
    return x.permute(tuple(perm) if perm is not None else tuple(range(x.dim()))[::-1])


@operator("Expand", since=8)
@moves
def expand(x: Tensor, shape: Tensor) -> Tensor:
    """Broadcast with `shape` in both directions: a view, nothing is copied."""
    sizes: torch.Size = torch.broadcast_shapes(x.shape, tuple(integers(shape)))  # type: ignore[no-untyped-call]
    return x.expand(sizes)


@operator("Tile")
@moves
def tile_axis(x: Tensor, tiles: Tensor, axis: Tensor) -> Tensor:
    """`tiles` copies one after the other along one axis."""
    repeats = [1] * x.dim()
    repeats[axis_of(int(axis.item()), x.dim())] = int(tiles.item())
    return x.repeat(repeats)


@operator("Tile", since=6)
@moves
def tile(x: Tensor, repeats: Tensor) -> Tensor:
    """As many copies along each axis as `repeats` says."""
    counts = integers(repeats)
    if len(counts) != x.dim():
        raise ValueError(f"there are {len(counts)} repeats for {x.dim()} axes")
    return x.repeat(counts)
