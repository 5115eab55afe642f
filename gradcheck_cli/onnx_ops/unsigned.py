"""Unsigned integers of 16, 32 and 64 bits, for which torch has few kernels: decorators that compute in int64."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

Function = TypeVar("Function", bound=Callable[..., Any])

WIDE = frozenset({torch.uint16, torch.uint32, torch.uint64})
_SIGN_BIT = torch.iinfo(torch.int64).min


def by_int64(function: Function) -> Function:
    """Compute in int64 and cast back: right modulo 2^bits, as sums and products are."""

    @functools.wraps(function)
    def run(first: Any, *others: Any, **attributes: Any) -> Any:
        if first.dtype not in WIDE:
            return function(first, *others, **attributes)
        return function(first.to(torch.int64), *map(_wrapped, others), **attributes).to(first.dtype)

    return cast(Function, run)


def ordered_inputs(function: Function) -> Function:
    """Give the function int64 values in the same order: for comparisons, whose results are no such values."""

    @functools.wraps(function)
    def run(first: Any, *others: Any, **attributes: Any) -> Any:
        if first.dtype not in WIDE:
            return function(first, *others, **attributes)
        return function(ordered(first), *map(ordered, others), **attributes)

    return cast(Function, run)


def ordered_values(function: Function) -> Function:
    """The same for functions that give some of these values back, such as a maximum."""

    @functools.wraps(function)
    def run(first: Any, *others: Any, **attributes: Any) -> Any:
        if first.dtype not in WIDE:
            return function(first, *others, **attributes)
        result = function(ordered(first), *map(ordered, others), **attributes)
        return (result ^ _SIGN_BIT if first.dtype is torch.uint64 else result).to(first.dtype)

    return cast(Function, run)


def ordered(value: Any) -> Any:
    """Int64 values that compare as the unsigned ones do; everything else as it is."""
    if not isinstance(value, Tensor) or value.dtype not in WIDE:
        return value
    same = value.to(torch.int64)
    return same ^ _SIGN_BIT if value.dtype is torch.uint64 else same


def _wrapped(value: Any) -> Any:
    return value.to(torch.int64) if isinstance(value, Tensor) and value.dtype in WIDE else value
