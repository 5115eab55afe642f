"""Flows, experts, sets, graphs, latents, weights written by another net."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .case import (
    blobs,
    learns,
    no_gradient,
    nonfinite,
    weak,
)
from .faults import none
from .other import case

# ---------------------------------------------------------------- flow, experts, sets, graph, perceiver, hyper


class Coupling(nn.Module):
    """An affine coupling that begins as the identity."""

    def __init__(self, flip: bool) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 24), nn.Tanh(), nn.Linear(24, 8))
        nn.init.zeros_(self.net[2].get_parameter("weight"))
        nn.init.zeros_(self.net[2].get_parameter("bias"))
        self.flip = flip

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 8) → (B, 8) and the log determinant (B,)."""
        a, b = x.chunk(2, 1)[::-1] if self.flip else x.chunk(2, 1)
        s, t = self.net(a).chunk(2, 1)
        s = torch.tanh(s)
        b = b * s.exp() + t
        return (torch.cat([b, a], 1) if self.flip else torch.cat([a, b], 1)), s.sum(1)


class Flow(nn.Module):
    """Four couplings and the log determinant."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.ModuleList(Coupling(i % 2 == 1) for i in range(4))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 8) → (B, 8) and the log determinant (B,)."""
        ld = x.new_zeros(x.shape[0])
        for f in self.steps:
            x, d = f(x)
            ld = ld + d
        return x, ld


def density() -> tuple[Tensor, Tensor]:
    """Correlated Gaussians: (96, 8), and no target."""
    x = torch.randn(96, 8) * torch.linspace(0.3, 3, 8) + 1
    x[:, 4:] += x[:, :4]
    return x, torch.zeros(96)


case(
    "flow-zero-last",
    "healthy",
    "coupling flow, last layers zero by convention: gates that open",
    learns(0.15, 100),
    Flow,
    data=density,
    loss=lambda o, _y: (0.5 * (o[0] ** 2).sum(1) - o[1]).mean(),
)


class Experts(nn.Module):
    """A sparse mixture of four experts."""

    def __init__(self, top: int = 1, fault: str = "") -> None:
        super().__init__()
        self.inp = nn.Linear(16, 24)
        self.router = nn.Linear(24, 4)
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(24, 24), nn.GELU(), nn.Linear(24, 24)) for _ in range(4))
        self.out = nn.Linear(24, 4)
        self.top, self.fault = top, fault

    def forward(self, x: Tensor) -> Any:
        """(B, 16) → (B, 4)."""
        h = self.inp(x)
        p = self.router(h).softmax(-1)
        if self.fault == "hard":
            p = F.one_hot(p.argmax(-1), 4).float()
        w, i = p.topk(self.top, -1)
        y = torch.zeros_like(h)
        for e, f in enumerate(self.experts):
            m = i == e
            if m.any():
                r = m.any(-1)
                y = y.index_add(0, r.nonzero()[:, 0], f(h[r]) * (w * m).sum(-1)[r][:, None])
        return self.out(h + y)


case("moe", "healthy", "top-1 mixture of experts", learns(0.2, 60), Experts)
case("moe-top2", "healthy", "top-2 mixture of experts", learns(0.2, 60), lambda: Experts(2))
case(
    "moe-starved",
    "healthy",
    "an expert that this sample never routes to (router bias): not reached by this sample",
    learns(0.2, 60),
    Experts,
    lambda n: n.router.bias.data.copy_(torch.tensor([0.0, 0.0, 0.0, -50.0])),
)
case(
    "moe-hard",
    "dead",
    "routing by argmax without its probability: the router never learns",
    no_gradient("router"),
    lambda: Experts(1, "hard"),
    none,
    ("router",),
    {"router": "dead", "inp": "healthy", "out": "healthy", "experts.0.0": "healthy"},
)


class Sets(nn.Module):
    """DeepSets."""

    def __init__(self, fault: str = "") -> None:
        super().__init__()
        self.phi, self.rho = (
            nn.Sequential(nn.Linear(3, 24), nn.ReLU(), nn.Linear(24, 16)),
            nn.Sequential(nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 1)),
        )
        self.fault = fault

    def forward(self, x: Tensor) -> Any:
        """(B, 7, 3) → (B, 1)."""
        h = self.phi(x).mean(1)
        if self.fault == "median":
            h = (h > 0).to(h.dtype)
        if self.fault == "divide":
            h = h / (h - h)
        if self.fault == "faint":
            h = torch.sigmoid(h * 1e-9)
        if self.fault == "tanh":
            h = torch.tanh(h + 14)
        return self.rho(h)


def sets() -> tuple[Tensor, Tensor]:
    """Seven points and their largest first coordinate: (48, 7, 3), (48, 1)."""
    x = torch.randn(48, 7, 3)
    return x, x.amax(1)[:, :1]


case("deepsets", "healthy", "DeepSets with mean pooling", learns(0.2, 100), Sets, data=sets, loss="mse")
case(
    "deepsets-threshold",
    "dead",
    "a threshold on the pooled code",
    no_gradient("phi"),
    lambda: Sets("median"),
    none,
    ("phi.2", "phi", "phi.0", "rho.0"),
    {"phi.0": "dead", "phi.2": "dead", "rho.2": "healthy"},
    data=sets,
    loss="mse",
)
case(
    "deepsets-divide",
    "exploding",
    "division by exactly zero",
    nonfinite,
    lambda: Sets("divide"),
    none,
    ("div()",),
    {},
    data=sets,
    loss="mse",
)
case(
    "deepsets-faint",
    "vanishing",
    "the code is multiplied by 1e-9 before a sigmoid",
    weak("phi.0", 1e-6),
    lambda: Sets("faint"),
    none,
    ("mul()", "sigmoid()", "phi.2", "rho.0", "phi"),
    {"phi.0": "vanishing", "phi.2": "vanishing", "rho.2": "healthy"},
    data=sets,
    loss="mse",
)
case(
    "deepsets-saturated",
    "vanishing",
    "tanh shifted by 14: slope 1e-12 on every sample",
    weak("phi.0", 1e-6),
    lambda: Sets("tanh"),
    none,
    ("tanh()", "phi.2", "rho.0", "phi"),
    {"rho.2": "healthy"},
    data=sets,
    loss="mse",
)


class Gcn(nn.Module):
    """Graph convolutions on a dense adjacency."""

    def __init__(self, depth: int, skip: bool = False, act: str = "relu") -> None:
        super().__init__()
        self.lin = nn.ModuleList(nn.Linear(8 if i == 0 else 24, 24) for i in range(depth))
        self.out = nn.Linear(24, 3)
        self.skip, self.act = skip, {"relu": torch.relu, "sigmoid": torch.sigmoid}[act]

    def forward(self, x: Tensor, adj: Tensor) -> Any:
        """(B, 9, 8), (B, 9, 9) → (B, 3)."""
        a = adj / adj.sum(-1, keepdim=True)
        for i, f in enumerate(self.lin):
            y = self.act(f(a @ x))
            x = x + y if self.skip and i else y
        return self.out(x.mean(1))


def graphs() -> tuple[Tensor, Tensor, Tensor]:
    """Nodes, adjacency, class: (36, 9, 8), (36, 9, 9), (36,)."""
    y = torch.arange(36) % 3
    adj = ((torch.rand(36, 9, 9) < 0.3).float() + torch.eye(9)).clamp(max=1)
    adj = ((adj + adj.transpose(1, 2)) > 0).float()
    return torch.randn(3, 8)[y][:, None] * torch.rand(36, 9, 1) + 0.3 * torch.randn(36, 9, 8), adj, y


case("gcn", "healthy", "two graph convolutions on a dense adjacency", learns(0.2, 100), lambda: Gcn(2), data=graphs)
case(
    "gcn-sigmoid-deep",
    "vanishing",
    "nine sigmoid graph convolutions",
    weak("lin.0", 1e-5),
    lambda: Gcn(9, act="sigmoid"),
    none,
    (),
    {"lin.0": "vanishing", "lin.1": "vanishing", "out": "healthy"},
    data=graphs,
)


class Perceiver(nn.Module):
    """Four latents attend to the input."""

    def __init__(self, fault: str = "") -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.randn(1, 4, 24) * 0.3)
        self.embed = nn.Linear(3, 24)
        self.cross = nn.MultiheadAttention(24, 2, batch_first=True)
        self.norm, self.ff = nn.LayerNorm(24), nn.Sequential(nn.Linear(24, 48), nn.GELU(), nn.Linear(48, 24))
        self.head = nn.Linear(24, 1)
        self.fault = fault

    def forward(self, x: Tensor) -> Any:
        """(B, 7, 3) → (B, 1)."""
        q, e = self.latents.expand(x.shape[0], -1, -1), self.embed(x)
        if self.fault == "ignored":
            e = torch.zeros_like(e)
        h = q + self.cross(q, e, e, need_weights=False)[0]
        h = h + self.ff(self.norm(h))
        return self.head(h.mean(1))


case("perceiver", "healthy", "latent cross-attention", learns(0.2, 150), Perceiver, data=sets, loss="mse")
case(
    "perceiver-ignored",
    "dead",
    "the embedded input is replaced by zeros: it is never used",
    no_gradient("embed"),
    lambda: Perceiver("ignored"),
    none,
    ("embed", "cross"),
    {"embed": "dead", "head": "healthy", "ff.0": "healthy"},
    data=sets,
    loss="mse",
)


class Hyper(nn.Module):
    """The weights of the middle layer are written by another."""

    def __init__(self, spread: float = 0.02) -> None:
        super().__init__()
        self.z = nn.Parameter(torch.randn(6))
        self.gen = nn.Linear(6, 16 * 24)
        self.first, self.out = nn.Linear(16, 16), nn.Linear(24, 4)
        nn.init.normal_(self.gen.weight, std=spread)

    def forward(self, x: Tensor) -> Any:
        """(B, 16) → (B, 4)."""
        w = self.gen(self.z).view(24, 16)
        return self.out(torch.relu(F.linear(torch.relu(self.first(x)), w)))


case("hyper", "healthy", "a hypernetwork writes the weights of the middle layer", learns(0.2, 100), lambda: Hyper(0.1))


class Spline(nn.Module):
    """Kolmogorov-Arnold-like: a learned sum of radial functions on every edge."""

    grid: Tensor

    def __init__(self, a: int, b: int) -> None:
        super().__init__()
        self.register_buffer("grid", torch.linspace(-2, 2, 7))
        self.coef = nn.Parameter(torch.randn(b, a, 7) * (1 / (2 * a) ** 0.5))

    def forward(self, x: Tensor) -> Tensor:
        """(B, a) → (B, b)."""
        return torch.einsum("bik,oik->bo", torch.exp(-((x[..., None] - self.grid) ** 2) * 2), self.coef)


case(
    "kan",
    "healthy",
    "two layers of learned radial functions",
    learns(0.2, 100, lr=1e-2),
    lambda: nn.Sequential(Spline(16, 12), Spline(12, 4)),
)
case(
    "kan-off-grid",
    "vanishing",
    "inputs shifted by 9 lie far outside every radial function: exp(-2*49)",
    weak("0", 1e-6),
    lambda: nn.Sequential(Spline(16, 12), Spline(12, 4)),
    none,
    ("0",),
    {},
    data=lambda: (blobs()[0].clamp(-3, 3) * 0.3 + 9.0, blobs()[1]),
)
