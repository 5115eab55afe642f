"""Reductions over axes, which are an attribute in old versions and an input in new ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from gradcheck_cli.onnx_ops.registry import operator
from gradcheck_cli.onnx_ops.unsigned import by_int64, ordered_inputs, ordered_values

Kernel = Callable[[Tensor, list[int], bool], Tensor]
"""``kernel(x, axes, keepdims)``: at least one axis, all different and not negative."""


def reduction(name: str, axes_are_input_since: int = 18) -> Callable[[Kernel], Kernel]:
    """Register the decorated kernel in both forms."""

    def register(kernel: Kernel) -> Kernel:
        def by_attribute(x: Tensor, *, axes: Sequence[int] = (), keepdims: int = 1) -> Tensor:
            return reduce(kernel, x, axes, bool(keepdims), False)

        def by_input(
            x: Tensor, axes: Tensor | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
        ) -> Tensor:
            chosen = [] if axes is None else axes.reshape(-1).tolist()
            return reduce(kernel, x, chosen, bool(keepdims), bool(noop_with_empty_axes))

        operator(name)(by_attribute)
        operator(name, axes_are_input_since)(by_input)
        return kernel

    return register


def reduce(kernel: Kernel, x: Tensor, axes: Sequence[int], keepdims: bool, none_if_empty: bool) -> Tensor:
    """Apply the kernel over `axes`: all of them if there are none, or really none if `none_if_empty`.

    Raises ValueError for an axis that `x` does not have, or that is named twice.
    """
    rank = x.dim()
    if not axes and not none_if_empty:
        axes = range(rank)
    if not axes:  # the other steps, such as a square or a logarithm, remain to be done
        return kernel(x.unsqueeze(-1), [rank], False)
    found = sorted(axis + rank if axis < 0 else axis for axis in axes)
    if found[0] < 0 or found[-1] >= rank or len(set(found)) < len(found):
        raise ValueError(f"the axes {list(axes)[:8]} do not name different ones of {rank}")
    return kernel(x, found, keepdims)


@reduction("ReduceSum", axes_are_input_since=13)
@by_int64
def reduce_sum(x: Tensor, axes: list[int], keepdims: bool) -> Tensor:
    """Σ x."""
    return torch.sum(x, axes, keepdims, dtype=x.dtype)


@reduction("ReduceMean")
@by_int64
def reduce_mean(x: Tensor, axes: list[int], keepdims: bool) -> Tensor:
    """Σ x / n; of integers rounded towards zero."""
    if x.is_floating_point():
        return torch.mean(x, axes, keepdims)
    count = math.prod(x.shape[axis] for axis in axes)
    return torch.div(torch.sum(x, axes, keepdims), count, rounding_mode="trunc").to(x.dtype)


@reduction("ReduceMax")
@ordered_values
def reduce_max(x: Tensor, axes: list[int], keepdims: bool) -> Tensor:
    """The largest value; the smallest there is, if there is none."""
    if any(x.shape[axis] == 0 for axis in axes):
        return _full(x, axes, keepdims, highest=False)
    return torch.amax(x, axes, keepdims)


@reduction("ReduceMin")
@ordered_values
def reduce_min(x: Tensor, axes: list[int], keepdims: bool) -> Tensor:
    """The smallest value; the largest there is, if there is none."""
    if any(x.shape[axis] == 0 for axis in axes):
        return _full(x, axes, keepdims, highest=True)
    return torch.amin(x, axes, keepdims)


def _full(x: Tensor, axes: list[int], keepdims: bool, *, highest: bool) -> Tensor:
    """What the smallest or largest of no values is."""
    value: float
    if x.is_floating_point():
        value = math.inf if highest else -math.inf
    elif x.dtype is torch.bool:
        value = highest
    else:
        value = torch.iinfo(x.dtype).max if highest else torch.iinfo(x.dtype).min
    return torch.full_like(torch.sum(x, axes, keepdims), value, dtype=x.dtype)


@reduction("ReduceProd")
@by_int64
def reduce_prod(x: Tensor, axes: list[int], keepdims: bool) -> Tensor:
    """Π x."""
    dtype = x.dtype
    for axis in reversed(axes):
        x = torch.prod(x, axis, keepdims, dtype=dtype)
    return x


@reduction("ReduceL1")
@by_int64
def reduce_l1(x: Tensor, axes: list[int], keepdims: bool) -> Tensor:
    """Σ |x|."""
    return torch.sum(torch.abs(x), axes, keepdims, dtype=x.dtype)


@reduction("ReduceSumSquare")
@by_int64
def reduce_sum_square(x: Tensor, axes: list[int], keepdims: bool) -> Tensor:
    """Σ x²."""
    return torch.sum(torch.square(x), axes, keepdims, dtype=x.dtype)


def _in_floats(kernel: Kernel) -> Kernel:
    """Compute integers in float64, then cut off what is behind the point."""

    def run(x: Tensor, axes: list[int], keepdims: bool) -> Tensor:
        if x.is_floating_point():
            return kernel(x, axes, keepdims)
        return kernel(x.to(torch.float64), axes, keepdims).to(x.dtype)

    return run


@reduction("ReduceL2")
@_in_floats
def reduce_l2(x: Tensor, axes: list[int], keepdims: bool) -> Tensor:
    """√Σ x²; its gradient at zero is zero."""
    norm: Tensor = torch.linalg.vector_norm(x, 2, axes, keepdims)
    return norm


@reduction("ReduceLogSum")
@_in_floats
def reduce_log_sum(x: Tensor, axes: list[int], keepdims: bool) -> Tensor:
    """log Σ x."""
    return torch.log(torch.sum(x, axes, keepdims))


@reduction("ReduceLogSumExp")
@_in_floats
def reduce_log_sum_exp(x: Tensor, axes: list[int], keepdims: bool) -> Tensor:
    """log Σ e^x."""
    return torch.logsumexp(x, axes, keepdims)


@operator("ArgMax")
@ordered_inputs
def arg_max(x: Tensor, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Tensor:
    """Where the largest value lies along `axis`: the first of several, or the last."""
    return _place(torch.argmax, x, axis, bool(keepdims), bool(select_last_index))


@operator("ArgMin")
@ordered_inputs
def arg_min(x: Tensor, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Tensor:
    """Where the smallest value lies along `axis`: the first of several, or the last."""
    return _place(torch.argmin, x, axis, bool(keepdims), bool(select_last_index))


def _place(function: Callable[..., Tensor], x: Tensor, axis: int, keepdims: bool, last: bool) -> Tensor:
    if not last:
        return function(x, axis, keepdims)
    return x.shape[axis] - 1 - function(x.flip(axis), axis, keepdims)
