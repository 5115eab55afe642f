"""Deep nets on two circles, single units on a line, and 2-4-4-1 nets that are born dead or alive: none is trained."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from sample import SampleModel
from torch import Tensor, nn

DEPTH, WIDTH = 20, 32
"""Hidden layers and their width in the nets on two circles."""


def two_circles(samples: int = 256) -> tuple[Tensor, Tensor]:
    """Points ``(B, 2)`` near circles of radius 1 and 0.5, and which circle ``(B,)``."""
    generator = np.random.default_rng(0)
    circle = np.arange(samples) % 2
    angle = generator.uniform(0, 2 * np.pi, samples)
    radius = np.where(circle == 1, 0.5, 1.0)
    points = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1) + generator.normal(0, 0.05, (samples, 2))
    return torch.from_numpy(points).float(), torch.from_numpy(circle)


def deep_mlp(activation: type[nn.Module], initialise: Callable[[nn.Linear], None], seed: int) -> nn.Sequential:
    """2 → 20 × 32 → 2; `initialise` changes a hidden layer in place, the head keeps torch's default."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for inside in (2, *[WIDTH] * (DEPTH - 1)):
        linear = nn.Linear(inside, WIDTH)
        initialise(linear)
        layers += [linear, activation()]
    return nn.Sequential(*layers, nn.Linear(WIDTH, 2))


def torch_default(linear: nn.Linear) -> None:
    """What `nn.Linear` comes with: σ_w² = 1/3."""


def small_normal(linear: nn.Linear) -> None:
    """N(0, 0.05²): σ_w² = 0.08 at width 32, far below tanh's critical value."""
    nn.init.normal_(linear.weight, std=0.05)
    nn.init.zeros_(linear.bias)


def he(linear: nn.Linear) -> None:
    """He 2015: σ_w² = 2, critical for ReLU."""
    nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
    nn.init.zeros_(linear.bias)


def thrice_he(linear: nn.Linear) -> None:
    """Three times He's standard deviation: every layer multiplies the signal by about three."""
    he(linear)
    with torch.no_grad():
        linear.weight *= 3.0


def sigmoid_mlp() -> SampleModel:
    """Vanishing: sigmoid's slope of at most 1/4, twenty times."""
    return SampleModel(deep_mlp(nn.Sigmoid, torch_default, seed=0), *two_circles(), onnx=True)


def tanh_mlp() -> SampleModel:
    """Vanishing: weights far too small for tanh."""
    return SampleModel(deep_mlp(nn.Tanh, small_normal, seed=0), *two_circles())


def relu_mlp() -> SampleModel:
    """Healthy: the cure of both; the seed leaves at most a third of any layer's units silent."""
    return SampleModel(deep_mlp(nn.ReLU, he, seed=1), *two_circles())


def exploding_mlp() -> SampleModel:
    """Exploding: the cured net with weights three times too large."""
    return SampleModel(deep_mlp(nn.ReLU, thrice_he, seed=1), *two_circles())


def _unit(activation: nn.Module) -> SampleModel:
    linear = nn.Linear(1, 1, bias=False)
    nn.init.constant_(linear.weight, -10.0)
    x = torch.arange(1, 257)[:, None] / 256
    return SampleModel(nn.Sequential(linear, activation), x, x.clone())


def relu_unit() -> SampleModel:
    """Dead: max(0, -10 x) is to learn max(0, x) on (0, 1], and never fires there."""
    return _unit(nn.ReLU())


def leaky_unit() -> SampleModel:
    """Healthy: the same unit with a slope of 0.3 on the other side."""
    return _unit(nn.LeakyReLU(0.3))


def regression_net(seed: int) -> nn.Sequential:
    """2-4-4-1 with a ReLU at the output too, torch's default initialisation."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1), nn.ReLU()
    )  # fmt: skip


def silent_shares(net: nn.Sequential, x: Tensor) -> list[float]:
    """For each ReLU, the share of its units that never fire on ``x``."""
    shares = []
    with torch.no_grad():
        for layer in net:
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                shares.append((x == 0).all(0).float().mean().item())
    return shares


def _regression(wanted: Callable[[list[float]], bool]) -> SampleModel:
    """The first seed whose silent shares are as wanted."""
    x = torch.from_numpy(np.random.default_rng(1).uniform(-1, 1, (256, 2))).float()
    net = next(net for net in map(regression_net, range(1000)) if wanted(silent_shares(net, x)))
    return SampleModel(net, x, x.sum(1, keepdim=True).abs())


def born_dead() -> SampleModel:
    """Dead: the output ReLU is silent on all data, while the hidden layers are well."""
    return _regression(lambda silent: silent[2] == 1 and max(silent[:2]) <= 0.25)


def born_alive() -> SampleModel:
    """Healthy: another draw of the same net, in which no layer has lost a unit."""
    return _regression(lambda silent: max(silent) == 0)


TOY_NETWORKS: dict[str, Callable[[], SampleModel]] = {
    build.__name__: build
    for build in (
        sigmoid_mlp, tanh_mlp, relu_mlp, exploding_mlp, relu_unit, leaky_unit, born_dead, born_alive
    )
}  # fmt: skip
