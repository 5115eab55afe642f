"""Odd but lawful ways to write a network, whole and broken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .case import (
    Built,
    Proof,
    add,
    blobs,
    images,
    learns,
    no_gradient,
    nonfinite,
    strong,
    weak,
)
from .faults import Mutate, none
from .lookalike_nets import plain, seq


def case(
    name: str,
    label: str,
    why: str,
    make: Callable[[], nn.Module],
    proof: Proof,
    culprits: tuple[str, ...] = (),
    layers: dict[str, str] | None = None,
    data: Callable[[], Any] = blobs,
    mutate: Mutate = none,
    **options: Any,
) -> None:
    """Register a network of this file."""

    def build() -> Built:
        net = make()
        mutate(net)
        return net, data(), {"loss": "cross-entropy"} | options

    add(f"odd/{name}", label, "odd", why, proof, build, culprits, layers)


class Forces(nn.Module):
    """Forces as the derivative of an energy: autograd inside forward."""

    def __init__(self, graph: bool = True) -> None:
        super().__init__()
        self.energy = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))
        self.graph = graph

    def forward(self, x: Tensor) -> Tensor:
        """(B, 8) → (B, 8)."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            e = self.energy(x).sum()
            return -torch.autograd.grad(e, x, create_graph=self.graph)[0]


def springs() -> tuple[Tensor, Tensor]:
    """Linear forces: x (64, 8), y (64, 8)."""
    x = torch.randn(64, 8)
    return x, -x * torch.linspace(0.2, 1, 8)


case(
    "forces",
    "healthy",
    "the output is the derivative of an energy (double backward)",
    Forces,
    learns(0.2, 150),
    data=springs,
    loss="mse",
)


class Hooks(nn.Module):
    """A tensor hook in forward."""

    def __init__(self, f: Callable[[Tensor], Tensor | None]) -> None:
        super().__init__()
        self.a, self.b, self.out = nn.Linear(16, 32), nn.Linear(32, 32), nn.Linear(32, 4)
        self.f = f

    def forward(self, x: Tensor) -> Any:
        """(B, 16) → (B, 4)."""
        h = torch.relu(self.a(x))
        if h.requires_grad:
            h.register_hook(self.f)  # type: ignore[no-untyped-call]
        return self.out(torch.relu(self.b(h)))


case("hook-logs", "healthy", "a hook that only looks", lambda: Hooks(lambda _g: None), learns())
case(
    "hook-clips",
    "healthy",
    "a hook that clips at 10, never reached",
    lambda: Hooks(lambda g: g.clamp(-10, 10)),
    learns(),
)
case(
    "hook-zeroes",
    "dead",
    "a hook returns zeros",
    lambda: Hooks(torch.zeros_like),
    no_gradient("a"),
    ("a", "relu()", "b"),
    {"a": "dead", "b": "healthy", "out": "healthy"},
)
case(
    "hook-starves",
    "vanishing",
    "a hook multiplies by 1e-10",
    lambda: Hooks(lambda g: g * 1e-10),
    weak("a", 1e-6),
    ("a", "relu()", "b"),
    {"a": "vanishing", "b": "healthy", "out": "healthy"},
)
case(
    "hook-inflates",
    "exploding",
    "a hook multiplies by 1e9",
    lambda: Hooks(lambda g: g * 1e9),
    strong("a"),
    ("a", "relu()", "b"),
    {"a": "exploding", "b": "healthy", "out": "healthy"},
)
case(
    "hook-nan",
    "exploding",
    "a hook divides by zero",
    lambda: Hooks(lambda g: g * float("nan")),
    nonfinite,
    ("a", "relu()", "b"),
    {"a": "exploding"},
)
case(
    "full-backward-hook",
    "dead",
    "a module's backward hook returns zero gradients",
    lambda: _hooked(plain()),
    no_gradient("0"),
    ("2", "1"),
    {"0": "dead", "4": "healthy"},
)


def _hooked(net: nn.Sequential) -> nn.Sequential:
    def zeroed(_module: nn.Module, inputs: Any, _outputs: Any) -> Any:
        return tuple(None if g is None else g * 0 for g in inputs)

    net[2].register_full_backward_hook(zeroed)
    return net


class Lazy(nn.Module):
    """Lazy layers, made real at once."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.LazyLinear(32), nn.ReLU(), nn.LazyLinear(4))
        self.net(torch.zeros(2, 16))

    def forward(self, x: Tensor) -> Any:
        """(B, 16) → (B, 4)."""
        return self.net(x)


case("lazy", "healthy", "lazy layers, made real by one call", Lazy, learns())
case(
    "scripted",
    "healthy",
    "a TorchScript module (its eager twin learns)",
    lambda: torch.jit.script(nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))),
    lambda _m, d, o: learns()(nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)), d, o),
)
case(
    "sparse-embedding",
    "healthy",
    "embedding bags with sparse gradients, trained by SGD",
    lambda: seq(nn.EmbeddingBag(40, 16, sparse=True), nn.Linear(16, 4)),
    learns(0.1, 100),
    data=lambda: ((torch.arange(64)[:, None] % 4 * 10 + torch.randint(0, 10, (64, 5))), torch.arange(64) % 4),
    lr=1.0,
)


class Out(NamedTuple):
    """What `Named` returns."""

    logits: Tensor
    hidden: Tensor


class Named(nn.Module):
    """Weights in a ParameterDict."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.ParameterDict(
            {"first": nn.Parameter(torch.randn(32, 16) * 0.3), "second": nn.Parameter(torch.randn(4, 32) * 0.2)}
        )

    def forward(self, x: Tensor) -> Out:
        """(B, 16) → (B, 4), (B, 32)."""
        h = torch.tanh(x @ self.w["first"].T)
        return Out(h @ self.w["second"].T, h)


case(
    "named-tuple",
    "healthy",
    "a ParameterDict and a named tuple as output",
    Named,
    learns(),
    loss=lambda o, y: F.cross_entropy(o.logits, y),
)


class Memory(nn.Module):
    """Keeps a state between calls, detached."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.out = nn.Linear(16, 32), nn.Linear(32, 4)
        self.state: Tensor | None = None

    def forward(self, x: Tensor) -> Any:
        """(B, 16) → (B, 4)."""
        h = torch.relu(self.a(x))
        if self.state is not None:
            h = h + 0.1 * self.state
        self.state = h.detach().mean(0)
        return self.out(h)


case("memory", "healthy", "a state kept between calls, detached as it must be", Memory, learns())


class Complex(nn.Module):
    """Complex weights on a spectrum."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(9, 24, dtype=torch.cfloat) * 0.3)
        self.out = nn.Linear(24, 4)

    def forward(self, x: Tensor) -> Any:
        """(B, 16) → (B, 4)."""
        return self.out((torch.fft.rfft(x, norm="ortho") @ self.w).abs())


case("complex", "healthy", "complex parameters on a spectrum", Complex, learns())


class Mask(nn.Module):
    """ConvNeXt block stack with LayerScale."""

    def __init__(self, value: float, frozen: bool = False) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 16, 2, 2), nn.Linear(16, 4)
        self.dw = nn.ModuleList(nn.Conv2d(16, 16, 3, padding=1, groups=16) for _ in range(3))
        self.norm = nn.ModuleList(nn.GroupNorm(1, 16) for _ in range(3))
        self.up = nn.ModuleList(nn.Conv2d(16, 32, 1) for _ in range(3))
        self.down = nn.ModuleList(nn.Conv2d(32, 16, 1) for _ in range(3))
        self.gamma = nn.Parameter(torch.full((3, 16, 1, 1), value), requires_grad=not frozen)

    def forward(self, x: Tensor) -> Any:
        """(B, 3, 12, 12) → (B, 4)."""
        h = self.stem(x)
        for i in range(3):
            h = h + self.gamma[i] * self.down[i](F.gelu(self.up[i](self.norm[i](self.dw[i](h)))))
        return self.head(h.mean((2, 3)))


case(
    "convnext", "healthy", "LayerScale 1e-6: closed gates that open", lambda: Mask(1e-6), learns(0.15, 100), data=images
)
case(
    "convnext-frozen",
    "dead",
    "LayerScale 0 and frozen: the branches can never open",
    lambda: Mask(0.0, True),
    no_gradient("up.0", "down.0", "dw.2"),
    ("gamma", "down.0", "down.1", "down.2", "mul()"),
    {"up.0": "dead", "down.1": "dead", "stem": "healthy", "head": "healthy"},
    images,
)
case(
    "convnext-frozen-tiny",
    "vanishing",
    "LayerScale 1e-9 and frozen",
    lambda: Mask(1e-9, True),
    weak("up.0", 1e-6),
    ("gamma", "down.0", "down.1", "down.2", "mul()"),
    {"up.0": "vanishing", "down.1": "vanishing", "stem": "healthy", "head": "healthy"},
    images,
)
case(
    "cait-cls",
    "healthy",
    "a class token alone feeds the head, LayerScale 1e-5 in front: the token hears the patches only through gates",
    lambda: Cait(1e-5),
    learns(0.15, 150),
    data=images,
)
case("cait-cls-open", "healthy", "the same with open gates", lambda: Cait(1.0), learns(0.15, 100), data=images)


class Cait(nn.Module):
    """A class token attends to patches through gates."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.patch, self.cls = nn.Conv2d(3, 16, 4, 4), nn.Parameter(torch.randn(1, 1, 16) * 0.1)
        self.attn = nn.ModuleList(nn.MultiheadAttention(16, 2, batch_first=True) for _ in range(2))
        self.gamma = nn.Parameter(torch.full((2, 16), scale))
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Any:
        """(B, 3, 12, 12) → (B, 4)."""
        p = self.patch(x).flatten(2).transpose(1, 2)
        c = self.cls.expand(x.shape[0], -1, -1)
        for f, g in zip(self.attn, self.gamma, strict=True):
            c = c + g * f(c, p, p, need_weights=False)[0]
        return self.head(self.norm(c)[:, 0])
