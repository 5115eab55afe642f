"""Time, steps, outputs and branches of plain nets."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .case import (
    blobs,
    both,
    diverges,
    images,
    learns,
    no_gradient,
    nonfinite,
    regress,
    series,
    silent,
    tokens,
    train,
    weak,
)
from .faults import bias, freeze
from .hard import Raw
from .lookalike_nets import plain, seq
from .odd import case
from .other_structures import sets
from .sequence import Rec, first_step, forget, through_time

# ---------------------------------------------------------------- time

case(
    "lstm-first-of-200",
    "vanishing",
    "default LSTM, the class at the first of 200 steps: 150 Adam steps stay at ln 3",
    lambda: Rec("lstm", 24),
    lambda m, d, o: both(through_time(0, 1e-8))(m, d, o) + "; " + _chance(m, d, o),
    ("cell",),
    {"cell": "vanishing"},
    first_step,
)
case(
    "bi-rnn-half",
    "vanishing",
    "bidirectional tanh RNN, mean of states is not taken: last state, orthogonal x 0.4 both ways",
    lambda: Rec("rnn", 12, 1, True, True),
    through_time(0, 1e-6),
    ("cell",),
    {"head": "healthy"},
    lambda: series(24, 60),
    lambda n: [nn.init.orthogonal_(w, gain=0.4) for k, w in n.cell.named_parameters() if "hh" in k and "weight" in k],
)
case(
    "lstm-keep-first",
    "healthy",
    "the same LSTM with forget bias 8 hears the first of 200 steps",
    lambda: Rec("lstm", 24),
    both(through_time(1e-2, 1e6), learns(0.3, 250, lr=3e-3)),
    (),
    {},
    first_step,
    forget(8.0),
)


def _chance(m: nn.Module, d: Any, o: dict[str, Any]) -> str:
    losses = train(m, d, o, 150, "adam", 1e-2)[0]
    assert losses[-1] > 1.09, losses[-1]
    return f"150 Adam steps: {losses[0]:.4f} -> {losses[-1]:.4f}, chance 1.0986"


class Hand(nn.Module):
    """A hand-written gated cell."""

    def __init__(self, keep: float) -> None:
        super().__init__()
        self.gate, self.new, self.out = nn.Linear(19, 16), nn.Linear(19, 16), nn.Linear(16, 3)
        nn.init.constant_(self.gate.bias, keep)
        self.gate.weight.data.mul_(0.1)
        self.new.weight.data.mul_(0.3)

    def forward(self, x: Tensor) -> Any:
        """(B, S, 3) → (B, 3)."""
        h = x.new_zeros(x.shape[0], 16)
        for t in range(x.shape[1]):
            z = torch.cat([x[:, t], h], -1)
            g = torch.sigmoid(self.gate(z))
            h = g * h + (1 - g) * torch.tanh(self.new(z))
        return self.out(h)


case(
    "hand-gate-kept",
    "healthy",
    "hand-written gate at 0.95 over 30 steps",
    lambda: Hand(3.0),
    both(through_time(1e-3, 100), learns(0.1, 100, lr=1e-2)),
    (),
    {},
    lambda: series(24, 30),
)
case(
    "hand-gate-lost",
    "vanishing",
    "hand-written gate at -8 over 60 steps: the state is rewritten each step",
    lambda: Hand(-8.0),
    through_time(0, 1e-8),
    ("gate", "new", "mul()", "tanh()", "sigmoid()"),
    {"out": "healthy"},
    lambda: series(24, 60),
)

# ---------------------------------------------------------------- steps on simple nets

case(
    "one-linear-diverges",
    "exploding",
    "a single linear layer on features of size 50, SGD at 0.05",
    lambda: nn.Linear(8, 1),
    diverges(),
    (),
    {},
    lambda: (regress()[0] * 50, regress()[1]),
    loss="mse",
    lr=0.05,
)
case(
    "one-linear-momentum",
    "exploding",
    "a single linear layer, momentum at lr 2",
    lambda: seq(nn.Linear(8, 1)),
    diverges(),
    (),
    {},
    regress,
    loss="mse",
    lr=2.0,
    optimizer="momentum",
)
case(
    "one-conv-diverges",
    "exploding",
    "one convolution as denoiser, SGD at 20",
    lambda: nn.Conv2d(3, 3, 3, padding=1),
    diverges(),
    (),
    {},
    lambda: (images()[0] * 4, images()[0]),
    loss="mse",
    lr=20.0,
)
case(
    "two-linear-fine",
    "healthy",
    "two linear layers, SGD at 0.02",
    lambda: seq(nn.Linear(8, 16), nn.Linear(16, 1)),
    learns(0.3, 80),
    data=regress,
    loss="mse",
    lr=0.02,
)
case(
    "one-linear-logistic",
    "healthy",
    "logistic regression, SGD at 0.5",
    lambda: nn.Linear(16, 4),
    learns(0.2, 60),
    lr=0.5,
)
case(
    "bn-lr-mild",
    "healthy",
    "batch norm makes SGD at 1 harmless",
    lambda: seq(nn.Linear(16, 32), nn.BatchNorm1d(32), nn.Tanh(), nn.Linear(32, 4)),
    learns(0.2, 60),
    lr=1.0,
)

# ---------------------------------------------------------------- outputs and branches

case(
    "sigmoid-output-stuck",
    "vanishing",
    "an untrained sigmoid output with a constant -30, loss on probabilities",
    lambda: seq(nn.Linear(16, 24), nn.Tanh(), nn.Linear(24, 1), lambda h: h - 30, nn.Sigmoid()),
    weak("0", 1e-6),
    ("4", "2", "3", "sub()"),
    {"0": "vanishing", "2": "vanishing"},
    lambda: (blobs()[0], torch.ones(64, 1)),
    loss="mse",
)
case(
    "tanh-output-stuck",
    "vanishing",
    "actions through tanh with a constant 8: slope 5e-7",
    lambda: seq(nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 2), lambda h: h + 8, nn.Tanh()),
    weak("0", 1e-5),
    ("4", "2", "3", "add()"),
    {"0": "vanishing", "2": "vanishing"},
    lambda: (blobs()[0], -torch.ones(64, 2) * 0.5),
    loss="mse",
)
case(
    "softmax-output-stuck",
    "vanishing",
    "softmax output with a constant 22 on the wrong class, squared error",
    lambda: seq(
        nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 4), lambda h: h + 22 * (torch.arange(4) == 0), nn.Softmax(-1)
    ),
    weak("0", 1e-6),
    ("4", "2", "3", "add()"),
    {"0": "vanishing", "2": "vanishing"},
    lambda: (blobs()[0], F.one_hot(blobs()[1] * 0 + 2, 4).float()),
    loss="mse",
)
case(
    "softmax-of-one-mid",
    "dead",
    "attention over a single slot: softmax of one number in the middle",
    lambda: seq(nn.Linear(16, 24), nn.Tanh(), nn.Linear(24, 1), nn.Softmax(-1), nn.Linear(1, 4)),
    no_gradient("0", "2"),
    ("3", "2"),
    {"0": "dead", "2": "dead"},
)
case(
    "softmax-wrong-dim-batch",
    "healthy",
    "softmax over eight units",
    lambda: seq(nn.Linear(16, 24), nn.Tanh(), nn.Linear(24, 8), nn.Softmax(-1), nn.Linear(8, 4)),
    learns(0.1, 150, lr=1e-2),
)
case(
    "double-softmax",
    "healthy",
    "cross entropy on probabilities: slow, but it learns",
    lambda: seq(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4), nn.Softmax(-1)),
    learns(0.1, 100),
)
case(
    "one-head-dead",
    "dead",
    "the hidden ReLU of the second head is off; the trunk learns from the first",
    lambda: Heads(),
    both(silent("b.1"), no_gradient("b.0")),
    ("b.0", "b.1"),
    {"b.0": "dead", "a.0": "healthy", "trunk": "healthy"},
    loss=lambda o, y: F.cross_entropy(o[0], y) + F.mse_loss(o[1][:, 0], y.float()),
    mutate=bias("b.0", -1e3),
)
case(
    "frozen-dead-middle",
    "dead",
    "a frozen layer is dead and shuts off the trainable ones in front of it",
    lambda: seq(nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 4)),
    both(no_gradient("0"), silent("3")),
    ("2", "3"),
    {"0": "dead"},
    mutate=lambda n: (bias("2", -1e3)(n), freeze("2")(n)),
)
case(
    "frozen-middle",
    "healthy",
    "a frozen layer in the middle lets the signal through",
    lambda: seq(nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 4)),
    learns(),
    mutate=freeze("2"),
)
case("nan-buffer", "exploding", "a positional buffer holds a NaN", lambda: Buffered(), nonfinite)
case(
    "scalar-gate-tiny",
    "healthy",
    "a learned scalar 1e-6 shuts a side branch: its own gradient is healthy",
    lambda: Raw(1e-6, 1.0),
    learns(),
)
case(
    "unused-output",
    "healthy",
    "an extra output that the loss ignores; its layer is fed by the cotangent",
    lambda: plain(16, 32, 6),
    learns(),
    loss=lambda o, y: F.cross_entropy(o[:, :4], y),
)
case(
    "set-max",
    "healthy",
    "max pooling over a set",
    lambda: seq(nn.Linear(3, 24), nn.ReLU(), nn.Linear(24, 24), lambda h: h.amax(1), nn.Linear(24, 1)),
    learns(0.2, 100),
    data=sets,
    loss="mse",
)
case(
    "ctc",
    "healthy",
    "CTC loss over 20 steps",
    lambda: seq(nn.GRU(3, 16, batch_first=True), lambda o: o[0], nn.Linear(16, 5), nn.LogSoftmax(-1)),
    learns(0.1, 100, lr=1e-2),
    data=lambda: (series(24, 20)[0], torch.arange(24)[:, None] % 3 + 1),
    loss=lambda o, y: F.ctc_loss(o.transpose(0, 1), y, torch.full((len(y),), 20), torch.ones(len(y), dtype=torch.long)),
)
case(
    "token-mean-shift",
    "healthy",
    "cross-entropy with label smoothing",
    lambda: seq(nn.Embedding(20, 24), nn.GELU(), nn.Linear(24, 20)),
    learns(0.1, 100),
    data=tokens,
    loss=lambda o, y: F.cross_entropy(o.reshape(-1, 20), y.reshape(-1), label_smoothing=0.1),
)


class Heads(nn.Module):
    """Two hidden heads on a trunk."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Linear(16, 24)
        self.a = nn.Sequential(nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 4))
        self.b = nn.Sequential(nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 16) → (B, 4), (B, 1)."""
        h = torch.tanh(self.trunk(x))
        return self.a(h), self.b(h)


class Buffered(nn.Module):
    """A buffer with a NaN."""

    pos: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.inp, self.out = nn.Linear(16, 24), nn.Linear(24, 4)
        pos = torch.randn(24)
        pos[5] = float("nan")
        self.register_buffer("pos", pos)

    def forward(self, x: Tensor) -> Any:
        """(B, 16) → (B, 4)."""
        return self.out(torch.relu(self.inp(x)) + self.pos)
