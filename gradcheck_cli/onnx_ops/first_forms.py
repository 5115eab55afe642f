"""What the first versions of many operators had in common: hints on memory, and a broadcasting of their own."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from torch import Tensor

from gradcheck_cli.onnx_ops.registry import operator

Function = TypeVar("Function", bound=Callable[..., Any])


def consuming(name: str) -> Callable[[Function], Function]:
    """Register the decorated function as version 1 too, which has an attribute ``consumed_inputs`` that means nothing."""

    def register(function: Function) -> Function:
        @functools.wraps(function)
        def version_1(*inputs: Any, consumed_inputs: Sequence[int] = (), **attributes: Any) -> Any:  # noqa: ARG001
            return function(*inputs, **attributes)

        own = inspect.signature(function)
        hint = inspect.Parameter("consumed_inputs", inspect.Parameter.KEYWORD_ONLY, default=())
        version_1.__signature__ = own.replace(parameters=[*own.parameters.values(), hint])  # type: ignore[attr-defined]
        operator(name)(version_1)
        return function

    return register


def aligning(name: str) -> Callable[[Function], Function]:
    """Register a function of two tensors as versions 1 to 6 too, in which the second is aligned with the first by `axis`."""

    def register(function: Function) -> Function:
        def version_1(
            a: Tensor,
            b: Tensor,
            *,
            axis: int | None = None,
            broadcast: int = 0,
            consumed_inputs: Sequence[int] = (),  # noqa: ARG001
        ) -> Any:
            return function(a, aligned(a, b, axis, bool(broadcast)))

        operator(name)(version_1)
        return function

    return register


def aligned(a: Tensor, b: Tensor, axis: int | None, broadcast: bool) -> Tensor:
    """`b` in a shape that broadcasts to that of `a`: its dimensions are those of `a` from `axis` on, or the last ones.

    Raises ValueError where the shapes do not allow it.
    """
    if not broadcast:
        if a.shape != b.shape:
            raise ValueError("the two shapes differ, and the attribute broadcast is not set")
        return b
    if b.numel() == 1:
        return b.reshape(())
    start = a.dim() - b.dim() if axis is None else axis + (a.dim() if axis < 0 else 0)
    after = a.dim() - start - b.dim()
    if start < 0 or after < 0:
        raise ValueError(f"the second shape does not fit into the first at axis {axis}")
    return b.reshape(*b.shape, *(1,) * after)
