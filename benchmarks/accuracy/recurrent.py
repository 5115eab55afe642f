"""Recurrent nets through time.

By Pascanu 2013 the gradient through time fades if the largest singular value of the recurrent weight is below 1/γ, and can only
explode above it. The labels use the product over the steps: below 1e-8 of the last step's gradient at the first step it has
vanished; a default initialisation at ten to thirty steps is what people train with success.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from .cases import EXPLODING, HEALTHY, VANISHING, Case, Problem, problem

Start = Callable[[Tensor], object]
WIDTH, FEATURES = 32, 6


class Reader(nn.Module):
    """A recurrent layer and a head that reads the last step, as classifiers of sequences do."""

    def __init__(self, kind: str, nonlinearity: Literal["tanh", "relu"] = "tanh") -> None:
        super().__init__()
        if kind == "RNN":
            self.rnn: nn.RNNBase = nn.RNN(FEATURES, WIDTH, nonlinearity=nonlinearity, batch_first=True)
        else:
            self.rnn = {"LSTM": nn.LSTM, "GRU": nn.GRU}[kind](FEATURES, WIDTH, batch_first=True)
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, S, 6) → (B, 3)."""
        logits: Tensor = self.head(self.rnn(x)[0][:, -1])
        return logits


class Loop(nn.Module):
    """A cell in a Python loop."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.cell: nn.RNNCellBase = {"RNN": nn.RNNCell, "GRU": nn.GRUCell}[kind](FEATURES, WIDTH)
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, S, 6) → (B, 3)."""
        hidden = x.new_zeros(len(x), WIDTH)
        for step in x.unbind(1):
            hidden = self.cell(step, hidden)
        logits: Tensor = self.head(hidden)
        return logits


class HandWritten(nn.Module):
    """``h ← tanh(W_x x + W_h h)`` with two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.from_input = nn.Linear(FEATURES, WIDTH)
        self.from_hidden = nn.Linear(WIDTH, WIDTH, bias=False)
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, S, 6) → (B, 3)."""
        hidden = x.new_zeros(len(x), WIDTH)
        for step in x.unbind(1):
            hidden = torch.tanh(self.from_input(step) + self.from_hidden(hidden))
        logits: Tensor = self.head(hidden)
        return logits


def orthogonal(gain: float) -> Start:
    """All singular values equal `gain`."""
    return lambda weight: nn.init.orthogonal_(weight, gain)


def identity(weight: Tensor) -> None:
    """IRNN (Le 2015)."""
    nn.init.eye_(weight)


def _sequences(net: nn.Module, steps: int, scale: float = 1.0) -> Problem:
    return problem(net, scale * torch.randn(16, steps, FEATURES))


def _rnn(
    steps: int, start: Start | None = None, nonlinearity: Literal["tanh", "relu"] = "tanh", scale: float = 1.0
) -> Callable[[], Problem]:
    def build() -> Problem:
        net = Reader("RNN", nonlinearity)
        if start is not None:
            _start(net.rnn, start)
        return _sequences(net, steps, scale)

    return build


def _start(layer: nn.Module, start: Start) -> None:
    for name, parameter in layer.named_parameters():
        if name.startswith("weight_hh"):
            start(parameter.data)
        elif name.startswith("bias"):
            nn.init.zeros_(parameter)


def _cell(kind: str, steps: int, start: Start | None = None) -> Callable[[], Problem]:
    def build() -> Problem:
        net = Loop(kind)
        if start is not None:
            _start(net.cell, start)
        return _sequences(net, steps)

    return build


def _hand(steps: int, start: Start | None = None, scale: float = 1.0) -> Callable[[], Problem]:
    def build() -> Problem:
        net = HandWritten()
        if start is not None:
            start(net.from_hidden.weight.data)
        return _sequences(net, steps, scale)

    return build


def _lstm(steps: int, forget: float | None) -> Callable[[], Problem]:
    def build() -> Problem:
        net = Reader("LSTM")
        if forget is not None:
            for name, parameter in net.rnn.named_parameters():
                if name.startswith("bias_ih"):
                    parameter.data[WIDTH : 2 * WIDTH] = forget
                elif name.startswith("bias_hh"):
                    parameter.data[WIDTH : 2 * WIDTH] = 0.0
        return _sequences(net, steps)

    return build


def _gru(steps: int, update: float | None) -> Callable[[], Problem]:
    """torch's GRU keeps the state by z: a large update bias remembers, a very negative one forgets."""

    def build() -> Problem:
        net = Reader("GRU")
        if update is not None:
            for name, parameter in net.rnn.named_parameters():
                if name.startswith("bias_ih"):
                    parameter.data[WIDTH : 2 * WIDTH] = update
                if name.startswith("weight_hh") and update < 0:
                    parameter.data[2 * WIDTH :] *= 0.3
        return _sequences(net, steps)

    return build


def _vanishing() -> list[Case]:
    found = []
    for norm, steps in ((0.3, 25), (0.3, 50), (0.5, 40), (0.5, 80), (0.4, 30)):
        why = f"spectral norm {norm}: at most {norm}^{steps - 2} = {norm ** (steps - 2):.0e} of the gradient reaches the first step"
        found.append(
            Case(
                f"recurrent/rnn-norm{norm}-S{steps}", "theory", _rnn(steps, orthogonal(norm)), VANISHING, why, ("rnn",)
            )
        )
    found += [
        Case(
            "recurrent/cell-norm0.3-S30",
            "theory",
            _cell("RNN", 30, orthogonal(0.3)),
            VANISHING,
            "0.3^28 = 2e-15",
            ("cell",),
        ),
        Case(
            "recurrent/hand-norm0.4-S40",
            "theory",
            _hand(40, orthogonal(0.4)),
            VANISHING,
            "0.4^38 = 8e-16",
            ("from_hidden",),
        ),
        Case(
            "recurrent/relu-norm0.5-S60",
            "theory",
            _rnn(60, orthogonal(0.5), "relu"),
            VANISHING,
            "0.5^58 = 3e-18 even with all units on",
            ("rnn",),
        ),
        Case(
            "recurrent/rnn-default-S100",
            "theory",
            _rnn(100),
            VANISHING,
            "the default's factor of about 0.58 a step makes 1e-23 over 98",
            ("rnn",),
        ),
        Case(
            "recurrent/lstm-shut-S40",
            "theory",
            _lstm(40, -6.0),
            VANISHING,
            "forget gates of 0.0025 keep nothing, and the path through h is weak",
            ("rnn",),
        ),
        Case(
            "recurrent/lstm-shut-S80",
            "theory",
            _lstm(80, -4.0),
            VANISHING,
            "forget gates of 0.018 keep nothing over 80 steps",
            ("rnn",),
        ),
        Case(
            "recurrent/gru-shut-S50",
            "theory",
            _gru(50, -6.0),
            VANISHING,
            "the state is replaced at every step by a candidate that hardly reads it",
            ("rnn",),
        ),
        Case(
            "recurrent/hand-saturated-S30",
            "theory",
            _hand(30, orthogonal(1.0), 300.0),
            VANISHING,
            "inputs of size 300 saturate every tanh",
            ("from_input", "from_hidden", "tanh"),
        ),
    ]
    return found


def _exploding() -> list[Case]:
    return [
        Case(
            "recurrent/relu-norm2-S30",
            "theory",
            _rnn(30, orthogonal(2.5), "relu"),
            EXPLODING,
            "half the units on: 2.5/√2 = 1.77 a step, 9e6 over 28",
            ("rnn",),
        ),
        Case(
            "recurrent/relu-norm3-S20",
            "theory",
            _rnn(20, orthogonal(3.0), "relu"),
            EXPLODING,
            "2.1 a step, 7e5 over 18, and the values grow with it",
            ("rnn",),
        ),
        Case(
            "recurrent/relu-eye2-S40",
            "theory",
            _rnn(40, lambda w: nn.init.eye_(w).mul_(2.0), "relu"),
            EXPLODING,
            "a unit that is on stays on and doubles: 2^38",
            ("rnn",),
        ),
        Case(
            "recurrent/tanh-norm2-tiny-inputs-S30",
            "theory",
            _rnn(30, orthogonal(2.0), "tanh", 1e-9),
            EXPLODING,
            "inputs of 1e-9 leave tanh linear: 2^28 = 3e8",
            ("rnn",),
        ),
    ]


def _healthy() -> list[Case]:
    practice = "the default initialisation at the usual length of a toy sequence"
    found = []
    for kind in ("RNN", "LSTM", "GRU"):
        for steps in (10, 20, 30):
            build = (lambda k, s: lambda: _sequences(Reader(k), s))(kind, steps)
            found.append(Case(f"recurrent/{kind.lower()}-default-S{steps}", "practice", build, HEALTHY, practice))
    found += [
        Case(
            "recurrent/rnn-orthogonal-S50",
            "theory",
            _rnn(50, orthogonal(1.0), "tanh", 0.1),
            HEALTHY,
            "singular values 1 on small inputs: the gradient keeps its size",
        ),
        Case(
            "recurrent/rnn-orthogonal-S30",
            "practice",
            _rnn(30, orthogonal(1.0)),
            HEALTHY,
            "orthogonal recurrent weights are the remedy",
        ),
        Case(
            "recurrent/irnn-S50",
            "theory",
            _rnn(50, identity, "relu"),
            HEALTHY,
            "IRNN: a unit that is on passes the gradient unchanged (Le 2015)",
        ),
        Case(
            "recurrent/irnn-S100",
            "theory",
            _rnn(100, identity, "relu", 0.1),
            HEALTHY,
            "IRNN: a unit that is on passes the gradient unchanged (Le 2015)",
        ),
        Case("recurrent/cell-default-S10", "practice", _cell("RNN", 10), HEALTHY, practice),
        Case("recurrent/gru-cell-default-S20", "practice", _cell("GRU", 20), HEALTHY, practice),
        Case(
            "recurrent/hand-orthogonal-S20",
            "practice",
            _hand(20, orthogonal(1.0)),
            HEALTHY,
            "orthogonal recurrent weights are the remedy",
        ),
        Case("recurrent/hand-default-S10", "practice", _hand(10), HEALTHY, practice),
        Case("recurrent/rnn-S1", "construction", _rnn(1), HEALTHY, "one step: there is no time to vanish through"),
        Case(
            "recurrent/rnn-S2-small", "construction", _rnn(2, orthogonal(0.3)), HEALTHY, "0.3 over one step is nothing"
        ),
        Case(
            "recurrent/gru-keeps-S60", "theory", _gru(60, 4.0), HEALTHY, "update gates of 0.98 keep 0.3 over 60 steps"
        ),
        Case(
            "recurrent/rnn-norm0.7-S10",
            "theory",
            _rnn(10, orthogonal(0.7)),
            HEALTHY,
            "0.7^8 = 0.06 at most and about 0.01 with tanh's slope",
        ),
    ]
    for bias, steps in ((1.0, 30), (2.0, 60), (1.0, 60), (5.0, 100)):
        kept = (1 / (1 + math.exp(-bias))) ** (steps - 2)
        why = f"forget-gate bias {bias:g} is the remedy (Jozefowicz 2015); the cell keeps {kept:.1g}"
        found.append(Case(f"recurrent/lstm-forget{bias:g}-S{steps}", "theory", _lstm(steps, bias), HEALTHY, why))
    return found


def cases() -> list[Case]:
    """All of the family."""
    return [*_vanishing(), *_exploding(), *_healthy()]
