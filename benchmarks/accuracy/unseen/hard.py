"""Faults that are easy to make and hard to see."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .case import (
    Built,
    Proof,
    add,
    blobs,
    both,
    images,
    learns,
    no_gradient,
    regress,
    signals,
    silent,
    train,
    weak,
)
from .faults import Mutate, bias, none
from .lookalike_nets import plain, seq
from .other_structures import sets


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

    add(f"hard/{name}", label, "hard", why, proof, build, culprits, layers)


def noise_only(*layers: str) -> Proof:
    """The weights' gradient is rounding noise: falls with the precision by at least 1e4 from float32 to float64."""

    def proof(model: nn.Module, data: Any, options: dict[str, Any]) -> str:
        a = signals(model, data)
        double = tuple(t.double() if t.is_floating_point() else t for t in data)
        b = signals(model.double(), double)
        model.float()
        got = []
        for n in layers:
            for k in (n + ".weight",):
                assert a[k] < 1e-4, (k, a[k], b[k])
                assert b[k] <= a[k] * 1e-4 or b[k] < 1e-13, (k, a[k], b[k])
                got.append(f"{k} {a[k]:.2g} -> {b[k]:.2g}")
        losses, _, _ = train(model, data, options, 100)
        return "float32 -> float64: " + ", ".join(got) + f"; SGD loss {losses[0]:.4g} -> {losses[-1]:.4g}"

    return proof


# ---------------------------------------------------------------- gradients that are zero by structure

case(
    "softmax-of-one",
    "dead",
    "softmax over a single logit is the constant 1",
    lambda: seq(nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 1), nn.Softmax(-1)),
    no_gradient("0", "2"),
    ("3", "2"),
    {"0": "dead", "2": "dead"},
    lambda: (blobs()[0], (blobs()[1] > 1).float()[:, None]),
    loss="mse",
)
case(
    "layernorm-of-one",
    "dead",
    "layer norm over one feature returns its bias",
    lambda: seq(nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 1), nn.LayerNorm(1), nn.Linear(1, 4)),
    noise_only("0", "2"),
    ("3", "2"),
    {"0": "dead", "2": "dead"},
)
case(
    "normalize-one",
    "dead",
    "normalising a code of one number keeps its sign alone",
    lambda: seq(nn.Linear(16, 24), nn.Tanh(), nn.Linear(24, 1), lambda h: h / h.abs(), nn.Linear(1, 4)),
    noise_only("0", "2"),
    ("div()", "2", "3"),
    {"0": "dead", "2": "dead", "4": "healthy"},
)
case(
    "sum-of-norm",
    "dead",
    "the output is the mean of a layer norm without affine: 0 for every input",
    lambda: seq(
        nn.Linear(16, 24),
        nn.ReLU(),
        nn.Linear(24, 12),
        nn.LayerNorm(12, elementwise_affine=False),
        lambda h: h.mean(-1, keepdim=True),
    ),
    noise_only("0", "2"),
    ("3", "2", "mean()", "4"),
    {"0": "dead", "2": "dead"},
    lambda: regress(64, 16),
    loss="mse",
)
case(
    "sum-of-softmax",
    "dead",
    "probabilities are summed: 1 for every input",
    lambda: seq(nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 12), nn.Softmax(-1), lambda h: h.sum(-1, keepdim=True)),
    noise_only("0", "2"),
    ("3", "2", "sum()", "4"),
    {"0": "dead", "2": "dead"},
    lambda: regress(64, 16),
    loss="mse",
)
case(
    "relu6-top",
    "dead",
    "ReLU6 with bias +1e3: every unit at the flat top",
    lambda: seq(nn.Linear(16, 24), nn.ReLU6(), nn.Linear(24, 4)),
    no_gradient("0"),
    ("0", "1"),
    {"0": "dead"},
    mutate=bias("0", 1e3),
)
case(
    "clamp-function",
    "dead",
    "torch.clamp(h - 900, min=0), a dead ReLU by another name",
    lambda: seq(nn.Linear(16, 24), lambda h: torch.clamp(h - 900, min=0), nn.Linear(24, 4)),
    no_gradient("0"),
    ("0", "clamp()", "1"),
    {"0": "dead"},
)
case(
    "maximum-function",
    "dead",
    "torch.maximum(h - 900, 0)",
    lambda: seq(nn.Linear(16, 24), lambda h: torch.maximum(h - 900, torch.zeros(())), nn.Linear(24, 4)),
    no_gradient("0"),
    ("0", "maximum()", "1"),
    {"0": "dead"},
)
case(
    "where-function",
    "dead",
    "torch.where(h > 900, h, 0)",
    lambda: seq(nn.Linear(16, 24), lambda h: torch.where(h > 900, h, torch.zeros_like(h)), nn.Linear(24, 4)),
    no_gradient("0"),
    ("0", "where()", "1"),
    {"0": "dead"},
)
case(
    "threshold-module",
    "dead",
    "nn.Threshold(500, 0)",
    lambda: seq(nn.Linear(16, 24), nn.Threshold(500.0, 0.0), nn.Linear(24, 4)),
    no_gradient("0"),
    ("0", "1"),
    {"0": "dead"},
)
case(
    "softshrink",
    "dead",
    "nn.Softshrink(1e3): zero for every input",
    lambda: seq(nn.Linear(16, 24), nn.Softshrink(1e3), nn.Linear(24, 4)),
    no_gradient("0"),
    ("0", "1"),
    {"0": "dead"},
)
case(
    "gelu-dead",
    "dead",
    "GELU with bias -40: derivative exactly 0",
    lambda: seq(nn.Linear(16, 24), nn.GELU(), nn.Linear(24, 24), nn.GELU(), nn.Linear(24, 4)),
    no_gradient("0", "2"),
    ("2", "3"),
    {"0": "dead", "2": "dead"},
    mutate=bias("2", -40.0),
)
case(
    "silu-dead",
    "dead",
    "SiLU with bias -200: derivative 0",
    lambda: seq(nn.Linear(16, 24), nn.SiLU(), nn.Linear(24, 24), nn.SiLU(), nn.Linear(24, 4)),
    no_gradient("0", "2"),
    ("2", "3"),
    {"0": "dead", "2": "dead"},
    mutate=bias("2", -200.0),
)
case(
    "hardswish-dead",
    "dead",
    "Hardswish with bias -80",
    lambda: seq(nn.Linear(16, 24), nn.Hardswish(), nn.Linear(24, 24), nn.Hardswish(), nn.Linear(24, 4)),
    no_gradient("0", "2"),
    ("2", "3"),
    {"0": "dead", "2": "dead"},
    mutate=bias("2", -80.0),
)
case(
    "bn-shifted-dead",
    "dead",
    "batch norm with bias -60 in front of ReLU: each channel off",
    lambda: seq(
        nn.Conv2d(3, 12, 3), nn.BatchNorm2d(12), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 4)
    ),
    both(silent("2"), no_gradient("0")),
    ("1", "2"),
    {"0": "dead"},
    images,
    bias("1", -60.0),
)
case(
    "channels-two-thirds-dead",
    "dead",
    "8 of 12 channels have bias -1e3",
    lambda: seq(nn.Conv2d(3, 12, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 4)),
    silent("1", 0.66),
    ("0", "1"),
    {"4": "healthy"},
    images,
    lambda n: n[0].bias.data[:8].fill_(-1e3),
)
case(
    "channels-third-dead",
    "healthy",
    "4 of 12 channels are dead: under half is a note",
    lambda: seq(nn.Conv2d(3, 12, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(48, 4)),
    learns(),
    data=images,
    mutate=lambda n: n[0].bias.data[:4].fill_(-1e3),
)
case(
    "zero-init-everything",
    "dead",
    "every weight and bias zero",
    lambda: plain(),
    no_gradient("0", "2"),
    ("0", "2", "4"),
    {"0": "dead", "2": "dead"},
    mutate=lambda n: [p.data.zero_() for p in n.parameters()],
)


class Raw(nn.Module):
    """A branch that is a product of two raw parameters."""

    def __init__(self, u: float, v: float, frozen: bool = False) -> None:
        super().__init__()
        self.inp, self.out = nn.Linear(16, 24), nn.Linear(24, 4)
        self.branch = nn.Linear(24, 24)
        self.alpha = nn.Parameter(torch.full((1,), u), requires_grad=not frozen)
        self.beta = nn.Parameter(torch.full((1,), v))

    def forward(self, x: Tensor) -> Any:
        """(B, 16) → (B, 4)."""
        h = torch.tanh(self.inp(x))
        return self.out(h + self.alpha * self.beta * torch.tanh(self.branch(h)))


case(
    "two-scalars-zero",
    "dead",
    "two scalars in series, both zero",
    lambda: Raw(0.0, 0.0),
    no_gradient("branch"),
    ("alpha", "beta", "branch", "mul()"),
    {"branch": "dead", "inp": "healthy", "out": "healthy"},
)
case("one-scalar-zero", "healthy", "one of two scalars is zero: it opens", lambda: Raw(0.0, 1.0), learns())
case(
    "frozen-gate-zero",
    "dead",
    "a ReZero gate of 0 that is frozen: it never opens, the branch never learns",
    lambda: Raw(0.0, 1.0, True),
    no_gradient("branch"),
    ("alpha", "branch", "mul()", "tanh()"),
    {"branch": "dead", "inp": "healthy", "out": "healthy"},
)


class Faded(nn.Module):
    """Two branches; the second is multiplied by a constant."""

    by: Tensor

    def __init__(self, by: float) -> None:
        super().__init__()
        self.a, self.b1, self.b2, self.out = nn.Linear(16, 24), nn.Linear(16, 24), nn.Linear(24, 24), nn.Linear(24, 4)
        self.register_buffer("by", torch.tensor(by))

    def forward(self, x: Tensor) -> Any:
        """(B, 16) → (B, 4)."""
        return self.out(torch.relu(self.a(x)) + self.by * torch.relu(self.b2(torch.relu(self.b1(x)))))


case(
    "faded-branch",
    "vanishing",
    "a side branch times a constant 1e-9",
    lambda: Faded(1e-9),
    weak("b1", 1e-6),
    ("mul()", "b2", "relu()"),
    {"b1": "vanishing", "b2": "vanishing", "a": "healthy", "out": "healthy"},
)
case(
    "zero-buffer-branch",
    "dead",
    "a side branch times a buffer 0",
    lambda: Faded(0.0),
    no_gradient("b1", "b2"),
    ("mul()", "b2", "relu()"),
    {"b1": "dead", "b2": "dead", "a": "healthy", "out": "healthy"},
)
case("half-faded-branch", "healthy", "a side branch times 0.1", lambda: Faded(0.1), learns())


class Attn(nn.Module):
    """One attention layer with a temperature and a mask."""

    def __init__(self, temperature: float = 1.0, own_only: bool = False) -> None:
        super().__init__()
        self.inp, self.q, self.k, self.v, self.out = (
            nn.Linear(3, 24),
            nn.Linear(24, 24),
            nn.Linear(24, 24),
            nn.Linear(24, 24),
            nn.Linear(24, 1),
        )
        self.t, self.own_only = temperature, own_only

    def forward(self, x: Tensor) -> Any:
        """(B, 7, 3) → (B, 1)."""
        h = torch.tanh(self.inp(x))
        a = self.q(h) @ self.k(h).transpose(1, 2) / (24**0.5 * self.t)
        if self.own_only:
            a = a.masked_fill(~torch.eye(x.shape[1], dtype=torch.bool), float("-inf"))
        return self.out(h + a.softmax(-1) @ self.v(h)).mean(1)


case(
    "attention-cold",
    "vanishing",
    "attention temperature 1e9: uniform for ever",
    lambda: Attn(1e9),
    weak("q", 1e-6),
    ("div()", "q", "k", "softmax()"),
    {"q": "vanishing", "k": "vanishing", "v": "healthy", "out": "healthy", "inp": "healthy"},
    sets,
    loss="mse",
)
case(
    "attention-self-only",
    "dead",
    "a mask leaves each token itself alone: softmax of one, no gradient for q and k",
    lambda: Attn(own_only=True),
    no_gradient("q", "k"),
    ("softmax()", "q", "k", "masked_fill()"),
    {"q": "dead", "k": "dead", "v": "healthy", "out": "healthy", "inp": "healthy"},
    sets,
    loss="mse",
)
case("attention-fine", "healthy", "the same layer, whole", lambda: Attn(), learns(0.2, 150), data=sets, loss="mse")

# ---------------------------------------------------------------- cuts


class Cut(nn.Module):
    """A trunk whose code passes through `f`, then a head."""

    def __init__(self, f: Callable[[Tensor], Tensor], width: int = 24) -> None:
        super().__init__()
        self.trunk, self.head = nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 24)), nn.Linear(width, 4)
        self.f = f

    def forward(self, x: Tensor) -> Any:
        """(B, 16) → (B, 4)."""
        return self.head(self.f(self.trunk(x)))


def _inference(h: Tensor) -> Tensor:
    with torch.no_grad():
        return h * 2


def _copy(h: Tensor) -> Tensor:
    new = torch.empty_like(h)
    new.data.copy_(h.data)
    return new


CUTS: list[tuple[str, str, Callable[[Tensor], Tensor], int]] = [
    ("topk-indices", "only the indices of topk go on", lambda h: h.topk(24, -1)[1].float() / 24, 24),
    ("bernoulli", "Bernoulli samples without an estimator", lambda h: torch.bernoulli(torch.sigmoid(h)), 24),
    ("heaviside", "a step function", lambda h: torch.heaviside(h.detach(), torch.zeros(())), 24),
    ("ceil", "ceil has zero slope", lambda h: (h * 2).ceil(), 24),
    ("trunc", "trunc has zero slope", lambda h: (h * 4).trunc(), 24),
    ("no-grad-block", "a helper under no_grad", _inference, 24),
    ("set-grad", "h.detach().requires_grad_(): a fresh leaf", lambda h: h.detach().requires_grad_(), 24),
    ("data-copy", "copied through .data", _copy, 24),
    ("argsort", "ranks by argsort", lambda h: h.argsort(-1).float() / 24, 24),
    (
        "histogram",
        "counts of thresholds",
        lambda h: torch.stack([(h > t).float().mean(-1) for t in (-1, -0.5, 0, 0.5)], -1),
        4,
    ),
    ("clamp-out", "clamped to [5, 6] while all values are below 2", lambda h: h.clamp(5, 6), 24),
    ("sign-abs", "sign times a constant", lambda h: torch.sign(h) * 0.7, 24),
    (
        "multinomial",
        "one sampled id, embedded as one-hot",
        lambda h: F.one_hot(torch.multinomial(h.softmax(-1), 1)[:, 0], 24).float(),
        24,
    ),
    ("bucketize", "bucket numbers", lambda h: torch.bucketize(h, torch.linspace(-1, 1, 9)).float() / 9, 24),
    ("isfinite", "a mask of finite values", lambda h: torch.isfinite(h).float() * 0.1, 24),
]
for _n, _w, _f, _k in CUTS:
    case(
        f"cut-{_n}",
        "dead",
        _w,
        partial(Cut, _f, _k),
        no_gradient("trunk"),
        (
            "trunk.2",
            "trunk",
            "trunk.1",
            "trunk.0",
            "head",
            "sign()",
            "ceil()",
            "clamp()",
            "trunc()",
            "div()",
            "round()",
            "heaviside()",
            "isfinite()",
            "mul()",
            "bernoulli()",
            "floor()",
        ),
        {"trunk.0": "dead", "trunk.2": "dead", "head": "healthy"}
        if _n not in ("clamp-out", "isfinite")
        else {"trunk.0": "dead", "trunk.2": "dead"},
    )


class Greedy(nn.Module):
    """Every layer reads a detached input."""

    def __init__(self) -> None:
        super().__init__()
        self.l = nn.ModuleList(nn.Linear(16 if i == 0 else 24, 24) for i in range(4))
        self.out = nn.Linear(24, 4)

    def forward(self, x: Tensor) -> Any:
        """(B, 16) → (B, 4)."""
        for f in self.l:
            x = torch.relu(f(x.detach()))
        return self.out(x)


case(
    "greedy-detach",
    "dead",
    "every layer reads a detached input: all but the last two layers hear nothing",
    Greedy,
    no_gradient("l.0", "l.1", "l.2"),
    ("l.0", "l.1", "l.2", "l.3", "relu()"),
    {"l.0": "dead", "l.1": "dead", "l.2": "dead", "l.3": "healthy", "out": "healthy"},
)


class HalfList(nn.Module):
    """The layer is used, but held in a plain list: the optimiser cannot see it. What is registered learns."""

    def __init__(self) -> None:
        super().__init__()
        self.inp, self.out = nn.Linear(16, 24), nn.Linear(24, 4)
        self.old = nn.ModuleList(nn.Linear(24, 24) for _ in range(2))
        self.used = [self.old[0]]

    def forward(self, x: Tensor) -> Any:
        """(B, 16) → (B, 4)."""
        h = torch.relu(self.inp(x))
        for f in self.used:
            h = torch.relu(f(h))
        return self.out(h)


case(
    "list-shorter",
    "dead",
    "two layers registered, one used",
    HalfList,
    no_gradient("old.1"),
    ("old.1",),
    {"old.1": "dead", "old.0": "healthy", "inp": "healthy", "out": "healthy"},
)
