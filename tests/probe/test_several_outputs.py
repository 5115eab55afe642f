"""Of a module that returns several tensors, the values are those of the first one that the predictions depend on."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from looking import layer_of, look_at
from torch import Tensor, nn

Choose = Callable[[Any], Tensor]
FORMS: list[Callable[[nn.Module, Tensor], nn.Module]] = [
    lambda net, _: net,
    lambda net, x: torch.export.export(net, (x,)).module(),
]
forms = pytest.mark.parametrize("form", FORMS, ids=["module", "exported"])


class Net(nn.Module):
    def __init__(self, first: nn.Module, choose: Choose) -> None:
        super().__init__()
        self.first, self.choose, self.head = first, choose, nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(self.choose(self.first(x)))
        return found


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 5))

    def forward(self, x: Tensor) -> dict[str, Any]:
        y = x @ self.weight
        return {"count": torch.tensor(3), "first": torch.tanh(y), "rest": [7 * torch.sigmoid(y)]}


class Spoilt(Two):
    def forward(self, x: Tensor) -> dict[str, Any]:
        y = x @ self.weight
        return {"bad": y.square().sum() / 0.0, "good": y}


def rms(value: Tensor) -> float:
    return math.sqrt(float(value.detach().double().square().mean()))


# What is used → what is measured.
CASES: list[tuple[Callable[[], nn.Module], Choose, Choose]] = [
    (Two, lambda out: out["first"], lambda out: out["first"]),
    (Two, lambda out: out["rest"][0], lambda out: out["rest"][0]),
    (Two, lambda out: out["rest"][0] + out["first"], lambda out: out["first"]),
    (Two, lambda out: out["first"].detach(), lambda out: out["first"]),  # no prediction depends on any
    (lambda: nn.LSTM(4, 5, 2), lambda out: out[0], lambda out: out[0]),
    (lambda: nn.LSTM(4, 5, batch_first=True), lambda out: out[0][:, -1] + out[1][0][-1], lambda out: out[0]),
    (lambda: nn.LSTM(4, 5, 2), lambda out: out[1][0][-1], lambda out: out[1][0]),
    (lambda: nn.LSTM(4, 5, 2), lambda out: out[1][1], lambda out: out[1][1]),
    (lambda: nn.GRU(4, 5), lambda out: out[1][0], lambda out: out[1]),
]


@forms
@pytest.mark.filterwarnings("ignore:The tensor attributes")  # an LSTM's
@pytest.mark.parametrize(("make", "used", "measured"), CASES)
def test_values_of_the_first_used_output(
    form: Callable[[nn.Module, Tensor], nn.Module], make: Callable[[], nn.Module], used: Choose, measured: Choose
) -> None:
    net, x = Net(make(), used).eval(), torch.randn(3, 6, 4)
    found = layer_of(look_at(form(net, x), x, mode="eval"), "first").output_rms
    assert found == pytest.approx(rms(measured(net.first(x))), rel=1e-5)


@forms
@pytest.mark.parametrize("key", ["bad", "good"])
def test_only_a_used_output_spoils_a_model(form: Callable[[nn.Module, Tensor], nn.Module], key: str) -> None:
    net, x = Net(Spoilt(), lambda out: out[key].expand(3, 5)).eval(), torch.randn(3, 4)
    found = layer_of(look_at(form(net, x), x, mode="eval"), "first")
    assert found.nonfinite == (key == "bad")
