"""Operators that write into a copy of a tensor at positions."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from gradcheck_cli.onnx_ops.axes import axis_of, wrapped
from gradcheck_cli.onnx_ops.carriers import together
from gradcheck_cli.onnx_ops.registry import operator

_REDUCTIONS = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}
"""The standard's names → torch's."""


@operator("Scatter", since=9)
@operator("ScatterElements", since=11)
def scatter_elements(x: Any, indices: Tensor, updates: Any, *, axis: int = 0, reduction: str = "none") -> Any:
    """`x` with each update at its own place but for `axis`, where the index says which; or added, multiplied … to it."""
    axis = axis_of(axis, x.ndim)
    places = wrapped(indices, x.shape[axis], f"axis {axis}")
    if tuple(places.shape) != tuple(updates.shape):
        raise ValueError(f"there are {tuple(updates.shape)} updates for {tuple(places.shape)} indices")
    if reduction == "none":
        return together(lambda data, new: data.scatter(axis, places.to(data.device), new), x, _alike(updates, x))
    return _reduced(x, axis, places.to(x.device), updates, reduction)


@operator("ScatterND", since=11)
def scatter_nd(x: Any, indices: Tensor, updates: Any, *, reduction: str = "none") -> Any:
    """`x` with the update at each place that the last axis of `indices` holds, an element or a slice; or added … to it."""
    depth = indices.shape[-1]
    if depth > x.ndim or tuple(updates.shape) != tuple(indices.shape[:-1]) + tuple(x.shape[depth:]):
        raise ValueError(
            f"{tuple(updates.shape)} updates at {tuple(indices.shape)} indices do not fit {tuple(x.shape)}"
        )
    places = [wrapped(each, x.shape[i], f"axis {i}") for i, each in enumerate(indices.unbind(-1))]
    if reduction == "none":
        return together(
            lambda data, new: data.index_put([each.to(data.device) for each in places], new), x, _alike(updates, x)
        )
    if reduction == "add":
        return x.index_put([each.to(x.device) for each in places], updates.to(x.dtype), accumulate=True)
    rows = torch.zeros(indices.shape[:-1], dtype=torch.int64)
    for extent, each in zip(x.shape[:depth], places, strict=True):
        rows = rows * extent + each
    width = math.prod(x.shape[depth:])
    index = rows.reshape(-1, 1).expand(-1, width).to(x.device)
    found = _reduced(x.reshape(-1, width), 0, index, updates.reshape(-1, width), reduction)
    return found.reshape(x.shape)


def _reduced(x: Tensor, axis: int, places: Tensor, updates: Tensor, reduction: str) -> Tensor:
    if reduction not in _REDUCTIONS:
        raise ValueError(f"the reduction {reduction!r} is none of none, {', '.join(_REDUCTIONS)}")
    if x.dtype is torch.bool:
        return _reduced(x.byte(), axis, places, updates.byte(), reduction).bool()
    if reduction == "add":
        return x.scatter_add(axis, places, updates.to(x.dtype))
    return x.scatter_reduce(axis, places, updates.to(x.dtype), _REDUCTIONS[reduction])


def _alike(updates: Any, x: Any) -> Any:
    return updates.to(x.dtype) if isinstance(updates, Tensor) else updates


@operator("TensorScatter", since=24)
def tensor_scatter(
    cache: Tensor, update: Tensor, write_indices: Tensor | None = None, *, axis: int = -2, mode: str = "linear"
) -> Tensor:
    """`cache` with `update` from position write_indices[b] of the axis on, around the end in mode circular."""
    axis = axis_of(axis, cache.dim())
    if axis == 0 or mode not in ("linear", "circular"):
        raise ValueError(f"the cache cannot be written along axis {axis} in mode {mode!r}")
    extent, steps = cache.shape[axis], update.shape[axis]
    starts = write_indices.long() if write_indices is not None else torch.zeros(cache.shape[0], dtype=torch.int64)
    places = starts.unsqueeze(1) + torch.arange(steps, device=starts.device)
    places = places % extent if mode == "circular" else wrapped(places, extent, f"axis {axis} of the cache")
    shape = [cache.shape[0]] + [1] * (cache.dim() - 1)
    shape[axis] = steps
    index = places.reshape(shape).expand(update.shape).to(cache.device)
    return together(lambda data, new: data.scatter(axis, index, new), cache, update)  # type: ignore[no-any-return]
