"""Elements that torch cannot move: strings, float8, the wide unsigned integers. Decorated operators move them all the same."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

Function = TypeVar("Function", bound=Callable[..., Any])

CARRIER = {
    torch.uint16: torch.int16,
    torch.uint32: torch.int32,
    torch.uint64: torch.int64,
    torch.float8_e4m3fn: torch.uint8,
    torch.float8_e4m3fnuz: torch.uint8,
    torch.float8_e5m2: torch.uint8,
    torch.float8_e5m2fnuz: torch.uint8,
    torch.float8_e8m0fnu: torch.uint8,
}
"""Dtypes for which torch has few kernels → one of the same width that has all."""


def moves(function: Function) -> Function:
    """For operators that only move the elements of their first input, or repeat or leave out some."""
    place = 1 if next(iter(inspect.signature(function).parameters)) == "call" else 0

    @functools.wraps(function)
    def run(*inputs: Any, **attributes: Any) -> Any:
        data = inputs[place]
        if isinstance(data, Tensor) and data.dtype not in CARRIER:
            return function(*inputs, **attributes)
        before, after = inputs[:place], inputs[place + 1 :]
        return together(lambda each: function(*before, each, *after, **attributes), data)

    return cast(Function, run)


def together(function: Callable[..., Any], *data: Any) -> Any:
    """Call a function that only moves the elements of `data`, which are of one type.

    Strings, which are numpy arrays of objects here, are moved by their positions; dtypes without kernels by their bits.
    """
    first = data[0]
    if isinstance(first, np.ndarray):
        positions = torch.split(torch.arange(sum(each.size for each in data)), [each.size for each in data])
        flat = np.concatenate([each.ravel() for each in data])
        found = function(*(places.reshape(each.shape) for places, each in zip(positions, data, strict=True)))
        return _each(found, functools.partial(taken, flat))
    if first.dtype in CARRIER:
        found = function(*(each.view(CARRIER[first.dtype]) for each in data))
        return _each(found, lambda result: result.view(first.dtype))
    return function(*data)


def taken(flat: np.ndarray[Any, Any], positions: Tensor) -> np.ndarray[Any, Any]:
    """The elements of a 1-D array of objects at `positions`, in their shape."""
    found = np.empty(tuple(positions.shape), dtype=object)
    found[...] = flat[positions.cpu().numpy()]
    return found


def _each(found: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(found, (tuple, list)):
        return type(found)(change(item) for item in found)
    return change(found)
