"""Operators that read a tensor at positions: by bounds and steps, or by tensors of indices."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from gradcheck_cli.onnx_ops.axes import axes_of, axis_of, integers, wrapped
from gradcheck_cli.onnx_ops.carriers import moves
from gradcheck_cli.onnx_ops.registry import operator


@operator("Slice")
@moves
def slice_by_attribute(x: Tensor, *, starts: Sequence[int], ends: Sequence[int], axes: Sequence[int] = ()) -> Tensor:
    """x[start:end] along each axis named, or along the first ones."""
    return _sliced(x, starts, ends, axes or range(len(starts)), [1] * len(starts))


@operator("Slice", since=10)
@moves
def slice_(x: Tensor, starts: Tensor, ends: Tensor, axes: Tensor | None = None, steps: Tensor | None = None) -> Tensor:
    """x[start:end:step] along each axis named, or along the first ones; views, unless a step is negative."""
    count = starts.numel()
    places = integers(axes) if axes is not None else range(count)
    return _sliced(x, integers(starts), integers(ends), places, integers(steps) if steps is not None else [1] * count)


def _sliced(x: Tensor, starts: Sequence[int], ends: Sequence[int], axes: Sequence[int], steps: Sequence[int]) -> Tensor:
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise ValueError(
            f"{len(starts)} starts, {len(ends)} ends, {len(axes)} axes and {len(steps)} steps do not match"
        )
    if 0 in steps:
        raise ValueError("the steps of a Slice cannot be 0")
    index = [slice(None)] * x.dim()
    backward = []
    for axis, start, end, step in zip(axes_of(axes, x.dim()), starts, ends, steps, strict=True):
        extent = x.shape[axis]
        first, last, _ = slice(start, end, step).indices(extent)
        if step < 0:  # torch has no backward slices: turn the axis around and go forward
            backward.append(axis)
            first, last = extent - 1 - first, extent - 1 - last
        index[axis] = slice(first, max(first, last), abs(step))
    return (x.flip(backward) if backward else x)[tuple(index)]


@operator("Gather")
@moves
def gather(x: Tensor, indices: Tensor, *, axis: int = 0) -> Tensor:
    """x[…, indices, …]: the axis is replaced by the axes of `indices`."""
    axis = axis_of(axis, x.dim())
    places = wrapped(indices, x.shape[axis], f"axis {axis}").to(x.device)
    if not places.dim():
        return x.select(axis, int(places))
    if x.dim() == 2 and axis == 0 and x.is_floating_point():
        return F.embedding(places, x)
    shape = x.shape[:axis] + places.shape + x.shape[axis + 1 :]
    return x.index_select(axis, places.reshape(-1)).reshape(shape)


@operator("GatherElements", since=11)
@moves
def gather_elements(x: Tensor, indices: Tensor, *, axis: int = 0) -> Tensor:
    """For each element of `indices`, that of `x` at the same place but for `axis`, where the index says which."""
    axis = axis_of(axis, x.dim())
    return x.gather(axis, wrapped(indices, x.shape[axis], f"axis {axis}").to(x.device))


@operator("GatherND", since=11)
@moves
def gather_nd(x: Tensor, indices: Tensor, *, batch_dims: int = 0) -> Tensor:
    """x[batch, indices[batch, …, :], …]: the last axis of `indices` holds places in the axes after the batch ones."""
    batch, depth = batch_dims, indices.shape[-1]
    if x.shape[:batch] != indices.shape[:batch]:
        raise ValueError(f"the first {batch} axes of data and indices differ: {tuple(x.shape)}, {tuple(indices.shape)}")
    if not 1 <= depth <= x.dim() - batch:
        raise ValueError(
            f"indices of {depth} numbers do not fit a tensor of {x.dim()} dimensions, {batch} of them batches"
        )
    places = tuple(
        wrapped(each, x.shape[batch + i], f"axis {batch + i}").to(x.device) for i, each in enumerate(indices.unbind(-1))
    )
    if not batch:
        return x[places]
    count = math.prod(x.shape[:batch])
    rows = torch.arange(count, device=x.device).unsqueeze(1)
    flat = tuple(each.reshape(count, math.prod(each.shape[batch:])) for each in places)
    found = x.reshape(count, *x.shape[batch:])[(rows, *flat)]
    return found.reshape(indices.shape[:-1] + x.shape[batch + depth :])


@operator("ReverseSequence", since=10)
@moves
def reverse_sequence(x: Tensor, lengths: Tensor, *, batch_axis: int = 1, time_axis: int = 0) -> Tensor:
    """The first `lengths[b]` steps of each sequence b in reverse, the others as they are."""
    time, batch = axis_of(time_axis, x.dim()), axis_of(batch_axis, x.dim())
    ends = lengths.long().to(x.device)
    if time == batch or ends.shape != x.shape[batch : batch + 1]:
        raise ValueError(f"{tuple(ends.shape)} lengths do not fit the batch axis {batch} of {tuple(x.shape)}")
    if ends.numel() and not 0 <= int(ends.min()) <= int(ends.max()) <= x.shape[time]:
        raise ValueError(f"a sequence cannot be longer than the {x.shape[time]} steps there are, nor negative")
    steps = torch.arange(x.shape[time], device=x.device).unsqueeze(1)
    places = torch.where(steps < ends, ends - 1 - steps, steps)
    columns = torch.arange(len(ends), device=x.device)
    return x.movedim((time, batch), (0, 1))[places, columns].movedim((0, 1), (time, batch))
