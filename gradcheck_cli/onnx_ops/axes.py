"""Axes and indices as the standard counts them: negative ones from the end."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor


def axis_of(axis: int, rank: int) -> int:
    """The axis counted from the front, 0 … rank − 1. Raises ValueError where there is none."""
    if not -rank <= axis < rank:
        raise ValueError(f"there is no axis {axis} in a tensor of {rank} dimensions")
    return axis % rank


def axes_of(axes: Iterable[int], rank: int) -> list[int]:
    """Several axes counted from the front, in their order. Raises ValueError for one that is missing or there twice."""
    found = [axis_of(axis, rank) for axis in axes]
    if len(set(found)) < len(found):
        raise ValueError(f"the axes {list(axes)} name one axis twice")
    return found


def integers(values: Tensor) -> list[int]:
    """The values of a tensor of integers, of any shape."""
    return [int(value) for value in values.reshape(-1).tolist()]


def scalar(value: Tensor, what: str) -> int:
    """The one integer in a tensor of any shape. Raises ValueError where it holds several or none."""
    if value.numel() != 1:
        raise ValueError(f"{what} must be one number, not {value.numel()}")
    return int(value.item())


def wrapped(indices: Tensor, size: int, what: str) -> Tensor:
    """Indices as int64, negative ones counted from the end of an axis of `size`. Raises ValueError for one beyond it."""
    indices = indices.long()
    if not indices.numel():
        return indices
    low, high = (int(bound) for bound in indices.aminmax())
    if low < -size or high >= size:
        raise ValueError(f"the index {low if low < -size else high} lies outside of {what}, which has {size} positions")
    return indices if low >= 0 else indices.where(indices >= 0, indices + size)
