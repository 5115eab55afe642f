"""Kind 1: random nets whose gradient is known from mean-field theory; and default inits, measured."""

# mypy: disable-error-code="arg-type,index,misc,no-any-return,no-untyped-call,operator,union-attr"
# (torch types a module's attributes as tensor or module, and what it returns as anything; lambdas keep their loop's values)

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from .instruments import Case, ask, rnd, seeded, teach

__all__ = ["CASES"]

ACT: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "leaky": nn.LeakyReLU,
    "linear": nn.Identity,
}
Z, WT = np.polynomial.hermite_e.hermegauss(201)
WT = WT / WT.sum()


def moments(act: str, q: float) -> tuple[float, float]:
    z = torch.tensor(Z * math.sqrt(q), dtype=torch.float64, requires_grad=True)
    f = ACT[act]()(z)
    (d,) = torch.autograd.grad(f.sum(), z)
    w = torch.tensor(WT)
    return float((w * f.detach() ** 2).sum()), float((w * d**2).sum())


def predict(act: str, depth: int, s: float, kind: str = "plain", head: float = 1.0) -> float:
    """T at the first layer's output (norm), by the recursion of q and chi."""
    if kind == "bn":
        f2, d2 = moments(act, 1.0)
        mean = float((torch.tensor(WT) * ACT[act]()(torch.tensor(Z))).sum())
        return math.sqrt(d2 / (f2 - mean**2)) ** (depth - 1)
    if kind == "ln":
        f2, d2 = moments(act, 1.0)
        return math.sqrt(d2 / f2) ** (depth - 1)
    q, lg = s, 0.0
    for each in range(depth):
        f2, d2 = moments(act, q)
        if kind == "res":
            lg += math.log(1 + s * d2) if each else 0.0
            q = q + s * f2
        else:
            lg += math.log(d2) + (math.log(s) if each < depth - 1 else math.log(head))
            q = s * f2
    return math.exp(lg / 2)


def init(m: nn.Module, s: float) -> None:
    for p in m.modules():
        if isinstance(p, (nn.Linear, nn.Conv2d)):
            nn.init.normal_(p.weight, 0, math.sqrt(s / p.weight[0].numel()))
            if p.bias is not None:
                nn.init.zeros_(p.bias)


def mlp(act: str, depth: int, n: int, s: float, norm: str = "", din: int = 32, out: int = 10) -> nn.Module:
    ls: list[nn.Module] = []
    for each in range(depth):
        ls += [nn.Linear(din if each == 0 else n, n)]
        ls += {"bn": [nn.BatchNorm1d(n)], "ln": [nn.LayerNorm(n)], "": []}[norm]
        ls += [ACT[act]()] if act != "linear" else []
    m = nn.Sequential(*ls)
    init(m, s)
    h = nn.Linear(n, out)
    init(h, 1.0)
    m.append(h)
    return m


def conv(act: str, depth: int, ch: int, s: float) -> nn.Module:
    ls: list[nn.Module] = []
    for each in range(depth):
        ls += [nn.Conv2d(3 if each == 0 else ch, ch, 3, padding=1, padding_mode="circular"), ACT[act]()]
    m = nn.Sequential(*ls)
    init(m, s)
    h = nn.Linear(ch, 10)
    init(h, 1.0)
    m.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten(), h])
    return m


class Block(nn.Module):
    def __init__(self, n: int, act: str) -> None:
        super().__init__()
        self.act = ACT[act]()
        self.fc = nn.Linear(n, n)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.fc(self.act(x))


class Res(nn.Module):
    def __init__(self, act: str, depth: int, n: int, s: float) -> None:
        super().__init__()
        self.stem = nn.Linear(32, n)
        self.blocks = nn.Sequential(*[Block(n, act) for _ in range(depth)])
        self.head = nn.Linear(n, 10)
        init(self, s)
        init(self.stem, 1.0)
        init(self.head, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x)))


def band(t: float) -> str:
    return "vanishing" if t <= 1e-7 else "exploding" if t >= 1e4 else "healthy" if 1e-2 <= t <= 1e2 else ""


def data(seed: int, shape: tuple[int, ...] = (32,), n: int = 128) -> dict[str, Tensor]:
    x = rnd(seed, n, *shape)
    return {"x": x, "y": teach(seed + 1, x, 10)}


def proof(first: str, want: str, predicted: Callable[[], float] | None) -> Callable[[Case], tuple[bool, str]]:
    def go(c: Case) -> tuple[bool, str]:
        m = c.make().train()
        reach, _, out = ask(m, c.inputs())
        t = reach.get(first, 0.0)
        o = out.detach()
        rms = float(o.pow(2).mean().sqrt())
        ok = band(t) == want or (t != t and want == "exploding")
        if want == "healthy":
            ok = ok and rms < 30 and all(1e-2 <= v <= 1e2 for v in reach.values())
        return (
            ok,
            f"T[{first}]={t:.2e} theory={'' if predicted is None else format(predicted(), '.2e')} out rms={rms:.1e}",
        )

    return go


DEFAULTS: dict[str, dict[int, str]] = {
    "sigmoid": dict.fromkeys((12, 20, 30, 45, 60), "vanishing"),
    "tanh": dict.fromkeys((3, 4, 6), "healthy") | dict.fromkeys((30, 45, 60), "vanishing"),
    "relu": dict.fromkeys((3, 4), "healthy") | dict.fromkeys((20, 30, 45, 60), "vanishing"),
}
"""Default initialisations, measured once: activation → depth → verdict; what lies between the bands is left out."""

DRAWN: dict[str, list[tuple[str, int, int, float]]] = {
    "exploding": [
        *(("elu", 40, 128, 4), ("elu", 60, 64, 4), ("gelu", 30, 128, 5), ("gelu", 60, 128, 5), ("leaky", 40, 64, 4)),
        *(("leaky", 30, 128, 8), ("linear", 40, 128, 4), ("linear", 16, 128, 4), ("relu", 40, 64, 10)),
        *(("relu", 20, 64, 10), ("selu", 60, 64, 2), ("selu", 60, 128, 2), ("silu", 40, 64, 4), ("silu", 30, 128, 8)),
        *(("tanh", 40, 64, 20), ("tanh", 40, 128, 20)),
    ],
    "healthy": [
        *(("elu", 8, 64, 0.4), ("elu", 12, 128, 1.3), ("elu", 16, 64, 0.8), ("gelu", 12, 128, 5), ("gelu", 20, 64, 2)),
        *(("gelu", 8, 64, 2.5), ("leaky", 4, 64, 1), ("leaky", 6, 64, 1), ("leaky", 8, 64, 2), ("linear", 12, 64, 0.5)),
        *(("linear", 60, 128, 0.9), ("linear", 20, 64, 0.9), ("relu", 6, 128, 0.8), ("relu", 6, 64, 3)),
        *(("relu", 4, 64, 0.8), ("selu", 12, 64, 0.93), ("selu", 12, 128, 0.6), ("selu", 30, 64, 0.93)),
        *(("sigmoid", 8, 64, 40), ("sigmoid", 4, 64, 4), ("sigmoid", 4, 64, 40), ("silu", 30, 128, 2.6)),
        *(("silu", 4, 128, 0.5), ("silu", 4, 64, 8), ("tanh", 6, 128, 0.6), ("tanh", 60, 128, 2.15)),
        ("tanh", 12, 128, 3),
    ],
    "vanishing": [
        *(("elu", 40, 64, 0.4), ("elu", 60, 128, 0.4), ("gelu", 30, 128, 0.4), ("gelu", 30, 64, 0.4)),
        *(("leaky", 20, 128, 0.4), ("leaky", 40, 64, 0.4), ("linear", 30, 128, 0.2), ("linear", 40, 64, 0.2)),
        *(("relu", 40, 64, 0.8), ("relu", 60, 128, 0.3), ("sigmoid", 40, 128, 10), ("sigmoid", 30, 64, 1)),
        *(("silu", 30, 128, 0.5), ("silu", 60, 64, 1.5), ("tanh", 40, 64, 0.3), ("tanh", 30, 128, 0.3)),
    ],
}
"""Verdict → activation, depth, width, variance of the weights: two or three of each activation, drawn by lot from a grid."""


def make_cases() -> list[Case]:
    cs: list[Case] = []
    forms = ["module", "module", "pt2", "onnx", "state", "module"]
    drawn = [(verdict, *each) for verdict, group in DRAWN.items() for each in group]
    for i, (b, act, depth, n, s) in enumerate(drawn):
        step = 2 if act != "linear" else 1
        head = str(step * depth)
        names = tuple(str(k) for k in range(step * depth + 1))
        lay = {"0": b}
        m = seeded(1000 + i, lambda a=act, depth=depth, n=n, s=s: mlp(a, depth, n, s))
        if b == "healthy":
            lay |= {head: b, str(step * (depth // 2)): b}
        d = data(i)
        if b == "vanishing" and act == "sigmoid":
            lay[head] = "healthy"
        nodata = i % 4 == 1
        cs.append(
            Case(
                f"th_{b[:3]}_{act}_L{depth}_n{n}_s{s}",
                "theory",
                b,
                m,
                None if nodata else d,
                forms[i % 6],
                {},
                names if b != "healthy" else (),
                lay,
                proof("0", b, partial(predict, act, depth, s)),
                sample=d,
            )
        )
    for i, (act, depth, s) in enumerate(
        [
            ("relu", 20, 0.1),
            ("tanh", 24, 0.2),
            ("relu", 16, 2.0),
            ("tanh", 20, 1.8),
            ("relu", 18, 16.0),
            ("linear", 12, 1.0),
            ("relu", 24, 7.0),
            ("gelu", 12, 2.2),
            ("sigmoid", 8, 1.0),
        ]
    ):
        t = predict(act, depth, s) / 8
        b = band(t)
        if not b:
            continue
        d = data(50 + i, (3, 8, 8), 64)
        lay = {"0": b} | ({str(2 * depth + 2): "healthy"} if b == "healthy" else {})
        cs.append(
            Case(
                f"th_conv_{b[:3]}_{act}_L{depth}_s{s}",
                "theory",
                b,
                seeded(2000 + i, lambda a=act, depth=depth, s=s: conv(a, depth, 24, s)),
                d,
                ["module", "state", "module", "onnx"][i % 4],
                {},
                tuple(str(k) for k in range(2 * depth + 3)) if b != "healthy" else (),
                lay,
                proof("0", b, lambda t=t: t),
            )
        )
    for i, (act, depth, s) in enumerate(
        [
            ("relu", 10, 0.2),
            ("relu", 50, 2.0),
            ("tanh", 20, 0.3),
            ("relu", 30, 4.0),
            ("tanh", 8, 1.0),
            ("relu", 40, 0.1),
            ("gelu", 24, 8.0),
        ]
    ):
        t = predict(act, depth, s, "res")
        b = band(t)
        if not b:
            continue
        d = data(70 + i)
        names = ("stem", "head", *tuple(f"blocks.{k}{e}" for k in range(depth) for e in ("", ".fc", ".act")))
        cs.append(
            Case(
                f"th_res_{b[:3]}_{act}_L{depth}_s{s}",
                "theory",
                b,
                seeded(3000 + i, lambda a=act, depth=depth, s=s: Res(a, depth, 64, s)),
                d,
                ["entry", "pt2", "state"][i % 3],
                {},
                names if b != "healthy" else (),
                {"stem": b} | ({"head": b} if b == "healthy" else {}),
                proof("stem", b, lambda t=t: t),
            )
        )
    for i, (act, depth, norm) in enumerate(
        [
            ("relu", 8, "bn"),
            ("relu", 64, "bn"),
            ("relu", 20, "bn"),
            ("relu", 30, "ln"),
            ("tanh", 20, "ln"),
            ("gelu", 24, "ln"),
            ("relu", 80, "bn"),
            ("relu", 12, "ln"),
            ("tanh", 12, "bn"),
        ]
    ):
        t = predict(act, depth, 2.0, norm)
        b = band(t)
        if not b:
            continue
        d = data(90 + i)
        # the layer before a norm layer is scale-invariant; the norm's own output carries T
        cs.append(
            Case(
                f"th_{norm}_{b[:3]}_{act}_L{depth}",
                "theory",
                b,
                seeded(4000 + i, lambda a=act, depth=depth, nn_=norm: mlp(a, depth, 96, 2.0, nn_)),
                d,
                ["module", "state", "pt2"][i % 3],
                {},
                tuple(str(k) for k in range(3 * depth + 1)) if b != "healthy" else (),
                ({"1": b} if b == "exploding" else {"0": b, "1": b}) | {str(3 * depth): "healthy"},
                proof("1", b, lambda t=t: t),
            )
        )
    for i, (act, depth) in enumerate(
        [(a, depth) for a in ("sigmoid", "tanh", "relu") for depth in (3, 4, 6, 8, 12, 20, 30, 45, 60)]
    ):

        def deflt(a: str = act, depth: int = depth) -> nn.Module:
            return nn.Sequential(
                *[y for each in range(depth) for y in (nn.Linear(32 if each == 0 else 80, 80), ACT[a]())],
                nn.Linear(80, 10),
            )

        mk = seeded(5000 + i, deflt)
        d = data(200 + i)
        b = DEFAULTS[act].get(depth, "")
        if not b:
            continue
        cs.append(
            Case(
                f"th_default_{b[:3]}_{act}_L{depth}",
                "theory",
                b,
                mk,
                d if i % 3 else None,
                ["module", "pt2", "onnx", "state"][i % 4],
                {},
                tuple(str(k) for k in range(2 * depth + 1)) if b != "healthy" else (),
                {"0": b, str(2 * depth): "healthy"},
                proof("0", b, None),
                sample=d,
            )
        )
    return cs


CASES = [dataclasses.replace(c, name=c.name.replace(".", "p")) for c in make_cases()]
