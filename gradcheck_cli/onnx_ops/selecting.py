"""Operators that choose elements by their values or by conditions."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from gradcheck_cli.onnx_ops.axes import axis_of, scalar
from gradcheck_cli.onnx_ops.carriers import moves, taken, together
from gradcheck_cli.onnx_ops.registry import operator
from gradcheck_cli.onnx_ops.unsigned import ordered


@operator("TopK")
def top_k_first(x: Tensor, *, k: int, axis: int = -1) -> tuple[Tensor, Tensor]:
    """The k largest values along an axis in falling order, and where they are."""
    return _top(x, k, axis, largest=True)


@operator("TopK", since=10)
def top_k(
    x: Tensor,
    k: Tensor,
    *,
    axis: int = -1,
    largest: int = 1,
    sorted: int = 1,  # noqa: ARG001
) -> tuple[Tensor, Tensor]:
    """The k largest or smallest values along an axis, always sorted, and where they are."""
    return _top(x, scalar(k, "K"), axis, largest=bool(largest))


def _top(x: Tensor, k: int, axis: int, *, largest: bool) -> tuple[Tensor, Tensor]:
    axis = axis_of(axis, x.dim())
    if not 0 <= k <= x.shape[axis]:
        raise ValueError(f"there are no {k} values in axis {axis}, whose size is {x.shape[axis]}")
    # torch.topk gives equal values in any order; the standard wants the first one first.
    order = torch.argsort(ordered(x), dim=axis, descending=largest, stable=True).narrow(axis, 0, k)
    return together(lambda values: values.gather(axis, order), x), order


@operator("Unique", since=11)
def unique(x: Any, *, axis: int | None = None, sorted: int = 1) -> tuple[Any, Tensor, Tensor, Tensor]:
    """The different elements, or slices along an axis: them, where each is first, where each went, how often each is there."""
    along = 0 if axis is None else axis_of(axis, x.ndim)
    if isinstance(x, np.ndarray):
        ranks = torch.from_numpy(np.unique(x, return_inverse=True)[1]).reshape(x.shape)
    else:
        ranks = ordered(x.detach())
    keys = ranks.reshape(-1) if axis is None else ranks
    _, inverse, counts = torch.unique(keys, return_inverse=True, return_counts=True, dim=along)
    first = torch.full_like(counts, len(inverse)).scatter_reduce(0, inverse, torch.arange(len(inverse)), "amin")
    if not sorted:
        order = first.argsort()
        first, counts = first[order], counts[order]
        inverse = order.argsort()[inverse]
    data = x.reshape(-1) if axis is None else x
    return together(lambda values: values.index_select(along, first), data), first, inverse, counts


@operator("NonZero", since=9)
def non_zero(x: Any) -> Tensor:
    """Where the values are not 0: one row for each axis, one column for each of them."""
    if isinstance(x, np.ndarray):
        x = torch.from_numpy(x.astype(bool))
    found: Tensor = (x if x.dim() else x.reshape(1)).ne(0).nonzero().t()
    return found


@operator("Compress", since=9)
@moves
def compress(x: Tensor, condition: Tensor, *, axis: int | None = None) -> Tensor:
    """The slices along an axis, or the single elements, where the condition holds; it may be shorter than the axis."""
    if axis is None:
        x, axis = x.reshape(-1), 0
    axis = axis_of(axis, x.dim())
    places = condition.reshape(-1)[: x.shape[axis]].nonzero().reshape(-1)
    return x.index_select(axis, places.to(x.device))


@operator("OneHot", since=9)
def one_hot(indices: Tensor, depth: Tensor, values: Any, *, axis: int = -1) -> Any:
    """values[1] where the position along a new axis of size `depth` is the index, else values[0]."""
    classes = scalar(depth, "the depth")
    places = indices.to(torch.int64)
    axis = axis_of(axis, places.dim() + 1)
    positions = torch.arange(classes, device=places.device).reshape([-1] + [1] * (places.dim() - axis))
    hot = torch.where(places < 0, places + classes, places).unsqueeze(axis) == positions
    if isinstance(values, np.ndarray):
        return taken(values, hot.long())
    off, on = values.reshape(-1)
    return torch.where(hot, on, off)


@operator("Trilu", since=14)
@moves
def trilu(x: Tensor, k: Tensor | None = None, *, upper: int = 1) -> Tensor:
    """The values on and above the diagonal k of the last two axes, or on and below it; 0 elsewhere."""
    diagonal = max(-(2**31), min(2**31, scalar(k, "k"))) if k is not None else 0
    return x.triu(diagonal) if upper else x.tril(diagonal)
