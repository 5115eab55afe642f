"""Gradients of parameters: the large ones one at a time, each given away as soon as it is there, and its memory is freed.

Kept until the end of a backward pass, they take as much memory as the model itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch

Receive = Callable[[str, torch.Tensor], None]
"""``receive(name, gradient)``; the gradient is whole, and may change when the call is over."""

LARGE = 1 << 18
"""Elements. Smaller gradients take less to keep than to give away at once."""


def differentiate(
    roots: Sequence[torch.Tensor],
    cotangents: Sequence[torch.Tensor] | None,
    parameters: Mapping[str, torch.Tensor],
    receive: Receive,
    *,
    retain_graph: bool,
) -> None:
    """Give the gradient of `cotangents` · `roots` (a scalar root needs none) with respect to every parameter that they reach.

    ``.grad`` is neither read nor written. What hooks of the user's own make of a gradient is what is given.
    """
    large = {name: parameter for name, parameter in parameters.items() if parameter.numel() >= LARGE}
    bare = [parameter for parameter in large.values() if parameter._backward_hooks is None]
    handles = []
    try:
        for name, parameter in large.items():
            handles.append(parameter.register_hook(_giver(name, receive)))  # type: ignore[no-untyped-call]
        found = torch.autograd.grad(
            list(roots), list(parameters.values()), cotangents, retain_graph=retain_graph, allow_unused=True
        )
    finally:
        for handle in handles:
            handle.remove()
        for parameter in bare:
            parameter._backward_hooks = None
    for name, gradient in zip(parameters, found, strict=True):
        if gradient is not None and name not in large:
            receive(name, gradient)


def _giver(name: str, receive: Receive) -> Callable[[torch.Tensor | None], torch.Tensor | None]:
    def give(gradient: torch.Tensor | None) -> torch.Tensor | None:
        if gradient is None:
            return None
        receive(name, gradient)
        if gradient.layout is not torch.strided or type(gradient) is not torch.Tensor:
            return None
        return gradient.new_zeros(()).expand(gradient.shape)  # autograd keeps this in its place: one element

    return give
