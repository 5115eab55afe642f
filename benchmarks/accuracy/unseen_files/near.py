"""Kind 7: the same questions close to the bands' edges."""

# mypy: disable-error-code="arg-type,index,misc,no-any-return,no-untyped-call,operator,union-attr"
# (torch types a module's attributes as tensor or module, and what it returns as anything; lambdas keep their loop's values)

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import nn

from . import nets
from .injected import TAB, kill
from .instruments import Case, p_dead, p_nograd, seeded
from .recurrent import LOOPC, Loop, Net, eye, orth, seq
from .recurrent import proof as rproof
from .theory import ACT, Res, band, conv, data, mlp, predict, proof

__all__ = ["CASES"]

CASES: list[Case] = []
H = "healthy"


@cache
def scale(act: str, depth: int, want: float, kind: str = "plain") -> float:
    """The variance of the weights at which theory gives this T, by bisection."""
    lo, hi = 0.01, 60.0
    for _ in range(60):
        mid = math.sqrt(lo * hi)
        lo, hi = (mid, hi) if predict(act, depth, mid, kind) < want else (lo, mid)
    return mid


for i, (act, depth, t) in enumerate(
    [
        (a, depth, t)
        for t in (2e-9, 4e-8, 3e4, 4e5, 0.02, 0.05, 20.0, 60.0)
        for a, depth in (("relu", 12), ("tanh", 16), ("gelu", 10), ("linear", 10), ("silu", 14), ("leaky", 20))
    ]
):
    if act == "tanh" and t > 1e3:
        depth = 40
    b = band(t)
    d = data(300 + i)
    k = 1 if act == "linear" else 2
    lay = {"0": b} | ({str(k * depth): H, str(k * (depth // 2)): H} if b == H else {})
    CASES.append(
        Case(
            f"ne_{b[:3]}_{act}_T{t:.0e}_{i}".replace("-", "m").replace("+", "").replace(".", "p"),
            "near",
            b,
            seeded(
                7000 + i, lambda a=act, depth=depth, t=t, i=i: mlp(a, depth, 96 if i % 2 else 192, scale(a, depth, t))
            ),
            d if i % 5 else None,
            ["module", "pt2", "onnx", "state"][i % 4],
            {},
            (),
            lay,
            proof("0", b, lambda t=t: t),
            sample=d,
        )
    )
for i, (act, depth, t) in enumerate(
    [("relu", 16, 8e-8), ("gelu", 12, 8e-7), ("relu", 14, 8e5), ("silu", 12, 4e5), ("relu", 10, 1.0), ("gelu", 10, 0.3)]
):
    b = band(t / 8)
    d = data(400 + i, (3, 8, 8), 64)
    CASES.append(
        Case(
            f"ne_conv_{b[:3]}_{act}_{i}",
            "near",
            b,
            seeded(7200 + i, lambda a=act, depth=depth, t=t: conv(a, depth, 24, scale(a, depth, t))),
            d,
            ["module", "onnx"][i % 2],
            {},
            (),
            {"0": b},
            proof("0", b, lambda t=t / 8: t),
        )
    )
for i, (act, depth, t) in enumerate([("relu", 20, 5e4), ("tanh", 20, 50.0), ("gelu", 30, 1e5), ("relu", 12, 30.0)]):
    b = band(t)
    d = data(450 + i)
    CASES.append(
        Case(
            f"ne_res_{b[:3]}_{act}_{i}",
            "near",
            b,
            seeded(7300 + i, lambda a=act, depth=depth, t=t: Res(a, depth, 64, scale(a, depth, t, "res"))),
            d,
            "entry",
            {},
            (),
            {"stem": b},
            proof("stem", b, lambda t=t: t),
        )
    )
V = "vanishing"
# default initialisations, measured once: depth → verdict; what lies between the bands is left out
DEFAULTS = {
    "gelu": {16: V, 24: V, 40: V},
    "silu": {16: V, 24: V, 40: V},
    "elu": {4: H, 6: H, 40: V},
    "leaky": {4: H, 24: V, 40: V},
    "selu": {4: H, 6: H, 10: H, 16: H},
}
for act, depths in DEFAULTS.items():
    for depth, b in depths.items():
        i = len(CASES)
        mk = seeded(
            7400 + i,
            lambda a=act, depth=depth: nn.Sequential(
                *[y for each in range(depth) for y in (nn.Linear(32 if each == 0 else 96, 96), ACT[a]())],
                nn.Linear(96, 10),
            ),
        )
        d = data(470 + i)
        CASES.append(
            Case(
                f"ne_default_{b[:3]}_{act}_L{depth}",
                "near",
                b,
                mk,
                d if i % 3 else None,
                ["module", "state", "onnx"][i % 3],
                {},
                (),
                {"0": b, str(2 * depth): H},
                proof("0", b, None),
                sample=d,
            )
        )

# recurrent
# found once among 260 draws: the ratio lies near an edge, and a healthy net's outputs are of a usual size
E = "exploding"
DRAWS = {
    11: H,
    16: V,
    26: V,
    42: H,
    53: E,
    61: H,
    67: V,
    72: V,
    78: V,
    87: H,
    93: V,
    99: V,
    120: H,
    123: H,
    135: H,
    136: H,
    155: H,
    170: H,
    178: V,
    199: V,
    223: E,
}
for j, v in DRAWS.items():
    g = torch.Generator().manual_seed(j)
    kind = ("RNN", "relu", "ltanh", "llin", "lsig")[j % 5]
    S = int(torch.randint(5, 90, (1,), generator=g))
    s = float(torch.rand(1, generator=g) * 1.2 + 0.3)
    h = (16, 32, 64)[j % 3]
    if kind in ("RNN", "relu"):

        def net(kind: str = kind, s: float = s, h: int = h, j: int = j) -> nn.Module:
            return (eye if kind == "relu" and j % 2 else orth)(
                Net("RNN", 6, h, nl="tanh" if kind == "RNN" else "relu"), s
            )
    else:

        def net(kind: str = kind, s: float = s, h: int = h) -> nn.Module:
            return orth(Loop({"ltanh": "tanh", "llin": "linear", "lsig": "sigmoid"}[kind], 6, h), s)

    d = seq(64, S, 6, 1000 + j)
    i = len(CASES)
    own = "rnn" if kind in ("RNN", "relu") else "h2h"
    CASES.append(
        Case(
            f"ne_rec_{v[:3]}_{kind}_S{S}_{j}",
            "near",
            v,
            seeded(7600 + i, net),
            d,
            ["entry", "state"][j % 2],
            {},
            ("rnn", *LOOPC),
            ({own: v, "head": H} if v != "exploding" else {own: v}),
            rproof,
        )
    )
# shares of dead units close to one half
for j, (n, sh) in enumerate(
    [
        (20, 0.4),
        (20, 0.55),
        (40, 0.45),
        (40, 0.525),
        (64, 0.4),
        (64, 0.55),
        (200, 0.45),
        (200, 0.55),
        (128, 0.75),
        (32, 0.97),
    ]
):
    v = "dead" if sh > 0.5 else H
    depth = 2 + j % 3
    at_ = str(2 * (j % depth))
    act = str(int(at_) + 1)

    def base(n: int = n, depth: int = depth, at_: str = at_, sh: float = sh) -> nn.Module:
        m = nets.mlp(n, depth, nn.ReLU)
        for q in m:
            if isinstance(q, nn.Linear):
                nn.init.constant_(q.bias, 0.3)  # the others fire now and then
        with torch.no_grad():
            kill(at_, sh)(m)
        return m

    CASES.append(
        Case(
            f"ne_kill_{n}_{int(sh * 1000)}",
            "near",
            v,
            seeded(7900 + j, base),
            TAB,
            ["module", "onnx", "pt2"][j % 3],
            {},
            (at_, act) if v == "dead" else (),
            ({at_: H} if v == H else {}) | {str(2 * depth): H},
            p_dead(act, (0.5, 0.999) if v == "dead" else (0.2, 0.49)),
        )
    )


# registered and never used, in several shapes
class Never(nn.Module):
    def __init__(self, what: str) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(20, 32), nn.Linear(32, 5)
        made: dict[str, Callable[[], Any]] = {
            "emb": lambda: nn.Embedding(10, 4),
            "bn": lambda: nn.BatchNorm1d(32),
            "conv": lambda: nn.Conv2d(1, 4, 3),
            "param": lambda: nn.Parameter(torch.randn(32, 32)),
            "gru": lambda: nn.GRU(4, 4),
            "seq": lambda: nn.Sequential(nn.Linear(32, 32), nn.ReLU()),
            "plist": lambda: nn.ParameterList([torch.randn(4, 4)]),
        }
        self.spare = made[what]()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(torch.tanh(self.a(x)))


for what in ("emb", "bn", "conv", "param", "gru", "seq", "plist"):
    nm = "spare.0" if what in ("seq", "plist") else "spare"
    CASES.append(
        Case(
            f"ne_never_{what}",
            "near",
            "dead",
            seeded(7950, lambda what=what: Never(what)),
            TAB,
            "state" if what == "conv" else "entry",
            {},
            (nm, "spare"),
            {"a": H, "b": H},
            p_nograd((f"{nm}.weight", nm)),
        )
    )
