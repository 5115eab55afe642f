"""Values, slopes, time and steps that go wrong in ways hard to see."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .case import (
    blobs,
    both,
    diverges,
    learns,
    nonfinite,
    regress,
    series,
    split,
    strong,
    weak,
)
from .faults import bias, scale
from .hard import case
from .lookalike_nets import plain, seq
from .other_structures import sets
from .sequence import Rec, first_step, gates, long, orth, through_time

# ---------------------------------------------------------------- NaN traps

case(
    "where-nan-trick",
    "exploding",
    "where(h > 0, sqrt h, 0) over negative h: 0 times NaN in the branch not taken",
    lambda: seq(nn.Linear(16, 24), lambda h: torch.where(h > 0, torch.sqrt(h), torch.zeros_like(h)), nn.Linear(24, 4)),
    nonfinite,
    (),
    {"0": "exploding"},
)
case(
    "std-of-constant",
    "exploding",
    "divided by the standard deviation of a constant",
    lambda: seq(
        nn.Linear(16, 24),
        lambda h: h * 0 + 1,
        lambda h: (h - h.mean(-1, keepdim=True)) / h.std(-1, keepdim=True),
        nn.Linear(24, 4),
    ),
    nonfinite,
)
case(
    "entropy-zero",
    "exploding",
    "p log p with p = 0 from a hard ReLU",
    lambda: seq(nn.Linear(16, 24), nn.ReLU(), lambda p: p * p.log(), nn.Linear(24, 4)),
    nonfinite,
    ("log()", "mul()", "1", "2"),
)
case(
    "exp-overflow",
    "exploding",
    "exp of values around 200",
    lambda: seq(nn.Linear(16, 24), lambda h: torch.exp(h * 200), nn.Linear(24, 4)),
    nonfinite,
    ("exp()", "1"),
)
case(
    "half-overflow",
    "exploding",
    "float16 activations beyond 65504",
    lambda: seq(nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 4)).half(),
    nonfinite,
    ("2", "0"),
    {},
    lambda: (blobs()[0].half(), blobs()[1]),
    lambda n: [n[i].weight.data.mul_(2000) for i in (0, 2)],
)
case(
    "acos-edge",
    "exploding",
    "acos of exactly 1: infinite slope",
    lambda: seq(nn.Linear(16, 24), lambda h: torch.acos((h / h.abs()).clamp(-1, 1)), nn.Linear(24, 4)),
    nonfinite,
    ("acos()", "1", "0"),
)

# ---------------------------------------------------------------- powers and products

case(
    "cubes",
    "exploding",
    "x^3 after each of three layers of std 0.5",
    lambda: seq(
        *[m for i in range(3) for m in (nn.Linear(16 if i == 0 else 24, 24), lambda h: h**3)], nn.Linear(24, 4)
    ),
    strong("0"),
    (),
    {"0": "exploding"},
    mutate=lambda n: [m.weight.data.normal_(0, 0.5) for m in n if isinstance(m, nn.Linear)],
)
case(
    "std-one-deep",
    "exploding",
    "N(0, 1) weights, width 40, eight layers",
    lambda: seq(*[m for i in range(8) for m in (nn.Linear(16 if i == 0 else 40, 40), nn.ReLU())], nn.Linear(40, 4)),
    strong("0"),
    (),
    {"0": "exploding", "2": "exploding"},
    mutate=lambda n: [nn.init.normal_(m.weight) for m in n if isinstance(m, nn.Linear)],
)
case(
    "ode-unstable",
    "exploding",
    "Euler on x' = -3x with step 1: (-2)^40",
    lambda: Unstable(3.0),
    strong("inp", 1e3),
    ("f", "sub()", "mul()"),
    {"inp": "exploding"},
)
case(
    "ode-decay",
    "vanishing",
    "Euler on x' = -0.6x with step 1: 0.4^30",
    lambda: Unstable(0.6),
    weak("inp", 1e-6),
    ("inp", "f", "sub()", "mul()"),
    {"inp": "vanishing", "out": "healthy"},
)
case(
    "sum-attention",
    "exploding",
    "attention without softmax or scale, six residual layers, inputs of size 5",
    lambda: SumAttention(6),
    nonfinite,
    (),
    {},
    lambda: (sets()[0] * 5, sets()[1]),
    loss="mse",
)


class Unstable(nn.Module):
    """Euler steps of x' = -rate x."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.inp, self.f, self.out = nn.Linear(16, 24), nn.Linear(24, 24, bias=False), nn.Linear(24, 4)
        self.f.weight.data.copy_(rate * torch.eye(24))
        self.n = 40 if rate > 1 else 30

    def forward(self, x: Tensor) -> Any:
        """(B, 16) → (B, 4)."""
        h = self.inp(x)
        for _ in range(self.n):
            h = h - self.f(h)
        return self.out(h)


class SumAttention(nn.Module):
    """Attention without softmax or scale."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.inp, self.out = nn.Linear(3, 16), nn.Linear(16, 1)
        self.qkv = nn.ModuleList(nn.Linear(16, 48) for _ in range(depth))

    def forward(self, x: Tensor) -> Any:
        """(B, 7, 3) → (B, 1)."""
        h = self.inp(x)
        for f in self.qkv:
            q, k, v = f(h).chunk(3, -1)
            h = h + q @ k.transpose(1, 2) @ v
        return self.out(h.mean(1))


# ---------------------------------------------------------------- saturation

case(
    "sigmoid-mse-wrong",
    "vanishing",
    "sigmoid output pinned at 1 by a bias of 15 while the targets are 0: squared error has no slope",
    lambda: seq(nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 1), nn.Sigmoid()),
    weak("0", 1e-5),
    ("2", "3"),
    {"0": "vanishing", "2": "vanishing"},
    lambda: (blobs()[0], torch.zeros(64, 1)),
    bias("2", 15.0),
    loss="mse",
)
case(
    "tanh-hot-weights",
    "vanishing",
    "hidden tanh with weights x 1e3: saturated on nearly all samples",
    lambda: seq(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 4)),
    lambda m, d, _o: _saturated(m, d, "1", 0.95),
    ("0", "1"),
    {"4": "healthy"},
    mutate=scale("0", 1e3),
)
case(
    "softmax-hidden-hot",
    "vanishing",
    "hidden softmax over logits x 20 plus a fixed preference of 30 for one unit",
    lambda: seq(
        nn.Linear(16, 32),
        nn.ReLU(),
        nn.Linear(32, 12),
        lambda h: h + 30.0 * (torch.arange(12) == 3),
        nn.Softmax(-1),
        nn.Linear(12, 4),
    ),
    weak("0", 1e-6),
    ("4", "2", "softmax()"),
    {"0": "vanishing", "5": "healthy"},
)
case(
    "lstm-output-shut",
    "vanishing",
    "LSTM output gate at -25",
    lambda: Rec("lstm", 16),
    lambda m, d, o: weak("cell", 1e-6)(m, d, o),
    ("cell",),
    {"cell": "vanishing"},
    series,
    gates(3, 4, -25.0),
)
case(
    "lstm-input-shut",
    "vanishing",
    "LSTM input gate at -25",
    lambda: Rec("lstm", 16),
    lambda m, d, o: weak("cell", 1e-6)(m, d, o),
    ("cell",),
    {"cell": "vanishing"},
    series,
    gates(0, 1, -25.0),
)
case(
    "lstm-default-200",
    "vanishing",
    "default LSTM (forget gate about a half), the class is shown at the first of 200 steps",
    lambda: Rec("lstm", 16),
    through_time(0, 1e-8),
    ("cell",),
    {"cell": "vanishing"},
    first_step,
)
case(
    "gru-two-layers-far",
    "vanishing",
    "two default GRU layers, the class is shown at the first of 200 steps",
    lambda: Rec("gru", 12, 2),
    through_time(0, 1e-8),
    ("cell",),
    {"cell": "vanishing"},
    first_step,
)
case(
    "relu-rnn-half-200",
    "vanishing",
    "ReLU RNN, 0.7 x identity, 200 steps",
    lambda: Rec("rnn", 16, relu=True),
    through_time(0, 1e-12),
    ("cell",),
    {"cell": "vanishing"},
    long,
    lambda n: n.cell.weight_hh_l0.data.copy_(0.7 * torch.eye(16)),
)
case(
    "rnn-fine-200",
    "healthy",
    "orthogonal tanh RNN with faint inputs carries the class of the first of 200 steps",
    lambda: Rec("rnn", 24),
    both(through_time(1e-2, 1e2), learns(0.1, 60, lr=1e-3)),
    (),
    {},
    first_step,
    lambda n: (
        orth(1.0)(n),
        n.cell.weight_ih_l0.data.mul_(0.1),
        n.cell.bias_ih_l0.data.zero_(),
        n.cell.bias_hh_l0.data.zero_(),
    ),
)

# ---------------------------------------------------------------- steps

case(
    "sgd-raw-features",
    "exploding",
    "linear regression on features of size 300 at lr 0.01: far beyond 2/curvature",
    lambda: nn.Linear(8, 1),
    diverges(),
    (),
    {},
    lambda: (regress()[0] * 300, regress()[1]),
    loss="mse",
    lr=0.01,
)
case(
    "sgd-fine-features",
    "healthy",
    "the same on standardised features",
    lambda: nn.Linear(8, 1),
    learns(0.3, 60),
    (),
    {},
    regress,
    loss="mse",
    lr=0.05,
)
case(
    "momentum-tanh-5",
    "exploding",
    "tanh regression, momentum at lr 5",
    lambda: seq(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 1)),
    diverges(),
    (),
    {},
    regress,
    loss="mse",
    lr=5.0,
    optimizer="momentum",
)
case(
    "linear-sgd-3",
    "exploding",
    "deep linear net, mean squared error, SGD at 3",
    lambda: seq(nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 1)),
    diverges(),
    (),
    {},
    regress,
    loss="mse",
    lr=3.0,
)
case(
    "adam-frozen-lr",
    "vanishing",
    "Adam at lr 1e-12: nothing moves",
    lambda: plain(),
    learns(-1.0),
    (),
    {},
    optimizer="adam",
    lr=1e-12,
)
case(
    "sgd-lr-zero-ish",
    "vanishing",
    "SGD at lr 1e-10: nothing moves",
    lambda: seq(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1)),
    learns(-1.0),
    (),
    {},
    regress,
    loss="mse",
    lr=1e-10,
)
case(
    "adam-hundred",
    "exploding",
    "Adam at 50 on a tanh regression",
    lambda: seq(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1)),
    diverges(),
    (),
    {},
    regress,
    loss="mse",
    optimizer="adam",
    lr=50.0,
)


def _saturated(model: nn.Module, data: Any, layer: str, share: float) -> str:
    keep: list[Tensor] = []
    handle = dict(model.named_modules())[layer].register_forward_hook(lambda _m, _i, o: keep.append(o.detach()))
    model(*split(data)[0])
    handle.remove()
    s = float(((1 - keep[0] ** 2) < 0.01).float().mean())
    assert s >= share, s
    return f"{s:.3f} of the tanh values have a slope below 1 %"
