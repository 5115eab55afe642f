"""How a fault is put into a healthy net, in place and without renaming anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from models import ZOO
from torch import Tensor, nn

from .cases import Problem

Fault = Callable[[nn.Module], object]


def zoo(name: str) -> tuple[nn.Module, tuple[Any, ...]]:
    """A member of the zoo, drawn with the random state as it stands instead of the zoo's own seed."""
    build = ZOO[name]
    drawn: tuple[nn.Module, tuple[Any, ...]] = getattr(build, "__wrapped__", build)()
    return drawn


def broken(name: str, *faults: Fault) -> Callable[[], Problem]:
    """A zoo member with faults in it."""

    def build() -> Problem:
        net, inputs = zoo(name)
        for fault in faults:
            fault(net)
        return Problem(net, [inputs])

    return build


def tensor(net: nn.Module, path: str) -> Tensor:
    """The parameter at ``path``, or the weight of the module there."""
    names = dict(net.named_parameters(remove_duplicate=False))
    return names[path].data if path in names else names[f"{path}.weight"].data


def times(path: str, factor: float) -> Fault:
    """Weights × factor."""
    return lambda net: tensor(net, path).mul_(factor)


def rows(path: str, block: int, of: int, factor: float) -> Fault:
    """One block of rows × factor: q, k or v of a fused projection."""

    def fault(net: nn.Module) -> None:
        tensor(net, path).chunk(of)[block].mul_(factor)

    return fault


def fill(path: str, value: float, share: float = 1.0) -> Fault:
    """The first `share` of the elements of a parameter become `value`."""

    def fault(net: nn.Module) -> None:
        flat = tensor(net, path).view(-1)
        flat[: max(1, round(share * len(flat)))] = value

    return fault


def bias(path: str, value: float, share: float = 1.0) -> Fault:
    """The first `share` of the units get `value` as bias."""
    return fill(f"{path}.bias", value, share)


def one(path: str, value: float) -> Fault:
    """A single element becomes `value`."""

    def fault(net: nn.Module) -> None:
        tensor(net, path).view(-1)[3] = value

    return fault


def after(path: str, change: Callable[[Any], Any]) -> Fault:
    """The module's forward ends with a functional call; class name and module path stay."""

    def fault(net: nn.Module) -> None:
        module = net.get_submodule(path)
        kind = type(module)

        def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
            return change(kind.forward(self, *args, **kwargs))

        module.__class__ = type(kind.__name__, (kind,), {"forward": forward})

    return fault


class Apply(nn.Module):
    """A module that does nothing but one call."""

    def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.change = change

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return self.change(x)


def without_gradient(x: Tensor) -> Tensor:
    """Compute under `torch.no_grad`."""
    with torch.no_grad():
        return x * 1.0


def hard_choice(x: Tensor) -> Tensor:
    """One-hot of the largest: argmax has no gradient."""
    return nn.functional.one_hot(x.argmax(-1), x.shape[-1]).to(x.dtype)


CUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "detach": lambda x: x.detach(),
    "data": lambda x: x.data,
    "no-grad": without_gradient,
    "argmax": hard_choice,
    "round": lambda x: torch.round(4 * x) / 4,
    "sign": torch.sign,
}
