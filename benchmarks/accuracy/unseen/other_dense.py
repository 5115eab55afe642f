"""Adversaries, teachers, adapters and plain tabular nets with one fault each."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .case import (
    blobs,
    both,
    diverges,
    learns,
    no_gradient,
    nonfinite,
    regress,
    silent,
    strong,
    weak,
)
from .faults import bias, freeze, none, poison, scale, scales
from .other import case


class Gan(nn.Module):
    """Generator through a discriminator."""

    def __init__(self, fault: str = "") -> None:
        super().__init__()
        self.gen = nn.Sequential(nn.Linear(8, 24), nn.ReLU(), nn.Linear(24, 16))
        self.disc = nn.Sequential(nn.Linear(16, 24), nn.LeakyReLU(0.2), nn.Linear(24, 1))
        self.fault = fault

    def forward(self, z: Tensor) -> Tensor:
        """(B, 8) → (B, 1)."""
        x = self.gen(z)
        if self.fault == "detach":
            x = x.detach()
        o = self.disc(x)
        return torch.sigmoid(o - 60) if self.fault == "perfect" else o


case(
    "gan-generator",
    "healthy",
    "a generator trained through a frozen discriminator",
    learns(0.1, 60),
    Gan,
    freeze("disc"),
    data=lambda: (torch.randn(48, 8), torch.ones(48, 1)),
    loss="bce",
)
case(
    "gan-detached",
    "dead",
    "the fake is detached and the generator asked to learn",
    no_gradient("gen"),
    lambda: Gan("detach"),
    none,
    ("gen.2", "gen", "gen.0", "gen.1", "disc.0"),
    {"gen.0": "dead", "gen.2": "dead", "disc.0": "healthy", "disc.2": "healthy"},
    data=lambda: (torch.randn(48, 8), torch.ones(48, 1)),
    loss="bce",
)
case(
    "gan-saturated",
    "vanishing",
    "minimax loss against a perfect discriminator: sigmoid(-60)",
    weak("gen.0", 1e-6, 1e-3),
    lambda: Gan("perfect"),
    none,
    ("sigmoid()", "sub()", "disc.2", "disc"),
    {"gen.0": "vanishing", "gen.2": "vanishing"},
    data=lambda: (torch.randn(48, 8), torch.ones(48, 1)),
    loss=lambda o, _y: torch.log(1 - o + 1e-6).mean(),
)


class Teacher(nn.Module):
    """A student and its momentum copy (no gradients by intent)."""

    def __init__(self) -> None:
        super().__init__()
        self.student = nn.Sequential(nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 4))
        self.teacher = nn.Sequential(nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 4)).requires_grad_(False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 16) → (B, 4), (B, 4)."""
        with torch.no_grad():
            t = self.teacher(x)
        return self.student(x), t


case(
    "ema-teacher",
    "healthy",
    "the momentum teacher is frozen by design",
    learns(0.2, 60),
    Teacher,
    loss=lambda o, y: F.cross_entropy(o[0], y) + 0.1 * F.mse_loss(o[0], o[1]),
)


class Lora(nn.Module):
    """A frozen layer with a low-rank adapter."""

    def __init__(self, zero_a: bool) -> None:
        super().__init__()
        self.base = nn.Linear(16, 32).requires_grad_(False)
        self.a, self.b = nn.Linear(16, 4, bias=False), nn.Linear(4, 32, bias=False)
        self.head = nn.Linear(32, 4)
        nn.init.zeros_(self.b.weight)
        if zero_a:
            nn.init.zeros_(self.a.weight)

    def forward(self, x: Tensor) -> Any:
        """(B, 16) → (B, 4)."""
        return self.head(torch.relu(self.base(x) + self.b(self.a(x))))


case("lora", "healthy", "LoRA with B = 0", learns(0.2, 100), lambda: Lora(False))
case(
    "lora-both-zero",
    "dead",
    "A = B = 0: the adapter can never move",
    no_gradient("a", "b"),
    lambda: Lora(True),
    none,
    ("a", "b"),
    {"a": "dead", "b": "dead", "head": "healthy"},
)


class Dense(nn.Module):
    """A plain tabular MLP with one fault."""

    def __init__(self, fault: str = "", depth: int = 3) -> None:
        super().__init__()
        self.h = nn.ModuleList(nn.Linear(16 if i == 0 else 32, 32) for i in range(depth))
        self.act = nn.ModuleList(nn.ReLU() for _ in range(depth))
        for f in self.h:
            nn.init.kaiming_normal_(f.get_parameter("weight"), nonlinearity="relu")
            nn.init.zeros_(f.get_parameter("bias"))
        self.out = nn.Linear(32, 4)
        self.fault = fault
        if fault == "unregistered":
            self.free = nn.Linear(32, 32)

    def forward(self, x: Tensor) -> Any:
        """(B, 16) → (B, 4)."""
        for i, (f, a) in enumerate(zip(self.h, self.act, strict=True)):
            x = a(f(x))
            if self.fault == "scale" and i == 1:
                x = x * 1e-8
            if self.fault == "undone" and i == 0:
                x = x * 1e4
            if self.fault == "undone" and i == 1:
                x = x * 1e-4
            if self.fault == "int" and i == 1:
                x = x.long().float()
            if self.fault == "grow" and i == 1:
                x = x * 1e8
        if self.fault == "tensor":
            return torch.softmax(self.out(x) * 0.0, -1)
        return self.out(x)


HEAD = {"h.0": "dead", "h.1": "dead"}
case("dense", "healthy", "He initialised MLP", learns(), Dense)
case(
    "dense-undone",
    "healthy",
    "a layer x 1e4 followed by x 1e-4: linear algebra undoes it",
    learns(),
    lambda: Dense("undone"),
)
case(
    "dense-scale",
    "vanishing",
    "activations times a constant 1e-8 in the trunk",
    weak("h.0", 1e-6),
    lambda: Dense("scale"),
    none,
    ("mul()", "act.1", "h.2", "h.1"),
    {"h.0": "vanishing", "h.1": "vanishing", "out": "healthy"},
)
case(
    "dense-grow",
    "exploding",
    "activations times a constant 1e8 in the trunk",
    strong("h.0"),
    lambda: Dense("grow"),
    none,
    ("mul()", "act.1", "h.2", "h.1"),
    {"h.0": "exploding", "h.1": "exploding"},
)
case(
    "dense-long",
    "dead",
    "a cast to integer and back",
    no_gradient("h.0", "h.1"),
    lambda: Dense("int"),
    none,
    ("act.1", "h.1", "h.2"),
    {**HEAD, "out": "healthy", "h.2": "healthy"},
)
case(
    "dense-times-zero",
    "dead",
    "logits times 0: nothing can learn",
    no_gradient("h.0", "h.1", "h.2", "out"),
    lambda: Dense("tensor"),
    none,
    ("mul()", "out"),
    {**HEAD, "h.2": "dead", "out": "dead"},
    loss="nll",
)
case(
    "dense-unused",
    "dead",
    "a registered layer without use",
    no_gradient("free"),
    lambda: Dense("unregistered"),
    none,
    ("free",),
    {"free": "dead", "h.0": "healthy", "h.1": "healthy", "out": "healthy"},
)
case(
    "dense-dead-one",
    "dead",
    "bias -1e3 before the second ReLU",
    both(silent("act.1"), no_gradient("h.0", "h.1")),
    Dense,
    bias("h.1", -1e3),
    ("h.1", "act.1"),
    {"h.1": "dead", "h.0": "dead"},
)
case(
    "dense-all-negative",
    "dead",
    "all weights of a layer negative, its inputs non-negative, bias 0: silent on every possible input",
    both(silent("act.1"), no_gradient("h.0", "h.1")),
    Dense,
    lambda n: n.h[1].weight.data.copy_(-n.h[1].weight.data.abs()),
    ("h.1", "act.1"),
    {"h.1": "dead", "h.0": "dead"},
)
case(
    "dense-all-positive",
    "healthy",
    "all weights of a layer positive: always on, never flat",
    learns(0.2, 60, lr=1e-3),
    Dense,
    lambda n: n.h[1].weight.data.copy_(n.h[1].weight.data.abs() * 0.2),
)
case(
    "dense-hot",
    "exploding",
    "one weight matrix x 1e6",
    strong("h.0"),
    Dense,
    scale("h.1", 1e6),
    ("h.1",),
    {"h.0": "exploding"},
)
case(
    "dense-faint-two",
    "vanishing",
    "two successive matrices x 1e-5",
    weak("h.0", 1e-5),
    Dense,
    scales(["h.1", "h.2"], 1e-5),
    ("h.1", "h.2", "act.1"),
    {"h.0": "vanishing", "out": "healthy"},
)
case(
    "dense-negative-inf",
    "exploding",
    "-inf in a bias",
    nonfinite,
    Dense,
    lambda n: n.out.bias.data[1].fill_(float("-inf")),
    ("out",),
    {"out": "exploding"},
)
case(
    "dense-nan-first",
    "exploding",
    "NaN in the first weight",
    nonfinite,
    Dense,
    poison("h.0", float("nan")),
    ("h.0",),
    {"h.0": "exploding"},
)
case("dense-adam", "healthy", "Adam at 1e-3", learns(0.1), Dense, optimizer="adam", lr=1e-3)
case("dense-sgd", "healthy", "SGD at 0.05", learns(0.2), Dense, lr=0.05)
case("dense-momentum", "healthy", "momentum SGD at 0.02", learns(0.2), Dense, optimizer="momentum", lr=0.02)
case("dense-sgd-100", "exploding", "SGD at 100", diverges(), Dense, lr=100.0)
case(
    "dense-adam-30",
    "exploding",
    "Adam at 30 on a leaky net that cannot die",
    diverges(),
    lambda: nn.Sequential(nn.Linear(16, 32), nn.LeakyReLU(0.3), nn.Linear(32, 32), nn.LeakyReLU(0.3), nn.Linear(32, 4)),
    optimizer="adam",
    lr=30.0,
)
case(
    "dense-mse-sgd-2",
    "exploding",
    "mean squared error, SGD at 3: beyond 2/curvature",
    diverges(),
    lambda: nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 1)),
    data=lambda: (regress()[0] * 2, regress()[1]),
    loss="mse",
    lr=3.0,
)
case(
    "dense-input-huge",
    "vanishing",
    "raw inputs of 1e4 saturate the first tanh",
    lambda m, d, _o: "share of saturated units " + str(round(_sat(m, d), 3)),
    lambda: nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 4)),
    none,
    ("0", "1"),
    {"2": "healthy"},
    data=lambda: (blobs()[0] * 1e4 + 2e4, blobs()[1]),
)


def _sat(model: Any, data: Any) -> float:
    with torch.no_grad():
        share = float((model[0](data[0]).abs() > 3).float().mean())
    assert share > 0.99
    return share
