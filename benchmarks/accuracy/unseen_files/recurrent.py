"""Kind 5: recurrent nets; labels by the gradient at the first step's input over the last step's."""


# mypy: disable-error-code="arg-type,index,misc,no-any-return,no-untyped-call,operator,union-attr"
# (torch types a module's attributes as tensor or module, and what it returns as anything; lambdas keep their loop's values)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from .instruments import Asserted, Case, rnd, seeded, teach

__all__ = ["CASES"]

CASES: list[Case] = []


class Net(nn.Module):
    """nn.RNN/GRU/LSTM, the head on the last step (or the mean, or the last valid step of a packed batch)."""

    def __init__(
        self,
        cell: str,
        f: int,
        h: int,
        layers: int = 1,
        bi: bool = False,
        read: str = "last",
        nl: str = "tanh",
        packed: bool = False,
        emb: int = 0,
        batch_first: bool = True,
    ) -> None:
        super().__init__()
        kw: dict[str, Any] = {"nonlinearity": nl} if cell == "RNN" else {}
        if emb:
            self.emb = nn.Embedding(emb, f)
        self.rnn = getattr(nn, cell)(f, h, layers, batch_first=batch_first, bidirectional=bi, **kw)
        self.head = nn.Linear(h * (1 + bi), 4)
        self.read, self.packed, self.has_emb, self.bf = read, packed, bool(emb), batch_first

    def forward(self, x: Tensor) -> Tensor:
        if self.has_emb:
            x = self.emb(x)
        return self.body(x)

    def body(self, x: Tensor) -> Tensor:
        if self.packed:
            n = torch.full((x.shape[0],), x.shape[1], dtype=torch.int64)
            p = nn.utils.rnn.pack_padded_sequence(x, n, batch_first=True)
            h = self.rnn(p)[1]
            h = h[0] if isinstance(h, tuple) else h
            return self.head(h[-1])
        if not self.bf:
            x = x.transpose(0, 1)
        o = self.rnn(x)[0]
        if not self.bf:
            o = o.transpose(0, 1)
        if self.rnn.bidirectional:  # each direction's own last step
            k = self.rnn.hidden_size
            o = torch.cat([o[:, -1, :k], o[:, 0, k:]], 1)
            return self.head(o)
        return self.head(o[:, -1] if self.read == "last" else o.mean(1))


class Loop(nn.Module):
    """An own cell in a python loop."""

    def __init__(self, kind: str, f: int, h: int, read: str = "last") -> None:
        super().__init__()
        self.kind, self.h, self.read = kind, h, read
        if kind in ("RNNCell", "GRUCell", "LSTMCell"):
            self.cell = getattr(nn, kind)(f, h)
        else:
            self.i2h, self.h2h = nn.Linear(f, h), nn.Linear(h, h, bias=False)
        self.head = nn.Linear(h, 4)

    def forward(self, x: Tensor) -> Tensor:
        s = x.new_zeros(x.shape[0], self.h)
        c = s
        for t in range(x.shape[1]):
            u = x[:, t]
            if self.kind == "LSTMCell":
                s, c = self.cell(u, (s, c))
            elif self.kind in ("RNNCell", "GRUCell"):
                s = self.cell(u, s)
            elif self.kind == "tanh":
                s = torch.tanh(self.i2h(u) + self.h2h(s))
            elif self.kind == "sigmoid":
                s = torch.sigmoid(self.i2h(u) + self.h2h(s))
            elif self.kind == "linear":
                s = self.i2h(u) + self.h2h(s)
            elif self.kind == "relu":
                s = torch.relu(self.i2h(u) + self.h2h(s))
            elif self.kind == "residual":
                s = s + 0.1 * torch.tanh(self.i2h(u) + self.h2h(s))
        return self.head(s)


def orth(m: nn.Module, s: float) -> nn.Module:
    for n, p in m.named_parameters():
        if "weight_hh" in n or n == "h2h.weight":
            with torch.no_grad():
                k = p.shape[1]
                for g in range(p.shape[0] // k):
                    nn.init.orthogonal_(p[g * k : (g + 1) * k])
                p.mul_(s)
    return m


def eye(m: nn.Module, s: float) -> nn.Module:
    for n, p in m.named_parameters():
        if "weight_hh" in n or n == "h2h.weight":
            with torch.no_grad():
                p.copy_(s * torch.eye(p.shape[0]))
    return m


def forget(m: nn.Module, b: float) -> nn.Module:
    for n, p in m.named_parameters():
        if "bias_ih" in n or "bias_hh" in n:
            h = p.shape[0] // 4
            with torch.no_grad():
                p[h : 2 * h] = b / 2
    return m


def ratio(c: Case) -> float:
    m = c.make().train()
    x = c.inputs()[0]
    if isinstance(m, Net) and m.has_emb:
        x = m.emb(x).detach()
    x = x.clone().requires_grad_(True)
    f = m.body if isinstance(m, Net) else m
    if isinstance(m, Net) and m.rnn.bidirectional:  # the forward direction alone
        k = m.rnn.hidden_size
        assert m.rnn.num_layers == 1
        o = m.rnn(x)[0][:, -1, :k]
    else:
        o = f(x)
    v = torch.randint(0, 2, o.shape, generator=torch.Generator().manual_seed(0)).float() * 2 - 1
    (g,) = torch.autograd.grad((o * v).sum(), x)
    a, b = float(g[:, 0].double().norm()), float(g[:, -1].double().norm())
    return a / b


def proof(c: Case) -> tuple[bool, str]:
    r = ratio(c)
    ok = {"vanishing": r <= 1e-8, "exploding": r >= 1e4 or r != r, "healthy": 1e-2 <= r <= 1e2}[c.verdict]
    return ok, f"first/last step gradient {r:.1e}"


def p_gated(c: Case) -> tuple[bool, str]:
    r = ratio(c)
    return (r <= 1e-6) if c.verdict == "vanishing" else r > 1e-6, f"first/last step gradient {r:.1e}"


def p_mean(c: Case) -> tuple[bool, str]:
    r = ratio(c)  # the loss reads every step, so the first is heard directly
    return 0.05 < r < 30, f"first/last step gradient {r:.1e}"


def seq(n: int, s: int, f: int, sd: int) -> dict[str, Tensor]:
    x = rnd(900 + sd, n, s, f)
    return {"x": x, "y": teach(901 + sd, x[:, -3:].mean(1), 4)}


def tok(n: int, s: int, v: int, sd: int) -> dict[str, Tensor]:
    x = torch.randint(0, v, (n, s), generator=torch.Generator().manual_seed(sd))
    return {"ids": x, "y": x[:, -1] % 4}


def add(
    name: str,
    v: str,
    b: Callable[[], nn.Module],
    d: dict[str, Tensor],
    culprits: tuple[str, ...],
    layers: dict[str, str],
    form: str = "entry",
    pr: Any = proof,
    nodata: bool = False,
    **o: Any,
) -> None:
    i = len(CASES)
    CASES.append(
        Case(
            "re_" + name.replace(".", "p").replace("-", "m"),
            "recurrent",
            v,
            seeded(300 + i, b),
            None if nodata else d,
            form,
            o,
            culprits,
            layers,
            pr,
            sample=d,
        )
    )


H = "healthy"
C = ("rnn",)
GRID = [
    (nl, s, S, h)
    for nl in ("tanh", "relu")
    for s in (0.3, 0.5, 0.8, 1.0, 1.2, 1.5)
    for S in (5, 10, 20, 40, 80, 150)
    for h in (24, 64)
]
# found once: at most five of each verdict and function, by the ratio of the gradients at the first and the last step
DRAWN = {
    1: H,
    3: H,
    4: "vanishing",
    5: H,
    6: "vanishing",
    8: "vanishing",
    10: "vanishing",
    11: "vanishing",
    12: H,
    13: H,
    15: H,
    17: H,
    18: "vanishing",
    20: "vanishing",
    22: "vanishing",
    27: H,
    31: H,
    32: "vanishing",
    35: "exploding",
    38: H,
    43: "vanishing",
    66: "exploding",
}
for j, v in DRAWN.items():
    k = (j * 37) % len(GRID)
    nl, s, S, h = GRID[k]

    def b(nl: str = nl, s: float = s, h: int = h) -> nn.Module:
        return orth(Net("RNN", 6, h, nl=nl, batch_first=h == 24), s)

    d = seq(96, S, 6, k)
    add(
        f"{v[:3]}_{nl}_s{s}_S{S}_h{h}",
        v,
        b,
        d,
        C,
        {"rnn": v, "head": H} if v != "exploding" else {"rnn": v},
        ["entry", "state"][j % 2],
        nodata=False,
    )
LOOPC = ("h2h", "i2h", "cell", "tanh()", "relu()", "sigmoid()", "cell.weight_hh")
for j, (kind, s, S, v, how) in enumerate(
    [
        ("tanh", 0.4, 30, "vanishing", "o"),
        ("tanh", 0.5, 60, "vanishing", "o"),
        ("sigmoid", 1.0, 20, "vanishing", "o"),
        ("sigmoid", 2.0, 40, "vanishing", "o"),
        ("linear", 1.4, 60, "exploding", "o"),
        ("linear", 1.0, 50, H, "o"),
        ("linear", 0.5, 40, "vanishing", "o"),
        ("relu", 1.6, 50, "exploding", "i"),
        ("relu", 1.0, 30, H, "i"),
        ("residual", 1.0, 30, H, "o"),
        ("residual", 1.0, 80, H, "o"),
        ("tanh", 1.0, 5, H, "o"),
        ("RNNCell", 0.4, 40, "vanishing", "o"),
        ("RNNCell", 1.0, 6, H, "o"),
        ("linear", 1.3, 80, "exploding", "o"),
    ]
):
    init = orth if how == "o" else eye
    form = ["entry", "pt2", "state"][j % 3]
    lay = {"head": H} if v != "exploding" else {}
    own = "cell" if kind == "RNNCell" else "h2h"
    add(
        f"loop_{kind}_s{s}_S{S}",
        v,
        lambda kind=kind, s=s, init=init: init(Loop(kind, 6, 32), s),
        seq(64, S, 6, 400 + j),
        LOOPC,
        lay | {own: v},
        form,
    )
for j, (cell, S, depth, h) in enumerate(
    [
        ("LSTM", 10, 1, 32),
        ("GRU", 10, 1, 32),
        ("LSTM", 25, 1, 48),
        ("GRU", 40, 1, 32),
        ("LSTM", 40, 1, 32),
        ("GRU", 20, 2, 24),
        ("LSTM", 12, 3, 24),
        ("LSTM", 30, 2, 32),
    ]
):
    add(
        f"gated_{cell}_S{S}_L{depth}",
        H,
        lambda cell=cell, depth=depth, h=h: Net(cell, 6, h, depth, read="mean" if depth > 1 else "last"),
        seq(96, S, 6, 500 + j),
        (),
        {"rnn": H, "head": H},
        ["entry", "state"][j % 2],
        p_mean if depth > 1 else Asserted("default gated init"),
    )
for j, (b_, S) in enumerate([(-8.0, 60), (-8.0, 100), (-10.0, 80), (-6.0, 100)]):
    add(
        f"forget{int(b_)}_S{S}",
        "vanishing",
        lambda b_=b_: forget(Net("LSTM", 6, 32), b_),
        seq(64, S, 6, 520 + j),
        C,
        {"rnn": "vanishing", "head": H},
        ["entry", "state"][j % 2],
        p_gated,
    )
for j, (b_, S) in enumerate([(1.0, 40), (3.0, 60), (5.0, 100)]):
    add(
        f"forget{int(b_)}_S{S}",
        H,
        lambda b_=b_: forget(Net("LSTM", 6, 32), b_),
        seq(64, S, 6, 530 + j),
        (),
        {"rnn": H, "head": H},
        ["entry", "state"][j % 2],
        lambda c: (ratio(c) > 1e-5, f"{ratio(c):.1e}"),
    )
add(
    "bi_van",
    "vanishing",
    lambda: orth(Net("RNN", 6, 32, bi=True), 0.4),
    seq(64, 40, 6, 540),
    C,
    {"rnn": "vanishing", "head": H},
)
add(
    "bi_exp",
    "exploding",
    lambda: eye(Net("RNN", 6, 32, bi=True, nl="relu"), 1.5),
    seq(64, 50, 6, 541),
    C,
    {"rnn": "exploding"},
    "state",
)
add("bi_hea", H, lambda: orth(Net("RNN", 6, 32, bi=True), 1.0), seq(64, 5, 6, 542), C, {"rnn": H, "head": H})
add(
    "bi_lstm",
    H,
    lambda: Net("LSTM", 6, 32, bi=True),
    seq(64, 15, 6, 543),
    C,
    {"rnn": H, "head": H},
    "entry",
    lambda c: (ratio(c) > 1e-6, f"{ratio(c):.1e}"),
)
add(
    "packed_van",
    "vanishing",
    lambda: orth(Net("RNN", 6, 32, packed=True), 0.4),
    seq(64, 40, 6, 550),
    C,
    {"rnn": "vanishing", "head": H},
)
add(
    "packed_exp",
    "exploding",
    lambda: eye(Net("RNN", 6, 32, packed=True, nl="relu"), 1.4),
    seq(64, 60, 6, 551),
    C,
    {"rnn": "exploding"},
)
add(
    "packed_hea",
    H,
    lambda: Net("GRU", 6, 32, packed=True),
    seq(64, 15, 6, 552),
    C,
    {"rnn": H, "head": H},
    "entry",
    lambda c: (ratio(c) > 1e-6, f"{ratio(c):.1e}"),
)
add(
    "stack_van",
    "vanishing",
    lambda: orth(Net("RNN", 6, 32, 2), 0.4),
    seq(64, 60, 6, 560),
    C,
    {"rnn": "vanishing", "head": H},
    "state",
)
add(
    "stack_exp",
    "exploding",
    lambda: eye(Net("RNN", 6, 32, 2, nl="relu"), 1.4),
    seq(64, 60, 6, 561),
    C,
    {"rnn": "exploding"},
)
add("stack_hea", H, lambda: orth(Net("RNN", 6, 32, 2), 1.0), seq(64, 6, 6, 562), C, {"rnn": H, "head": H})
add(
    "emb_van",
    "vanishing",
    lambda: orth(Net("RNN", 16, 32, emb=40), 0.4),
    tok(96, 50, 40, 570),
    C,
    {"rnn": "vanishing", "head": H},
    "state",
)
add(
    "emb_gru",
    H,
    lambda: Net("GRU", 16, 32, emb=40),
    tok(96, 20, 40, 571),
    C,
    {"rnn": H, "head": H, "emb": H},
    "entry",
    lambda c: (ratio(c) > 1e-6, f"{ratio(c):.1e}"),
)
add(
    "mean_tanh",
    H,
    lambda: orth(Net("RNN", 6, 32, read="mean"), 0.9),
    seq(64, 25, 6, 580),
    C,
    {"rnn": H, "head": H},
    "entry",
    p_mean,
)
add(
    "mean_exp",
    "exploding",
    lambda: eye(Net("RNN", 6, 32, read="mean", nl="relu"), 1.5),
    seq(64, 50, 6, 581),
    C,
    {"rnn": "exploding"},
    "state",
)
for j, (cell, S) in enumerate([("LSTM", 12), ("GRU", 30), ("RNN", 8)]):
    add(
        f"bare_{cell}",
        H,
        lambda cell=cell: getattr(nn, cell)(6, 24, batch_first=True),
        {"x": rnd(600 + j, 64, S, 6)},
        (),
        {},
        "module",
        Asserted("default init, every step is an output"),
        nodata=j == 2,
    )
add(
    "gru_cell",
    H,
    lambda: Loop("GRUCell", 6, 32),
    seq(64, 20, 6, 610),
    (),
    {"cell": H, "head": H},
    "pt2",
    lambda c: (ratio(c) > 1e-6, f"{ratio(c):.1e}"),
)
add(
    "lstm_cell",
    H,
    lambda: Loop("LSTMCell", 6, 32),
    seq(64, 15, 6, 611),
    (),
    {"cell": H, "head": H},
    "entry",
    lambda c: (ratio(c) > 1e-6, f"{ratio(c):.1e}"),
)
