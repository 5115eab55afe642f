"""A model whose own forward raises: the message names the module that raised, and no other."""
# mypy: disable-error-code="no-any-return,no-untyped-call,operator,union-attr"
# (torch types what modules return as Any, and their attributes as a tensor or a module)

from __future__ import annotations

from typing import Any

import pytest
import torch
from looking import look_at
from torch import Tensor, nn

from gradcheck_cli.errors import NotCompleted


def failure(module: nn.Module, *args: Any) -> NotCompleted:
    with pytest.raises(NotCompleted) as caught:
        look_at(module, *args)
    assert caught.value.slug == "forward-failed"
    return caught.value


def test_the_layer_that_does_not_fit_is_named() -> None:
    net = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Sequential(nn.Linear(6, 3)))
    error = failure(net, torch.randn(2, 4))
    assert "RuntimeError in 2.0 (Linear)" in error.message
    assert "2x5 and 6x3" in error.message


def test_the_innermost_of_those_that_raised_is_named() -> None:
    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise KeyError("position")

    net = nn.Sequential(nn.Linear(4, 5), nn.Sequential(nn.ReLU(), Broken()), nn.Linear(5, 2))
    assert "KeyError in 1.1 (Broken)" in failure(net, torch.randn(2, 4)).message


class Indices(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.argmax(1)


class Router(nn.Module):
    """Calls a module that gives whole numbers, and then fails itself."""

    def __init__(self) -> None:
        super().__init__()
        self.choose = Indices()

    def forward(self, x: Tensor) -> Tensor:
        chosen = self.choose(x)
        return x[chosen + 100]


def test_a_module_that_gave_whole_numbers_is_not_blamed() -> None:
    message = failure(nn.Sequential(nn.Linear(4, 4), Router()), torch.randn(2, 4)).message
    assert "in 1 (Router)" in message


def test_a_model_that_recovers_from_an_error_is_measured() -> None:
    class Recovers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wide, self.narrow = nn.Linear(9, 3), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Any:
            try:
                return self.wide(x)
            except RuntimeError:
                return self.narrow(x)

    readings = look_at(Recovers(), torch.randn(5, 4))
    assert {layer.name: layer.reached for layer in readings.layers} == {"wide": False, "narrow": True}


def test_one_value_per_channel_is_explained() -> None:
    error = failure(nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5)), torch.randn(1, 4))
    assert "--mode eval" in error.hint
