"""Ways to break a network by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Mutate = Callable[[Any], object]
"""Changes a network in place; what it returns does not matter."""


def at(net: nn.Module, path: str) -> Any:
    """The module at a dotted path."""
    return net.get_submodule(path)


def scale(path: str, factor: float) -> Mutate:
    """Multiply one weight."""
    return lambda net: at(net, path).weight.data.mul_(factor)


def scales(paths: list[str], factor: float) -> Mutate:
    """Multiply several weights."""
    return lambda net: [at(net, p).weight.data.mul_(factor) for p in paths]


def bias(path: str, value: float) -> Mutate:
    """Fill one bias."""
    return lambda net: at(net, path).bias.data.fill_(value)


def poison(path: str, value: float) -> Mutate:
    """Put one value into one weight."""

    def put(net: nn.Module) -> None:
        at(net, path).weight.data.view(-1)[3] = value

    return put


def zero(*paths: str) -> Mutate:
    """Zero the weights and biases of modules."""

    def put(net: nn.Module) -> None:
        for p in paths:
            for q in at(net, p).parameters():
                q.data.zero_()

    return put


def freeze(*paths: str) -> Mutate:
    """No gradients for modules."""
    return lambda net: [q.requires_grad_(False) for p in paths for q in at(net, p).parameters()]


def none(net: nn.Module) -> None:
    """The healthy twin."""


class ZeroGrad(torch.autograd.Function):
    """Identity whose backward returns zeros."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
        """x."""
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:  # noqa: ARG004
        """0."""
        return torch.zeros_like(g)


class NoneGrad(torch.autograd.Function):
    """Identity whose backward returns None."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
        """x."""
        return x.clone()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> None:
        """None."""


class Shrink(torch.autograd.Function):
    """Identity whose backward scales."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, by: float) -> Tensor:
        """x."""
        ctx.by = by
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        """by · g."""
        return ctx.by * g, None


class Straight(torch.autograd.Function):
    """Sign forward, identity inside [-1, 1] backward: the straight-through estimator."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """sign x."""
        ctx.save_for_backward(x)
        return x.sign()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        """g where |x| is at most 1."""
        (x,) = ctx.saved_tensors
        return g * (x.abs() <= 1)
