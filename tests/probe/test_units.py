"""Dead and saturated units against the activation's derivative, taken by autograd in float64 on the pre-activations."""
# mypy: disable-error-code="no-any-return,no-untyped-call,operator,union-attr"
# (torch types what modules return as Any, and their attributes as a tensor or a module)

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from looking import batch_of, look_at
from torch import Tensor, nn
from torch.nn import functional as F

from gradcheck_cli.readings import LayerReading, Readings, UnitReading

Scalar = Callable[[Tensor], Tensor]

CONSTANTS = [-100.0, -30.0, -20.0, -15.0, -13.0, -10.0, -6.5, -5.9, -5.1, -4.5, -3.5, -3.01, -2.9, -2.0, -1.01, -0.9, -0.1,
             0.1, 0.5, 0.9, 1.01, 2.0, 2.6, 2.9, 3.1, 4.0, 5.5, 5.9, 6.1, 10.0, 30.0, 100.0]  # fmt: skip
"""One unit each; none lies on a kink."""

ONE_SIDED: dict[str, Scalar] = {
    "relu": F.relu,
    "relu_inplace": lambda x: F.relu_(x * 1.0),
    "relu6": F.relu6,
    "hardtanh": F.hardtanh,
    "hardtanh_wide": lambda x: F.hardtanh(x, -5.0, 5.0),
    "clamp": lambda x: x.clamp(-1.0, 2.5),
    "clamp_min": lambda x: x.clamp(min=0.0),
    "clamp_min_method": lambda x: x.clamp_min(-3.2),
    "clamp_max": lambda x: x.clamp(max=3.0),
    "gelu": F.gelu,
    "silu": F.silu,
    "silu_inplace": lambda x: F.silu(x * 1.0, inplace=True),
    "mish": F.mish,
    "softplus": F.softplus,
    "elu": F.elu,
    "selu": F.selu,
    "celu": F.celu,
    "hardswish": F.hardswish,
    "hardsigmoid": F.hardsigmoid,
    "threshold": lambda x: F.threshold(x, 0.7, 0.0),
}

SCALED: dict[str, Scalar] = {
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "softplus_steep": lambda x: F.softplus(x, beta=10.0),
    "softplus_soft": lambda x: F.softplus(x, beta=0.2),
    "celu_short": lambda x: F.celu(x, alpha=0.1),
    "celu_long": lambda x: F.celu(x, alpha=5.0),
}
"""Their edges depend on an argument, or on the variant."""

SMOOTH_BOUNDED: dict[str, Scalar] = {"sigmoid": torch.sigmoid, "tanh": torch.tanh}

UNHEARD_IN_PLACE: dict[str, Scalar] = {
    "elu_inplace": lambda x: F.elu(x * 1.0, inplace=True),
    "selu_inplace": lambda x: F.selu(x * 1.0, inplace=True),
    "celu_inplace": lambda x: F.celu(x * 1.0, inplace=True),
}


class Net(nn.Module):
    """An identity layer of `units` outputs, `arrange`, the activation."""

    def __init__(self, activation: Scalar, units: int, arrange: Scalar = lambda x: x, *, conv: bool = False) -> None:
        super().__init__()
        self.fc: nn.Module = nn.Conv2d(units, units, 1, bias=False) if conv else nn.Linear(units, units, bias=False)
        self.activation, self.arrange = activation, arrange
        with torch.no_grad():
            weight = torch.eye(units)
            self.fc.weight.copy_(weight[:, :, None, None] if conv else weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.arrange(self.fc(x)))


def slopes(activation: Scalar, x: Tensor) -> Tensor:
    """|dφ/dx| of every element, in float64."""
    x = x.double().requires_grad_()
    (found,) = torch.autograd.grad(activation(x).sum(), x)
    return found.abs()


def units_of(readings: Readings) -> UnitReading:
    found: list[LayerReading] = [layer for layer in readings.layers if layer.units is not None]
    assert len(found) == 1, [layer.name for layer in readings.layers]
    assert found[0].units is not None
    return found[0].units


def by_unit(slope: Tensor, axis: int) -> Tensor:
    """(C, everything seen)."""
    return slope.movedim(axis, 0).reshape(slope.shape[axis], -1)


def flat(slope: Tensor, axis: int, usual: float = 1.0) -> list[int]:
    return (by_unit(slope, axis).amax(1) < 1e-6 * usual).nonzero().flatten().tolist()


def weak(slope: Tensor, axis: int, steepest: float) -> list[int]:
    return ((by_unit(slope, axis) < 0.01 * steepest).double().mean(1) >= 0.95).nonzero().flatten().tolist()


def constants(samples: int = 5) -> Tensor:
    return torch.tensor(CONSTANTS).expand(samples, -1).clone()


def varied(samples: int = 40) -> Tensor:
    """Units of every offset with a spread: some with a single sample on the steep side, some with none."""
    offsets = torch.linspace(-25.0, 25.0, 51)
    return offsets + 3.0 * torch.randn(samples, 51)


@pytest.mark.parametrize("name", ONE_SIDED)
@pytest.mark.parametrize("data", [constants, varied])
def test_dead_units(name: str, data: Callable[[], Tensor]) -> None:
    x = data()
    units = units_of(look_at(Net(ONE_SIDED[name], x.shape[1]), x))
    assert (units.units, units.seen, units.samples) == (x.shape[1], len(x), len(x))
    usual = 1.7581 if name == "selu" else 1.0
    assert list(units.dead) == flat(slopes(ONE_SIDED[name], x), 1, usual)
    assert not units.bounded
    assert units.saturated == ()


@pytest.mark.parametrize("name", ["relu", "relu6", "clamp", "clamp_min", "hardtanh", "threshold"])
def test_units_that_are_always_on(name: str) -> None:
    x = varied()
    units = units_of(look_at(Net(ONE_SIDED[name], 51), x))
    assert units.always_on == int((slopes(ONE_SIDED[name], x).amin(0) > 0).sum())


@pytest.mark.parametrize("name", SCALED)
def test_dead_units_where_the_edge_depends_on_an_argument(name: str) -> None:
    x = constants()
    units = units_of(look_at(Net(SCALED[name], x.shape[1]), x))
    assert list(units.dead) == flat(slopes(SCALED[name], x), 1)


@pytest.mark.parametrize("name", UNHEARD_IN_PLACE)
def test_dead_units_of_in_place_exponentials(name: str) -> None:
    x = constants()
    units = units_of(look_at(Net(UNHEARD_IN_PLACE[name], x.shape[1]), x))
    assert list(units.dead) == flat(slopes(UNHEARD_IN_PLACE[name], x), 1)


@pytest.mark.parametrize("name", SMOOTH_BOUNDED)
@pytest.mark.parametrize("data", [constants, varied])
def test_saturated_units(name: str, data: Callable[[], Tensor]) -> None:
    x = data()
    units = units_of(look_at(Net(SMOOTH_BOUNDED[name], x.shape[1]), x))
    steepest = float(slopes(SMOOTH_BOUNDED[name], torch.zeros(1)))
    assert list(units.saturated) == weak(slopes(SMOOTH_BOUNDED[name], x), 1, steepest)
    assert units.bounded
    assert units.dead == ()


def _row_slopes(x: Tensor, dim: int) -> Tensor:
    """Trace of the Jacobian of every row's softmax, as a share of the largest possible one; by autograd."""
    rows = x.double().movedim(dim, -1)
    classes = rows.shape[-1]

    def trace(row: Tensor) -> Tensor:
        jacobian = torch.autograd.functional.jacobian(lambda z: z.softmax(-1), row)
        return torch.trace(jacobian)

    found = torch.stack([trace(row) for row in rows.reshape(-1, classes)])
    return found.reshape(rows.shape[:-1]) / (1 - 1 / classes)


def test_saturated_attention_heads() -> None:
    x = torch.randn(2, 4, 3, 5) * torch.tensor([0.1, 1.0, 300.0, 300.0])[:, None, None]
    net = Net(lambda x: x.softmax(-1), 4, conv=True)
    units = units_of(look_at(net, x))
    expected = (_row_slopes(x, -1) < 0.01).double().mean((0, 2)) >= 0.95
    assert (units.units, units.seen) == (4, 6)
    assert list(units.saturated) == expected.nonzero().flatten().tolist() == [2, 3]


@pytest.mark.parametrize(("scale", "saturated"), [(1.0, []), (1000.0, [0])])
def test_saturated_classifier(scale: float, saturated: list[int]) -> None:
    """Outside of attention the whole softmax is one unit."""
    x = torch.randn(30, 7) * scale
    units = units_of(look_at(Net(lambda x: x.softmax(1), 7), x))
    assert ((_row_slopes(x, 1) < 0.01).double().mean() >= 0.95) == bool(saturated)
    assert list(units.saturated) == saturated


# ------------------------------------------------------------------------------------------------------- layouts


def _spread(*shape: int) -> Tensor:
    """Of the channels on the last axis, the first third is far down, the last far up."""
    channels = shape[-1]
    return torch.randn(shape) + torch.linspace(-12, 12, channels)


LAYOUTS: dict[str, tuple[Callable[[], Tensor], Scalar, bool, int]] = {
    "table": (lambda: _spread(20, 9), lambda x: x, False, 1),
    "sequence": (lambda: _spread(4, 9, 9), lambda x: x, False, 2),
    "image": (lambda: _spread(4, 3, 5, 9).movedim(-1, 1), lambda x: x, True, 1),
    "image_as_wide_as_channels": (lambda: _spread(4, 9, 9, 9).movedim(-1, 1), lambda x: x, True, 1),
    "transposed": (lambda: _spread(4, 9, 9), lambda x: x.transpose(1, 2), False, 1),
    "time_first": (lambda: _spread(9, 9, 9), lambda x: x.transpose(0, 1), False, 2),
    "heads": (lambda: _spread(4, 5, 8), lambda x: x.view(4, 5, 2, 4), False, 2),
    "image_to_tokens": (lambda: _spread(4, 3, 5, 9).movedim(-1, 1), lambda x: x.flatten(2).transpose(1, 2), True, 2),
    "image_permuted": (lambda: _spread(9, 9, 9, 9).movedim(-1, 1), lambda x: x.permute(0, 2, 3, 1), True, 3),
    "tokens_to_image": (lambda: _spread(4, 15, 9), lambda x: x.transpose(1, 2).reshape(4, 9, 3, 5), False, 1),
    "flattened": (lambda: _spread(20, 1, 1, 9).movedim(-1, 1), lambda x: x.flatten(1), True, 1),
    "unbatched": (lambda: _spread(9), lambda x: x, False, 0),
    "flattened_tokens": (lambda: _spread(4, 5, 9), lambda x: x.reshape(20, 9), False, 1),
    "pooled_like": (lambda: _spread(4, 3, 5, 9).movedim(-1, 1), lambda x: F.avg_pool2d(x, 2, 1), True, 1),
    "shifted": (lambda: _spread(9, 9, 9), lambda x: x + torch.randn(9, 1), False, 2),
}


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_the_axis_of_the_channels(name: str, activation: str) -> None:
    make, arrange, conv, axis = LAYOUTS[name]
    x = make()
    function: Scalar = F.relu if activation == "relu" else torch.tanh
    net = Net(function, 9 if x.shape[-1] == 9 or conv else x.shape[-1], arrange, conv=conv)
    torch.manual_seed(0)  # what is drawn in forward is drawn under the instrument's seed
    before = arrange(x)
    units = units_of(look_at(net, x))
    slope = slopes(function, before)
    assert units.units == before.shape[axis]
    assert units.seen == before.numel() // before.shape[axis]
    expected = flat(slope, axis) if activation == "relu" else weak(slope, axis, 1.0)
    assert list(units.dead if activation == "relu" else units.saturated) == expected


def test_batch_norm_and_dropout_keep_the_axis() -> None:
    norm = nn.BatchNorm2d(6)
    with torch.no_grad():
        norm.bias.copy_(torch.tensor([-9.0, 9.0, -9.0, 0.0, 0.0, 9.0]))
    net = nn.Sequential(nn.Conv2d(2, 6, 1), norm, nn.Dropout(0.1), nn.ReLU())
    units = units_of(look_at(net, torch.randn(6, 2, 6, 6)))
    assert units.dead == (0, 2)
    assert (units.units, units.seen) == (6, 216)


def test_a_unit_that_fires_once_lives() -> None:
    x = torch.full((50, 4), -3.0)
    x[17, 2] = 0.5
    assert units_of(look_at(Net(F.relu, 4), x)).dead == (0, 1, 3)


@pytest.mark.parametrize("name", ["relu", "gelu", "clamp", "tanh", "hardsigmoid"])
def test_batches_add_up_to_one_big_batch(name: str) -> None:
    function = {**ONE_SIDED, **SMOOTH_BOUNDED}[name]
    x = varied(60)
    net = Net(function, 51)
    parts = units_of(look_at(net, batches=tuple(batch_of(part) for part in x.split([7, 20, 33]))))
    assert parts == units_of(look_at(net, x))


def test_calls_of_one_activation_behind_the_same_layer_add_up() -> None:
    """Time steps are more positions of the same units."""

    class Steps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = Net(lambda x: x, 4)

        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([torch.relu(self.fc(part)) for part in x.unbind(1)], 1)

    x = torch.randn(6, 3, 4) + torch.tensor([-9.0, 0.0, 9.0, -9.0])
    x[2, 2, 3] = 1.0
    units = units_of(look_at(Steps(), x))
    assert (units.units, units.seen, units.dead) == (4, 18, (0,))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes(dtype: torch.dtype) -> None:
    x = varied().to(dtype)
    assert list(units_of(look_at(Net(F.relu, 51).to(dtype), x)).dead) == flat(slopes(F.relu, x), 1)
    found = set(units_of(look_at(Net(torch.tanh, 51).to(dtype), x)).saturated)
    assert abs(len(found) - len(weak(slopes(torch.tanh, x), 1, 1.0))) <= 1


@pytest.mark.parametrize("function", [torch.relu, torch.sigmoid, F.gelu, lambda x: x.clamp(-9.0, 9.0)])
def test_an_activation_of_a_single_number(function: Scalar) -> None:
    """A model that gives one number for the whole batch."""
    net = Net(lambda x: function(x.mean() + 1.0), 4)
    units = units_of(look_at(net, torch.randn(6, 4)))
    assert (units.units, units.seen, units.dead) == (1, 1, ())


def test_an_activation_of_nothing() -> None:
    """An expert that got no token."""
    net = Net(lambda x: torch.cat([torch.relu(x[:0]), torch.sigmoid(x[:0]), x]), 4)
    assert all(layer.units is None for layer in look_at(net, torch.randn(6, 4)).layers)


@pytest.mark.parametrize("name", ["relu", "gelu", "clamp", "relu6"])
def test_a_unit_of_nan_is_not_dead(name: str) -> None:
    x = torch.full((20, 3), 1.0)
    x[:, 1] = math.nan
    net = Net(ONE_SIDED[name], 3)
    with torch.no_grad():
        net.fc.weight.zero_()
    net.arrange = lambda y: y + x
    assert units_of(look_at(net, torch.ones(20, 3))).dead == ()


def test_leaky_activations_have_no_dead_units() -> None:
    leaky: list[Any] = [F.leaky_relu, lambda x: F.rrelu(x), lambda x: F.prelu(x, torch.tensor([0.25])), F.logsigmoid]
    for function in leaky:
        assert all(layer.units is None for layer in look_at(Net(function, 4), torch.randn(6, 4) - 50).layers)
