"""Networks on sequences: recurrent layers and cells."""

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
    both,
    ce,
    learns,
    no_gradient,
    nonfinite,
    series,
    split,
    tokens,
)
from .faults import Mutate, none


def case(
    name: str,
    label: str,
    why: str,
    proof: Proof,
    make: Callable[[], nn.Module],
    mutate: Mutate = none,
    culprits: tuple[str, ...] = (),
    layers: dict[str, str] | None = None,
    data: Callable[[], Any] = series,
    **options: Any,
) -> None:
    """Register a network of this file."""

    def build() -> Built:
        net = make()
        mutate(net)
        return net, data(), {"loss": "cross-entropy"} | options

    add(
        f"sequence/{name}",
        label,
        "recurrent" if name.startswith("rnn") else "injected" if label != "healthy" else "twin",
        why,
        proof,
        build,
        culprits,
        layers,
    )


def long() -> tuple[Tensor, Tensor]:
    """`series` of 200 steps."""
    return series(16, 200)


def first_step() -> tuple[Tensor, Tensor]:
    """The class is shown at the first of 200 steps alone; the rest is silence."""
    y = torch.arange(24) % 3
    x = torch.zeros(24, 200, 3)
    x[:, 0] = F.one_hot(y, 3).float() * 2
    return x, y


def through_time(low: float, high: float) -> Proof:
    """‖∂out/∂x at the first step‖ over that at the last step lies in low … high."""

    def proof(model: nn.Module, data: Any, _options: dict[str, Any]) -> str:
        x = split(data)[0][0].clone().requires_grad_()
        out = model(x)
        (g,) = torch.autograd.grad(out, x, torch.randint(0, 2, out.shape).float() * 2 - 1)
        n = g.norm(dim=(0, 2))
        r = float(n[0] / n[-1])
        assert low <= r <= high, r
        return f"input gradient, first step over last: {r:.3g}"

    return proof


class Rec(nn.Module):
    """A recurrent layer and a head on its last step (or on the mean over steps)."""

    def __init__(
        self,
        cell: str,
        width: int = 24,
        layers: int = 1,
        last: bool = True,
        both_ways: bool = False,
        relu: bool = False,
    ) -> None:
        super().__init__()
        cls = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[cell]
        more: dict[str, Any] = {"nonlinearity": "relu"} if relu else {}
        self.cell = cls(3, width, layers, batch_first=True, bidirectional=both_ways, **more)
        self.head = nn.Linear(width * (2 if both_ways else 1), 3)
        self.last = last

    def forward(self, x: Tensor) -> Any:
        """(B, S, 3) → (B, 3)."""
        h, _ = self.cell(x)
        return self.head(h[:, -1] if self.last else h.mean(1))


def orth(gain: float) -> Mutate:
    """Orthogonal recurrent weights times gain."""

    def put(net: Any) -> None:
        w = net.cell.weight_hh_l0.data
        n = w.shape[1]
        for i in range(0, w.shape[0], n):
            nn.init.orthogonal_(w[i : i + n], gain=gain)

    return put


def forget(value: float) -> Mutate:
    """Forget-gate biases of an LSTM (the second quarter), both vectors together."""

    def put(net: Any) -> None:
        n = net.cell.hidden_size
        net.cell.bias_ih_l0.data[n : 2 * n] = value
        net.cell.bias_hh_l0.data[n : 2 * n] = 0

    return put


def gates(lo: int, hi: int, value: float) -> Mutate:
    """Biases of gate rows lo … hi (in widths)."""

    def put(net: Any) -> None:
        n = net.cell.hidden_size
        net.cell.bias_ih_l0.data[lo * n : hi * n] = value

    return put


case(
    "rnn-lstm-20",
    "healthy",
    "LSTM over 20 steps, mean of states",
    learns(0.1, 100, lr=1e-2),
    lambda: Rec("lstm", last=False),
)
case("rnn-gru-20", "healthy", "GRU over 20 steps, last state", learns(0.1, 100, lr=1e-2), lambda: Rec("gru"))
case(
    "rnn-tanh-orth",
    "healthy",
    "tanh RNN, orthogonal recurrence, 20 steps",
    both(through_time(0.03, 30), learns(0.1, 100)),
    lambda: Rec("rnn"),
    orth(1.0),
)
case(
    "rnn-irnn",
    "healthy",
    "identity ReLU RNN (Le 2015)",
    both(through_time(0.1, 30), learns(0.1, 60, lr=1e-3)),
    lambda: Rec("rnn", relu=True),
    lambda n: (
        nn.init.eye_(n.cell.weight_hh_l0),
        nn.init.normal_(n.cell.weight_ih_l0, std=0.1),
        nn.init.zeros_(n.cell.bias_ih_l0),
        nn.init.zeros_(n.cell.bias_hh_l0),
    ),
)
case(
    "rnn-lstm-forget1-200",
    "healthy",
    "LSTM with forget bias 4 keeps 200 steps",
    both(through_time(1e-3, 100), learns(0.1, 100, lr=1e-2)),
    lambda: Rec("lstm", 16),
    forget(4.0),
    data=long,
)
case(
    "rnn-bilstm",
    "healthy",
    "bidirectional LSTM, two layers, mean",
    learns(0.1, 100, lr=1e-2),
    lambda: Rec("lstm", 12, 2, False, True),
)
case(
    "rnn-one-step",
    "healthy",
    "a sequence of one step has no time to vanish in, whatever its recurrent weights",
    learns(0.1, 100, lr=1e-2),
    lambda: Rec("rnn"),
    orth(0.3),
    data=lambda: series(32, 1),
)
case(
    "rnn-orth-half",
    "vanishing",
    "tanh RNN, orthogonal x 0.5: at most 0.5^39 over 40 steps",
    through_time(0, 1e-8),
    lambda: Rec("rnn"),
    orth(0.5),
    ("cell",),
    {"cell": "vanishing", "head": "healthy"},
    data=lambda: series(32, 40),
)
case(
    "rnn-first-step",
    "vanishing",
    "the class is 200 steps back, orthogonal x 0.8: 0.8^199",
    through_time(0, 1e-12),
    lambda: Rec("rnn"),
    orth(0.8),
    ("cell",),
    {"cell": "vanishing"},
    data=first_step,
)
case(
    "rnn-lstm-forget-minus10",
    "vanishing",
    "forget bias -10 wipes the cell each step: nothing crosses 60 steps",
    through_time(0, 1e-8),
    lambda: Rec("lstm"),
    lambda n: (forget(-10.0)(n), n.cell.weight_hh_l0.data.mul_(0.2)),
    ("cell",),
    {"cell": "vanishing", "head": "healthy"},
    data=lambda: series(32, 60),
)
case(
    "rnn-gru-overwrites",
    "vanishing",
    "GRU update gate at -12: the state is replaced each step, recurrence faint",
    through_time(0, 1e-8),
    lambda: Rec("gru"),
    lambda n: (gates(1, 2, -12.0)(n), n.cell.weight_hh_l0.data.mul_(0.3)),
    ("cell",),
    {"cell": "vanishing", "head": "healthy"},
    data=lambda: series(32, 60),
)
case(
    "rnn-default-120",
    "vanishing",
    "default tanh RNN (hidden 24) over 120 steps, last state",
    through_time(0, 1e-8),
    lambda: Rec("rnn"),
    none,
    ("cell",),
    {"cell": "vanishing", "head": "healthy"},
    data=lambda: series(24, 120),
)
case(
    "rnn-relu-double",
    "exploding",
    "ReLU RNN, recurrence 1.6 x identity: 1.6^40 = 1e8",
    both(through_time(1e4, 1e30)),
    lambda: Rec("rnn", relu=True),
    lambda n: n.cell.weight_hh_l0.data.copy_(1.6 * torch.eye(24)),
    ("cell",),
    {"cell": "exploding"},
    data=lambda: series(24, 40),
)


class Linear(nn.Module):
    """A hand-written linear recurrence, unrolled in Python over a cell."""

    def __init__(self, gain: float, cell: str = "linear", detach_every: int = 0) -> None:
        super().__init__()
        self.inp, self.rec, self.out = nn.Linear(3, 16), nn.Linear(16, 16, bias=False), nn.Linear(16, 3)
        nn.init.orthogonal_(self.rec.weight, gain=gain)
        self.act = nn.Tanh() if cell == "tanh" else nn.Identity()
        self.detach_every = detach_every

    def forward(self, x: Tensor) -> Any:
        """(B, S, 3) → (B, 3)."""
        h = x.new_zeros(x.shape[0], 16)
        for t in range(x.shape[1]):
            if self.detach_every and t % self.detach_every == 0:
                h = h.detach()
            h = self.act(self.inp(x[:, t]) + self.rec(h))
        return self.out(h)


case(
    "rnn-unrolled",
    "healthy",
    "hand-unrolled orthogonal linear recurrence",
    both(through_time(0.3, 3), learns(0.1, 60)),
    lambda: Linear(1.0),
)
case(
    "rnn-unrolled-tbptt",
    "healthy",
    "the state is detached every 10 steps on purpose: truncated back-propagation, every weight still learns",
    learns(0.1, 80),
    lambda: Linear(1.0, "tanh", 10),
)
case(
    "rnn-unrolled-double",
    "exploding",
    "orthogonal x 2 over 30 steps: 2^29 exactly",
    through_time(1e8, 1e10),
    lambda: Linear(2.0),
    none,
    ("rec",),
    {"rec": "exploding"},
    data=lambda: series(24, 30),
)
case(
    "rnn-unrolled-half",
    "vanishing",
    "orthogonal x 0.5 over 50 steps: 2^-49 exactly",
    through_time(0, 1e-13),
    lambda: Linear(0.5),
    none,
    ("rec", "inp"),
    {"out": "healthy"},
    data=lambda: series(24, 50),
)
case(
    "rnn-unrolled-double-200",
    "exploding",
    "orthogonal x 2 over 200 steps: 2^199 overflows float32",
    nonfinite,
    lambda: Linear(2.0),
    none,
    ("rec",),
    {"rec": "exploding"},
    data=long,
)


class CellLoop(nn.Module):
    """nn.LSTMCell, teacher forcing over tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.emb, self.cell, self.out = nn.Embedding(20, 16), nn.LSTMCell(16, 24), nn.Linear(24, 20)

    def forward(self, ids: Tensor) -> Tensor:
        """(B, 12) → (B, 12, 20)."""
        h = c = torch.zeros(ids.shape[0], 24)
        outs = []
        for t in range(ids.shape[1]):
            h, c = self.cell(self.emb(ids[:, t]), (h, c))
            outs.append(self.out(h))
        return torch.stack(outs, 1)


case(
    "rnn-cell-loop",
    "healthy",
    "language model on an LSTMCell",
    learns(0.1, 80, lr=1e-2),
    CellLoop,
    data=tokens,
    loss=ce,
)


class Seq2Seq(nn.Module):
    """A GRU encoder, a bridge, a GRU decoder."""

    def __init__(self, fault: str = "") -> None:
        super().__init__()
        self.emb = nn.Embedding(20, 16)
        self.encoder, self.decoder = nn.GRU(16, 20, batch_first=True), nn.GRU(16, 20, batch_first=True)
        self.bridge, self.out = nn.Linear(20, 20), nn.Linear(20, 20)
        self.fault = fault

    def forward(self, ids: Tensor) -> Any:
        """(B, 12) → (B, 12, 20)."""
        _, h = self.encoder(self.emb(ids))
        h = torch.tanh(self.bridge(h))
        if self.fault == "item":
            h = torch.tensor(h.tolist())
        if self.fault == "detach":
            h = h.detach()
        y, _ = self.decoder(self.emb(ids.flip(1)), h)
        return self.out(y)


case(
    "seq2seq-gru",
    "healthy",
    "GRU encoder and decoder with a bridge",
    learns(0.1, 80, lr=1e-2),
    Seq2Seq,
    data=tokens,
    loss=ce,
)
for _f, _w in (("item", "the state goes through a Python list"), ("detach", "the encoder's state is detached")):
    case(
        f"seq2seq-{_f}",
        "dead",
        _w,
        no_gradient("encoder", "bridge"),
        partial(Seq2Seq, _f),
        none,
        ("bridge", "encoder", "decoder"),
        {"encoder": "dead", "bridge": "dead", "out": "healthy", "decoder": "healthy", "emb": "healthy"},
        data=tokens,
        loss=ce,
    )
case(
    "seq2seq-nan",
    "exploding",
    "a NaN in the embedding row of a used token",
    nonfinite,
    Seq2Seq,
    lambda n: n.emb.weight.data[:, 0].fill_(float("nan")),
    ("emb",),
    {"emb": "exploding"},
    data=tokens,
    loss=ce,
)
