"""Second looks: gates are told from silence, cuts and the first non-finite call are found where they are."""
# mypy: disable-error-code="no-any-return,no-untyped-call,operator,union-attr"
# (torch types what modules return as Any, and their attributes as a tensor or a module)

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from looking import ASKED, layer_of, look_at, question, transmission_of
from torch import Tensor, nn
from torch.nn import functional as F

from gradcheck_cli.readings import CutReading, ParameterReading, Readings

WIDTH = 16


class Function(nn.Module):
    """A module whose forward is a function of itself and the inputs."""

    def __init__(self, function: Callable[..., Any], **children: Any) -> None:
        super().__init__()
        self.function = function
        for name, child in children.items():
            setattr(self, name, child)

    def forward(self, *args: Any) -> Any:
        return self.function(self, *args)


SHARED = "extra cotangents raise the merged sums of the layers, but not the merged question: T is √3 times too large"


def x() -> Tensor:
    return torch.randn(9, WIDTH)


def linear(*, zero: bool = False, bias: bool = True) -> nn.Linear:
    layer = nn.Linear(WIDTH, WIDTH, bias=bias)
    if zero:
        nn.init.zeros_(layer.weight)
    return layer


def parameter_of(readings: Readings, name: str) -> ParameterReading:
    (found,) = (p for layer in readings.layers for p in layer.parameters if p.name == name)
    return found


# --------------------------------------------------------------------------------------------------------- gates


def test_a_zero_initialised_branch() -> None:
    net = Function(
        lambda self, x: self.head(x + self.up(torch.relu(self.down(x)))),
        down=linear(), up=linear(zero=True), head=linear(),
    )  # fmt: skip
    readings = look_at(net, x())
    assert readings.gates == ("up.weight",)
    down = layer_of(readings, "down")
    assert down.transmission == 0.0
    assert down.opened_transmission is not None
    assert 0.1 < down.opened_transmission < 10.0
    opened = parameter_of(readings, "down.weight").opened_signal
    assert opened is not None
    assert opened > 0.1


def test_layer_scale() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.branch = nn.Sequential(nn.LayerNorm(WIDTH), linear(), nn.GELU(), linear())
            self.gamma = nn.Parameter(torch.full((WIDTH,), 1e-6))

        def forward(self, x: Tensor) -> Tensor:
            return x + self.gamma * self.branch(x)

    readings = look_at(nn.Sequential(Block(), Block(), nn.Linear(WIDTH, 3)), x())
    assert readings.gates == ("0.gamma", "1.gamma")
    inner = layer_of(readings, "0.branch.1")
    assert inner.transmission is not None
    assert inner.opened_transmission is not None
    assert inner.transmission < 1e-5 < 0.05 < inner.opened_transmission


def test_a_zero_residual_norm_and_rezero() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
            self.again, self.alpha = nn.Conv2d(4, 4, 1), nn.Parameter(torch.zeros(1))
            nn.init.zeros_(self.norm.weight)

        def forward(self, x: Tensor) -> Tensor:
            x = x + self.norm(self.conv(x))
            return x + self.alpha * self.again(x)

    readings = look_at(nn.Sequential(Block()), torch.randn(5, 4, 6, 6))
    assert set(readings.gates) == {"0.norm.weight", "0.alpha"}
    for name in ("0.conv", "0.again"):
        opened = layer_of(readings, name).opened_transmission
        assert opened is not None
        assert opened > 0.1


class LoRA(nn.Module):
    def __init__(self, *, both_zero: bool = False) -> None:
        super().__init__()
        self.base = linear().requires_grad_(False)
        self.A = nn.Parameter(torch.zeros(4, WIDTH) if both_zero else torch.randn(4, WIDTH) / 4)
        self.B = nn.Parameter(torch.zeros(WIDTH, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + x @ self.A.T @ self.B.T


def test_lora_with_one_zero_factor_opens() -> None:
    readings = look_at(nn.Sequential(LoRA(), nn.Linear(WIDTH, 3)), x())
    assert readings.gates == ("0.B",)
    assert parameter_of(readings, "0.A").signal == 0.0
    opened = parameter_of(readings, "0.A").opened_signal
    assert opened is not None
    assert opened > 0.1


def test_lora_with_two_zero_factors_does_not_open() -> None:
    """Neither factor hears anything, so neither is a gate."""
    readings = look_at(nn.Sequential(LoRA(both_zero=True), nn.Linear(WIDTH, 3)), x())
    assert readings.gates == ()
    for name in ("0.A", "0.B"):
        assert parameter_of(readings, name).signal == 0.0
        assert parameter_of(readings, name).opened_signal is None


def test_a_zero_head_opens() -> None:
    net = nn.Sequential(linear(), nn.Tanh(), linear(zero=True))
    readings = look_at(net, x())
    assert readings.gates == ("2.weight",)
    first = layer_of(readings, "0")
    assert first.transmission == 0.0
    assert first.opened_transmission is not None
    assert first.opened_transmission > 0.05


def test_an_mlp_of_zeros_does_not_open() -> None:
    """With ReLU no layer hears anything: all inputs of the head are zero, and its weight passes nothing back."""
    net = nn.Sequential(linear(zero=True), nn.ReLU(), linear(zero=True), nn.ReLU(), linear(zero=True))
    for layer in net:
        if isinstance(layer, nn.Linear):
            nn.init.zeros_(layer.bias)
    readings = look_at(net, x())
    assert readings.gates == ()
    assert all(p.opened_signal is None for layer in readings.layers for p in layer.parameters)
    for name in ("0", "2", "4"):
        assert parameter_of(readings, f"{name}.weight").signal == 0.0


def test_zero_biases_are_no_gates() -> None:
    net = nn.Sequential(linear(), nn.ReLU(), linear(), nn.ReLU(), linear(zero=True))
    for layer in net:
        if isinstance(layer, nn.Linear):
            nn.init.zeros_(layer.bias)
    assert look_at(net, x()).gates == ("4.weight",)


def test_healthy_nets_are_not_opened() -> None:
    readings = look_at(nn.Sequential(linear(), nn.ReLU(), linear()), x())
    assert readings.gates == ()
    assert all(layer.opened_transmission is None for layer in readings.layers)


def test_real_vanishing_stays_behind_open_gates() -> None:
    """A gate stands beside it; what is opened does not help the layers in front of ten saturated sigmoids."""
    deep = [part for _ in range(8) for part in (linear(), nn.Sigmoid())]
    readings = look_at(nn.Sequential(*deep, linear(zero=True)), x())
    assert readings.gates == ("16.weight",)
    opened = layer_of(readings, "0").opened_transmission
    assert opened is not None
    assert opened < 1e-4


def test_opening_uses_the_same_question() -> None:
    net = nn.Sequential(linear(), linear(zero=True))
    readings = look_at(net, x())
    assert transmission_of(readings, "1") == pytest.approx(1.0)
    assert layer_of(readings, "1").opened_transmission == pytest.approx(1.0)


# ----------------------------------------------------------------------------------------- several cotangents


def lonely(net: nn.Sequential, data: Tensor) -> Tensor:
    """T of layer 0 by autograd, for the first question alone."""
    first = net[0](data)
    out = net[1:](first)
    (v,) = question(out)
    (gradient,) = torch.autograd.grad(out, first, v)
    return gradient.norm() / v.norm()


def test_extra_cotangents_do_not_change_the_transmission() -> None:
    """A parameter of zero gradient brings two more questions; what is said of the others must stay what it was."""
    net = nn.Sequential(linear(), nn.Linear(WIDTH, 3))
    data = x()
    net[1].bias.register_hook(torch.zeros_like)
    readings = look_at(net[:2], data)
    assert len(ASKED) == 3
    assert transmission_of(readings, "1") == pytest.approx(1.0)
    assert transmission_of(readings, "0") == pytest.approx(float(lonely(net, data)), rel=1e-4)


def test_a_zero_by_chance_is_asked_again() -> None:
    """Eight ±1 on one output cancel with probability 0.27: then the bias' gradient is 0 by chance, and not by nature."""
    net = nn.Sequential(linear(), nn.Linear(WIDTH, 1))
    data = torch.randn(8, WIDTH)
    for seed in range(20):
        readings = look_at(net, data, seed=seed)
        if float(ASKED[0][0].sum()) == 0.0 and any(float(v[0].sum()) != 0.0 for v in ASKED[1:]):
            break
    else:
        pytest.fail("no seed draws a question that cancels")
    signal = parameter_of(readings, "1.bias").signal
    assert signal is not None
    assert signal > 0.0


def test_a_zero_by_nature_stays_zero() -> None:
    net = Function(lambda self, x: self.a(x) + 0.0 * self.b(x), a=linear(), b=linear())
    readings = look_at(net, x())
    assert len(ASKED) >= 3
    assert parameter_of(readings, "b.weight").signal == 0.0
    assert parameter_of(readings, "b.weight").reached


# ---------------------------------------------------------------------------------------------------------- cuts


def numpy_round_trip(y: Tensor) -> Tensor:
    return torch.from_numpy(y.detach().numpy() * 2)


def without_gradients(y: Tensor) -> Tensor:
    with torch.no_grad():
        return y * 2


def out_of_data(y: Tensor) -> Tensor:
    return y.data * 2


CUTS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "detach": (lambda y: y.detach(), "detach"),
    "data": (out_of_data, "data"),
    "no_grad": (without_gradients, "no_grad"),
    "argmax": (lambda y: F.one_hot(y.argmax(1), WIDTH).float(), "argmax"),
    "numpy": (numpy_round_trip, "detach"),
    "comparison": (lambda y: (y > 0).float(), "gt"),
    "round to integers": (lambda y: y.long().float(), "long"),
}


@pytest.mark.parametrize("name", CUTS)
def test_cuts_are_found_where_they_are(name: str) -> None:
    cut, operation = CUTS[name]
    net = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), linear(), Function(lambda _self, y: cut(y)), linear())
    readings = look_at(net, x())
    (found,) = readings.cuts
    assert found.operation == operation
    assert found.where == "3"
    assert found.behind == ("2", "0")
    assert layer_of(readings, "4").reached
    assert not layer_of(readings, "2").reached
    assert layer_of(readings, "2").called


@pytest.mark.xfail(strict=True, reason="a call that gives no tensor (tolist, item) is not seen as the end of a path")
@pytest.mark.parametrize("cut", [lambda y: torch.tensor(y.tolist()), lambda y: torch.full((9, WIDTH), y.max().item())])
def test_a_cut_through_python_numbers(cut: Callable[[Tensor], Tensor]) -> None:
    net = nn.Sequential(linear(), Function(lambda _self, y: cut(y)), linear())
    (found,) = look_at(net, x()).cuts
    assert found.where == "1"
    assert found.behind == ("0",)


def test_a_cut_in_the_models_own_forward() -> None:
    net = Function(lambda self, x: self.b(self.a(x).detach()), a=linear(), b=linear())
    (found,) = look_at(net, x()).cuts
    assert found == CutReading(operation="detach", where="", leaf=False, behind=("a",))


def test_a_module_that_only_cuts_is_named_as_a_leaf() -> None:
    class Stop(nn.Module):
        def forward(self, y: Tensor) -> Tensor:
            return y.detach()

    readings = look_at(nn.Sequential(linear(), Stop(), linear()), x())
    assert readings.cuts == (CutReading(operation="detach", where="1", leaf=True, behind=("0",)),)


def test_a_module_that_only_cuts_is_a_layer_of_the_report() -> None:
    """So that a finding can stand on it."""

    class Stop(nn.Module):
        def forward(self, y: Tensor) -> Tensor:
            return y.detach()

    readings = look_at(nn.Sequential(linear(), Stop(), linear()), x())
    assert [layer.name for layer in readings.layers] == ["0", "1", "2"]
    assert layer_of(readings, "1").kind == "Stop"


def test_a_stop_gradient_beside_an_open_path_is_no_cut() -> None:
    """Target networks and straight-through estimators detach on purpose."""

    def run(self: Any, x: Tensor) -> Any:
        y = self.a(x)
        return self.b(y + (y.round() - y).detach())

    net = Function(run, a=linear(), b=linear())
    assert look_at(net, x()).cuts == ()


def test_the_first_of_two_cuts_is_blamed_for_what_is_behind_it() -> None:
    net = nn.Sequential(
        linear(), Function(lambda _self, y: y.detach()), linear(), Function(lambda _self, y: y.detach()), linear()
    )
    first, second = look_at(net, x()).cuts
    assert (first.where, first.behind) == ("1", ("0",))
    assert (second.where, second.behind) == ("3", ("2",))


def test_a_model_that_is_cut_at_its_very_end() -> None:
    readings = look_at(nn.Sequential(linear(), Function(lambda _self, y: y.argmax(1))), x())
    assert not readings.output_connected
    (found,) = readings.cuts
    assert (found.operation, found.behind) == ("argmax", ("0",))


# -------------------------------------------------------------------------------------------------- not finite


@pytest.mark.parametrize(
    ("broken", "call"),
    [
        (lambda y: (y - y.amax(1, keepdim=True) - 1.0).log(), "log"),
        (lambda y: y / (y * 0.0), "div"),
        (lambda y: (y + 200.0).exp(), "exp"),
        (lambda y: torch.sqrt(-y.square() - 1), "sqrt"),
    ],
)
def test_the_first_call_that_is_not_finite(broken: Callable[[Tensor], Tensor], call: str) -> None:
    net = nn.Sequential(linear(), Function(lambda _self, y: broken(y)), linear())
    readings = look_at(net, x())
    assert readings.first_nonfinite is not None
    assert call in readings.first_nonfinite[0]
    assert readings.first_nonfinite[1] == "1"
    assert readings.output_nonfinite == 9 * WIDTH
    assert layer_of(readings, "2").nonfinite_input


def test_weights_that_are_nan() -> None:
    net = nn.Sequential(linear(), nn.ReLU(), linear())
    with torch.no_grad():
        net[2].weight[0, 0] = math.nan
    readings = look_at(net, x())
    assert parameter_of(readings, "2.weight").nonfinite == 1
    assert layer_of(readings, "2").nonfinite == 9
    assert not layer_of(readings, "2").nonfinite_input
    assert layer_of(readings, "0").nonfinite == 0


def test_finite_models_have_no_first_nonfinite_call() -> None:
    assert look_at(nn.Sequential(linear(), nn.ReLU(), linear()), x()).first_nonfinite is None
