"""The instrument against mean field theory: χ and q by Gauss–Hermite quadrature, written here and nowhere in the product."""
# mypy: disable-error-code="no-any-return,no-untyped-call,operator,union-attr"
# (torch types what modules return as Any, and their attributes as a tensor or a module)

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from looking import gain_of, look_at, transmission_of
from torch import nn

Function = Callable[["np.ndarray[Any, Any]"], "np.ndarray[Any, Any]"]

WIDTH, DEPTH, SAMPLES = 512, 6, 64
LINEAR_LAYERS = [str(2 * number) for number in range(DEPTH)]

_erf = np.vectorize(math.erf)


def _sigmoid(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return 1 / (1 + np.exp(-x))


def _bell(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def _cumulative(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return (1 + _erf(x / math.sqrt(2))) / 2


ACTIVATIONS: dict[str, tuple[Callable[[], nn.Module], Function, Function]] = {
    "linear": (nn.Identity, lambda x: x, np.ones_like),
    "relu": (nn.ReLU, lambda x: np.maximum(x, 0), lambda x: (x > 0) * 1.0),
    "tanh": (nn.Tanh, np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "sigmoid": (nn.Sigmoid, _sigmoid, lambda x: _sigmoid(x) * (1 - _sigmoid(x))),
    "gelu": (nn.GELU, lambda x: x * _cumulative(x), lambda x: _cumulative(x) + x * _bell(x)),
}

# Three weight scales each: below, at and above where the gradient keeps its norm.
SCALES = {
    "linear": (0.5, 1.0, 1.5),
    "relu": (1.0, math.sqrt(2), 2.0),
    "tanh": (1.0, math.sqrt(2.153), 2.0),
    "sigmoid": (1.0, math.sqrt(22.3), 6.0),
    "gelu": (1.0, math.sqrt(2.194), 2.0),
}
CASES = [(name, scale) for name, scales in SCALES.items() for scale in scales]

# 240 nodes are even in number: no node stands on the kink of ReLU, and its two halves are summed exactly.
_nodes, _weights = np.polynomial.hermite_e.hermegauss(240)
_weights = _weights / _weights.sum()


def mean_over_normal(function: Function, variance: float) -> float:
    return float((_weights * function(math.sqrt(variance) * _nodes)).sum())


def predicted(name: str, scale: float, layers: int, bias: float = 0.0) -> list[float]:
    """χ between the pre-activations of each pair of neighbouring layers; the input has a mean square of 1."""
    _, phi, slope = ACTIVATIONS[name]
    q = scale**2 + bias
    found = []
    for _ in range(layers - 1):
        found.append(scale**2 * mean_over_normal(_squared(slope), q))
        q = scale**2 * mean_over_normal(_squared(phi), q) + bias
    return found


def _squared(function: Function) -> Function:
    return lambda x: function(x) ** 2


def test_the_quadrature_gives_the_published_table() -> None:
    table = {"relu": (0.5, 0.5), "tanh": (0.3943, 0.4644), "sigmoid": (0.2934, 0.0448), "gelu": (0.4252, 0.4559)}
    for name, (square, square_of_slope) in table.items():
        _, phi, slope = ACTIVATIONS[name]
        assert mean_over_normal(_squared(phi), 1.0) == pytest.approx(square, abs=6e-5)
        assert mean_over_normal(_squared(slope), 1.0) == pytest.approx(square_of_slope, abs=6e-5)


def random_net(name: str, scale: float, seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for _ in range(DEPTH):
        linear = nn.Linear(WIDTH, WIDTH)
        nn.init.normal_(linear.weight, std=scale / math.sqrt(WIDTH))
        nn.init.zeros_(linear.bias)
        layers += [linear, ACTIVATIONS[name][0]()]
    return nn.Sequential(*layers[:-1])


def inputs() -> torch.Tensor:
    """Mean square exactly 1 in every sample, so that q starts where the recursion does."""
    x = torch.randn(SAMPLES, WIDTH)
    return x / x.square().mean(1, keepdim=True).sqrt()


def tolerance(layers: int) -> float:
    """Three standard deviations of the log of a squared gain: √β, β = 5 Σ 1/n."""
    return 3 * math.sqrt(5 * layers / WIDTH)


@pytest.mark.parametrize(("name", "scale"), CASES)
def test_gain_per_layer(name: str, scale: float) -> None:
    readings = look_at(random_net(name, scale, seed=1), inputs())
    expected = predicted(name, scale, DEPTH)
    by_transmission, by_gain = [], []
    for number, (lower, upper) in enumerate(itertools.pairwise(LINEAR_LAYERS)):
        by_transmission.append((transmission_of(readings, lower) / transmission_of(readings, upper)) ** 2)
        own = 1.0 if name == "linear" else gain_of(readings, str(2 * number + 1))
        by_gain.append((gain_of(readings, upper) * own) ** 2)
    for found, through_gains, chi in zip(by_transmission, by_gain, expected, strict=True):
        assert abs(math.log(found / chi)) < tolerance(1)
        assert through_gains == pytest.approx(found, rel=1e-4)


@pytest.mark.parametrize(("name", "scale"), CASES)
def test_gain_over_the_whole_depth(name: str, scale: float) -> None:
    """Over three draws of the weights the noise averages out, and the rate per layer stands within 3 %."""
    expected = float(np.mean(np.log(predicted(name, scale, DEPTH))))
    found = []
    for seed in (2, 3, 4):
        readings = look_at(random_net(name, scale, seed), inputs())
        ratio = transmission_of(readings, LINEAR_LAYERS[0]) / transmission_of(readings, LINEAR_LAYERS[-1])
        found.append(2 * math.log(ratio) / (DEPTH - 1))
    assert float(np.mean(found)) == pytest.approx(expected, abs=0.06)


@pytest.mark.parametrize(
    ("name", "published"), [("relu", 0.1667), ("tanh", 0.3308), ("sigmoid", 0.0200), ("gelu", 0.0839)]
)
def test_default_initialisation_of_torch(name: str, published: float) -> None:
    """`nn.Linear` as torch makes it: weights of variance 1/(3 n), biases too; χ where q has settled."""
    rates = []
    for seed in range(3):
        torch.manual_seed(seed)
        layers = [part for _ in range(9) for part in (nn.Linear(WIDTH, WIDTH), ACTIVATIONS[name][0]())][:-1]
        readings = look_at(nn.Sequential(*layers), inputs())
        rates.append((transmission_of(readings, "8") / transmission_of(readings, "16")) ** (2 / 4))
    assert float(np.mean(rates)) == pytest.approx(published, rel=0.06)
    own = predicted(name, math.sqrt(1 / 3), 9, bias=1 / (3 * WIDTH))[-1]
    assert own == pytest.approx(published, rel=0.02)


def test_batch_norm_and_relu_grow_at_the_published_rate() -> None:
    """Without skips the squared gradient grows by π/(π−1) = 1.467 a layer (Yang 2019)."""
    depth, width = 16, 256
    rates = []
    for seed in range(2):
        torch.manual_seed(seed)
        blocks = [
            nn.Sequential(nn.Linear(width, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()) for _ in range(depth)
        ]
        readings = look_at(nn.Sequential(*blocks), torch.randn(256, width))
        ratio = transmission_of(readings, "3.0") / transmission_of(readings, f"{depth - 2}.0")
        rates.append(ratio ** (2 / (depth - 5)))
    assert float(np.mean(rates)) == pytest.approx(math.pi / (math.pi - 1), rel=0.04)


def test_a_gain_that_no_noise_explains_is_seen() -> None:
    """The tolerance is not so wide that a layer 1.5 times too strong would pass."""
    net = random_net("relu", math.sqrt(2), seed=1)
    with torch.no_grad():
        net[6].weight.mul_(1.5)
    readings = look_at(net, inputs())
    found = (transmission_of(readings, "4") / transmission_of(readings, "6")) ** 2
    assert abs(math.log(found)) > 2 * tolerance(1)


def test_transmission_does_not_depend_on_a_loss_or_on_its_scale() -> None:
    net, x = random_net("tanh", 1.0, seed=1), inputs()
    plain = [layer.transmission for layer in look_at(net, x).layers]
    scaled = look_at(net, x, loss=lambda out, _target: 1e-6 * out.square().sum())
    assert [layer.transmission for layer in scaled.layers] == plain
