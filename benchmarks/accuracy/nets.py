"""Nets that several families start from, with names that read well in a report."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn

Activation = Callable[[], nn.Module]
Norm = Callable[[int], nn.Module]


def scaled(layer: nn.Linear, sigma_w: float, sigma_b: float = 0.0) -> nn.Linear:
    """Weights N(0, σ_w²/fan_in), biases N(0, σ_b²)."""
    nn.init.normal_(layer.weight, std=sigma_w / math.sqrt(layer.in_features))
    if layer.bias is not None:
        nn.init.normal_(layer.bias, std=sigma_b) if sigma_b else nn.init.zeros_(layer.bias)
    return layer


def plain(
    depth: int = 6,
    width: int = 64,
    activation: Activation = nn.ReLU,
    *,
    initialise: Callable[[nn.Linear], object] | None = None,
    norm: Norm | None = None,
    bias: bool = True,
    inputs: int = 20,
    outputs: int = 5,
) -> nn.Sequential:
    """``linear0 norm0 act0 … head``: `depth` hidden layers, He initialisation with zero bias unless told otherwise."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    start = initialise or (lambda layer: scaled(layer, math.sqrt(2)))
    for index in range(depth):
        linear = nn.Linear(inputs if index == 0 else width, width, bias=bias)
        start(linear)
        layers[f"linear{index}"] = linear
        if norm is not None:
            layers[f"norm{index}"] = norm(width)
        layers[f"act{index}"] = activation()
    head = nn.Linear(width if depth else inputs, outputs, bias=bias)
    start(head)
    layers["head"] = head
    return nn.Sequential(layers)


def untouched(_layer: nn.Linear) -> None:
    """Leave torch's default initialisation."""


def data(samples: int = 64, features: int = 20) -> Tensor:
    """Standard normal (B, features)."""
    return torch.randn(samples, features)


class Residual(nn.Module):
    """``x + scale·outer(relu(inner(x)))``, as often as `depth`, between a stem and a head; no normalisation."""

    def __init__(self, depth: int, width: int = 64, scale: float = 1.0) -> None:
        super().__init__()
        self.stem = scaled(nn.Linear(20, width), 1.0)
        self.inner = nn.ModuleList(scaled(nn.Linear(width, width), math.sqrt(2)) for _ in range(depth))
        self.outer = nn.ModuleList(scaled(nn.Linear(width, width), 1.0) for _ in range(depth))
        self.head = scaled(nn.Linear(width, 5), 1.0)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """(B, 20) → (B, 5)."""
        x = self.stem(x)
        for inner, outer in zip(self.inner, self.outer, strict=True):
            x = x + self.scale * outer(torch.relu(inner(x)))
        out: Tensor = self.head(x)
        return out
