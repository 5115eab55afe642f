"""Random nets with the verdict that mean-field theory predicts.

With weights N(0, σ_w²/fan_in) and biases N(0, σ_b²): q ← σ_w² E[φ(√q z)²] + σ_b² and χ = σ_w² E[φ'(√q z)²]; T at the first
layer is Π √χ over the layers behind it. A case is kept only where that product, three standard deviations of finite width
either way (√β/2, β = 5 Σ 1/n), stays in one class: below 1e-7 vanishing, above 1e5 exploding, 1e-2 … 1e2 healthy.
Sources: Poole 2016; Schoenholz 2017; Hanin & Nica 2018; Yang 2019 for batch norm.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn

from .cases import EXPLODING, HEALTHY, VANISHING, Case, Problem, problem
from .nets import Residual, data, plain, scaled, untouched

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "leaky": lambda: nn.LeakyReLU(0.1),
}
CRITICAL = {
    "relu": 2.0,
    "tanh": 1.0,
    "gelu": 2.0,
    "silu": 2.6,
    "elu": 1.5,
    "selu": 1.0,
    "leaky": 2 / 1.01,
    "sigmoid": 16.0,
}
"""σ_w² at or near which q or χ keeps its size."""
WIDTHS = (64, 128)
DEPTHS = (3, 6, 12, 24, 48)
SCALES = ((1.0, 0.0), (1 / 6, 0.0), (4.0, 0.0), (1.0, 0.05), (0.4, 0.05), (2.0, 0.0), (9.0, 0.05))
"""(σ_w² over the critical one, σ_b²)."""
MOST_ILL = 2
"""Ill cases kept for one activation and verdict, so that no activation rules the set; of healthy ones, one for each depth."""


@dataclass(frozen=True)
class Prediction:
    """Of one net."""

    log_t: float
    """ln T at the first layer."""
    noise: float
    """Standard deviation of it at this width."""
    smallest_q: float
    """Of any layer: the square of its values' size."""
    weak: float
    """Largest share of values, over layers, at which a bounded activation is saturated."""
    flat: float
    """Largest share of values at which φ' is below 1e-6."""

    @property
    def verdict(self) -> str | None:
        """None in the grey zone."""
        low, high = self.log_t - 3 * self.noise, self.log_t + 3 * self.noise
        if high < math.log(1e-7):
            return VANISHING
        if self.weak > 0.3 or self.flat > 0.55:
            return None
        if low > math.log(1e5) and self.smallest_q > 0.01:
            return EXPLODING
        return HEALTHY if math.log(1e-2) < low and high < math.log(1e2) else None


def predict(
    name: str, depth: int, width: int, sigma2_w: float, sigma2_b: float, first_b: float | None = None
) -> Prediction:
    """Follow q and χ through `depth` hidden layers on inputs of unit size."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(201)
    weights = weights / weights.sum()
    q = sigma2_w + (sigma2_b if first_b is None else first_b)
    log_t, smallest, weak, flat = 0.0, q, 0.0, 0.0
    for _ in range(depth):
        z = torch.tensor(math.sqrt(q) * nodes, dtype=torch.float64, requires_grad=True)
        y = ACTIVATIONS[name]()(z)
        (slope,) = torch.autograd.grad(y.sum(), z)
        squared = float((slope.square().numpy() * weights).sum())
        log_t += 0.5 * math.log(sigma2_w * squared)
        top = {"tanh": 1.0, "sigmoid": 0.25}.get(name)
        if top is not None:
            weak = max(weak, float((weights * (slope.numpy() < 0.01 * top)).sum()))
        flat = max(flat, float((weights * (slope.abs().numpy() < 1e-6)).sum()))
        q = sigma2_w * float((y.detach().square().numpy() * weights).sum()) + sigma2_b
        smallest = min(smallest, q)
    return Prediction(log_t, math.sqrt(5 * depth / width) / 2, smallest, weak, flat)


def _gaussian(name: str, depth: int, width: int, sigma2_w: float, sigma2_b: float) -> Callable[[], Problem]:
    def build() -> Problem:
        start = lambda layer: scaled(layer, math.sqrt(sigma2_w), math.sqrt(sigma2_b))  # noqa: E731
        net = plain(depth, width, ACTIVATIONS[name], initialise=start, bias=sigma2_b > 0, inputs=width, outputs=10)
        return problem(net, data(64, width), data(64, width))

    return build


def _grid() -> list[Case]:
    found: list[Case] = []
    kept: dict[tuple[str, str, int], int] = {}
    for name, critical in CRITICAL.items():
        for depth in DEPTHS:
            for index, (times, bias) in enumerate(
                [(1.0, 0.0), (1 / 6, 0.0), (4.0, 0.0), (1.0, 0.05), (0.4, 0.05), (2.0, 0.0), (9.0, 0.05)]
            ):
                width = WIDTHS[(index + depth) % 2]
                prediction = predict(name, depth, width, critical * times, bias)
                verdict = prediction.verdict
                if verdict is None:
                    continue
                cell = (name, verdict, depth if verdict == HEALTHY else 0)
                if kept.get(cell, 0) >= (1 if verdict == HEALTHY else MOST_ILL):
                    continue
                kept[cell] = kept.get(cell, 0) + 1
                label = f"theory/{name}-depth{depth}-width{width}-w{critical * times:.2f}-b{bias}"
                why = f"mean field predicts T = {math.exp(prediction.log_t):.1e} at the first layer"
                found.append(Case(label, "theory", _gaussian(name, depth, width, critical * times, bias), verdict, why))
    return found


def _initialised(
    name: str, depth: int, width: int, start: Callable[[nn.Linear], object], bias: bool = True
) -> Callable[[], Problem]:
    return lambda: problem(
        plain(depth, width, ACTIVATIONS[name], initialise=start, bias=bias, inputs=width, outputs=10), data(64, width)
    )


def _xavier(layer: nn.Linear) -> None:
    nn.init.xavier_normal_(layer.weight)
    nn.init.zeros_(layer.bias)


def _orthogonal(gain: float) -> Callable[[nn.Linear], None]:
    def start(layer: nn.Linear) -> None:
        nn.init.orthogonal_(layer.weight, gain)
        nn.init.zeros_(layer.bias)

    return start


def _usual() -> list[Case]:
    """The initialisations that people use, where theory is decisive."""
    starts: dict[str, tuple[Callable[[nn.Linear], object], Callable[[str, int], tuple[float, float]]]] = {
        "default": (untouched, lambda _name, width: (1 / 3, 1 / (3 * width))),
        "xavier": (_xavier, lambda _name, _width: (1.0, 0.0)),
        "orthogonal": (_orthogonal(1.0), lambda _name, _width: (1.0, 0.0)),
        "orthogonal-sqrt2": (_orthogonal(math.sqrt(2)), lambda _name, _width: (2.0, 0.0)),
    }
    wanted = [
        ("default", "relu", 2),
        ("default", "relu", 24),
        ("default", "relu", 40),
        ("default", "tanh", 3),
        ("default", "tanh", 48),
        ("default", "sigmoid", 9),
        ("default", "sigmoid", 14),
        ("default", "gelu", 20),
        ("default", "gelu", 2),
        ("default", "silu", 22),
        ("default", "leaky", 30),
        ("default", "selu", 60),
        ("xavier", "tanh", 10),
        ("xavier", "tanh", 20),
        ("xavier", "tanh", 3),
        ("xavier", "sigmoid", 10),
        ("xavier", "sigmoid", 13),
        ("xavier", "selu", 20),
        ("xavier", "relu", 3),
        ("orthogonal", "tanh", 20),
        ("orthogonal", "tanh", 40),
        ("orthogonal-sqrt2", "relu", 12),
        ("orthogonal-sqrt2", "relu", 3),
        ("xavier", "relu", 60),
    ]
    found = []
    for start, name, depth in wanted:
        initialise, variances = starts[start]
        sigma2_w, sigma2_b = variances(name, 128)
        prediction = predict(name, depth, 128, sigma2_w, sigma2_b)
        if prediction.verdict is None:
            continue
        why = f"mean field predicts T = {math.exp(prediction.log_t):.1e} at the first layer"
        build = _initialised(name, depth, 128, initialise)
        found.append(Case(f"theory/{start}-{name}-depth{depth}", "theory", build, prediction.verdict, why))
    return found


def _batch_norm(depth: int, activation: str = "relu") -> Callable[[], Problem]:
    return lambda: problem(
        plain(depth, 64, ACTIVATIONS[activation], norm=nn.BatchNorm1d, initialise=untouched, inputs=64), data(128, 64)
    )


class DeepConv(nn.Module):
    """Convolutions with circular padding, no skips, no norm."""

    def __init__(self, depth: int, he: bool) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(16, 16, 3, padding=1, padding_mode="circular") for _ in range(depth))
        self.head = nn.Conv2d(16, 16, 1)
        if he:
            for conv in self.convs:
                nn.init.kaiming_normal_(conv.get_parameter("weight"), nonlinearity="relu")
                nn.init.zeros_(conv.get_parameter("bias"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 16, H, W) → (B, 16, H, W)."""
        for conv in self.convs:
            x = torch.relu(conv(x))
        out: torch.Tensor = self.head(x)
        return out


def _convolutions() -> list[Case]:
    """fan_in counts the kernel, so the same χ holds."""
    found = []
    for depth, he, verdict in (
        (24, False, VANISHING),
        (36, False, VANISHING),
        (2, False, HEALTHY),
        (8, True, HEALTHY),
        (12, True, HEALTHY),
    ):
        why = f"χ = {'1' if he else '1/6'} a layer, over {depth} layers of ReLU"
        build = lambda d=depth, h=he: problem(DeepConv(d, h), torch.randn(8, 16, 8, 8))  # noqa: E731
        found.append(Case(f"theory/conv-{'he' if he else 'default'}-depth{depth}", "theory", build, verdict, why))
    return found


def _norms() -> list[Case]:
    """Batch norm without skips: χ = E[φ'²] / Var[φ] at q = 1."""
    found = []
    for activation, depth, chi, verdict in (
        ("sigmoid", 10, 1.03, HEALTHY),
        ("sigmoid", 30, 1.03, HEALTHY),
        ("tanh", 10, 1.178, HEALTHY),
        ("tanh", 180, 1.178, EXPLODING),
    ):
        why = f"χ = {chi} a layer: {chi ** (depth / 2):.1e} for the norm over {depth}"
        found.append(
            Case(f"theory/batch-norm-{activation}-depth{depth}", "theory", _batch_norm(depth, activation), verdict, why)
        )
    return found


def _residual(depth: int, scale: float = 1.0) -> Problem:
    return problem(Residual(depth, scale=scale), data())


def _structured() -> list[Case]:
    growth = "batch norm with ReLU and no skips multiplies the squared gradient by π/(π−1) a layer"
    found = [
        Case("theory/batch-norm-depth4", "theory", _batch_norm(4), HEALTHY, f"{growth}: 2.2 over 4 layers"),
        Case("theory/batch-norm-depth8", "theory", _batch_norm(8), HEALTHY, f"{growth}: 4.6 over 8 layers"),
        Case("theory/batch-norm-depth80", "theory", _batch_norm(80), EXPLODING, f"{growth}: 4.6e6 over 80 layers"),
        Case("theory/batch-norm-depth100", "theory", _batch_norm(100), EXPLODING, f"{growth}: 2e8 over 100 layers"),
    ]
    for depth in (10, 30, 60):
        scale = 1 / math.sqrt(depth)
        why = "each block multiplies the squared gradient by 1 + 1/L: e in all, 1.65 for the norm"
        found.append(
            Case(
                f"theory/residual-scaled-depth{depth}",
                "theory",
                partial(_residual, depth, scale),
                HEALTHY,
                why,
            )
        )
    for depth in (48, 64):
        why = f"each block doubles the squared gradient: 2^{depth // 2} for the norm, and the values grow with it"
        found.append(
            Case(
                f"theory/residual-unscaled-depth{depth}",
                "theory",
                partial(_residual, depth),
                EXPLODING,
                why,
            )
        )
    found.append(
        Case(
            "theory/residual-unscaled-depth6",
            "theory",
            lambda: problem(Residual(6), data()),
            HEALTHY,
            "2^3 = 8 over six blocks",
        )
    )
    return found


def cases() -> list[Case]:
    """All of the family."""
    return [*_grid(), *_usual(), *_structured(), *_convolutions(), *_norms()]
