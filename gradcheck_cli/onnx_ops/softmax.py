"""Softmax, its logarithm and its limit; before version 13 over all dimensions from `axis` on, as if they were one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gradcheck_cli.onnx_ops.registry import operator


@operator("Softmax", since=13)
def softmax(x: Tensor, *, axis: int = -1) -> Tensor:
    """e^x / Σ e^x along `axis`."""
    return torch.softmax(x, axis)


@operator("LogSoftmax", since=13)
def log_softmax(x: Tensor, *, axis: int = -1) -> Tensor:
    """x − log Σ e^x along `axis`."""
    return torch.log_softmax(x, axis)


@operator("Hardmax", since=13)
def hardmax(x: Tensor, *, axis: int = -1) -> Tensor:
    """1 at the first largest value along `axis`, else 0; flat everywhere, so it passes no gradient on."""
    if x.numel() == 0:
        return x
    return torch.zeros_like(x).scatter(axis, x.argmax(axis, keepdim=True), 1.0)


@operator("Softmax")
def softmax_of_rows(x: Tensor, *, axis: int = 1) -> Tensor:
    """Softmax of x, taken as a matrix whose rows are all that lies from `axis` on."""
    return _of_rows(softmax, x, axis)


@operator("LogSoftmax")
def log_softmax_of_rows(x: Tensor, *, axis: int = 1) -> Tensor:
    """The same for its logarithm."""
    return _of_rows(log_softmax, x, axis)


@operator("Hardmax")
def hardmax_of_rows(x: Tensor, *, axis: int = 1) -> Tensor:
    """The same for its limit."""
    return _of_rows(hardmax, x, axis)


def _of_rows(function: Callable[..., Tensor], x: Tensor, axis: int) -> Tensor:
    if axis in (-1, x.dim() - 1):
        return function(x, axis=-1)
    return function(x.flatten(axis), axis=-1).reshape(x.shape)
