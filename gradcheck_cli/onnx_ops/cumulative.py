"""Running sums and products along an axis."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gradcheck_cli.onnx_ops.registry import operator
from gradcheck_cli.onnx_ops.unsigned import by_int64


@operator("CumSum", since=11)
@by_int64
def cum_sum(x: Tensor, axis: Tensor, *, exclusive: int = 0, reverse: int = 0) -> Tensor:
    """yᵢ = Σ xⱼ over j ≤ i; j < i if `exclusive`; from the end if `reverse`."""
    return _running(torch.cumsum, 0, x, int(axis.item()), bool(exclusive), bool(reverse))


@operator("CumProd", since=26)
@by_int64
def cum_prod(x: Tensor, axis: Tensor, *, exclusive: int = 0, reverse: int = 0) -> Tensor:
    """yᵢ = Π xⱼ over j ≤ i; j < i if `exclusive`; from the end if `reverse`."""
    return _running(torch.cumprod, 1, x, int(axis.item()), bool(exclusive), bool(reverse))


def _running(
    function: Callable[[Tensor, int], Tensor], neutral: int, x: Tensor, axis: int, exclusive: bool, reverse: bool
) -> Tensor:
    if reverse:
        x = x.flip(axis)
    if exclusive and x.numel():
        first = torch.full_like(x.narrow(axis, 0, 1), neutral)
        x = torch.cat([first, x.narrow(axis, 0, x.shape[axis] - 1)], axis)
    y = function(x, axis).to(x.dtype)
    return y.flip(axis) if reverse else y
