"""Kind 3, the second part: tied and shared weights, sparsity, scale-invariance, depth."""

# mypy: disable-error-code="arg-type,index,misc,no-any-return,no-untyped-call,operator,union-attr"
# (torch types a module's attributes as tensor or module, and what it returns as anything; lambdas keep their loop's values)

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import nets
from .instruments import Case, p_healthy, rnd
from .lookalikes import CASES, H, bnmlp, reg, seeded_by, seqd, tab, three

__all__ = ["CASES"]


# tied
class LM(nn.Module):
    def __init__(self, v: int, d: int) -> None:
        super().__init__()
        self.emb, self.fc, self.out = nn.Embedding(v, d), nn.Linear(d, d), nn.Linear(d, v, bias=False)
        nn.init.normal_(self.emb.weight, 0, 0.3)
        self.out.weight = self.emb.weight

    def forward(self, ids: Tensor) -> Tensor:
        return self.out(F.gelu(self.fc(self.emb(ids))) + self.emb(ids))


def lm(v: int) -> dict[str, Tensor]:
    ids = torch.randint(0, v, (48, 10), generator=seeded_by(v))
    return {"ids": ids, "y": (ids * 7 + 3) % v}


three(
    "tied",
    [(lambda v=v, d=d: LM(v, d), lm(v)) for v, d in [(20, 8), (60, 24), (300, 48)]],
    {"emb": H, "fc": H},
    ["entry", "entry", "state"],
)


class Rep(nn.Module):
    def __init__(self, n: int, k: int) -> None:
        super().__init__()
        self.inp, self.cell, self.head, self.k = nn.Linear(12, n), nn.Linear(n, n), nn.Linear(n, 4), k

    def forward(self, x: Tensor) -> Tensor:
        h = self.inp(x)
        for _ in range(self.k):
            h = h + 0.5 * torch.tanh(self.cell(h))
        return self.head(h)


three(
    "shared",
    [(lambda n=n, k=k: Rep(n, k), tab(128, 12, 4)) for n, k in [(12, 2), (32, 5), (64, 8)]],
    {"inp": H, "cell": H, "head": H},
    ["entry", "pt2", "state"],
)
# sparse rows, padding, experts
three(
    "padding",
    [
        (
            lambda v=v, d=d: nets.Text(v, d, True),
            {
                "ids": F.pad(torch.randint(1, 12, (96, 6), generator=seeded_by(9)), (0, 5)),
                "y": torch.randint(0, 5, (96,), generator=seeded_by(10)),
            },
        )
        for v, d in [(14, 6), (2000, 16), (20000, 32)]
    ],
    {"emb": H, "fc": H, "head": H},
    ["entry", "state", "entry"],
    p_healthy(1e-3, steps=250, lr=1e-2),
)


class MoE(nn.Module):
    def __init__(self, n: int, e: int) -> None:
        super().__init__()
        self.stem, self.router = nn.Linear(12, n), nn.Linear(n, e)
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(n, n), nn.GELU(), nn.Linear(n, n)) for _ in range(e))
        self.head = nn.Linear(n, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = F.gelu(self.stem(x))
        p = self.router(h).softmax(-1)
        w, idx = p.max(-1)
        out = torch.zeros_like(h)
        for i, ex in enumerate(self.experts):
            k = (idx == i).nonzero()[:, 0]
            if len(k):
                out = out.index_add(0, k, w[k, None] * ex(h[k]))
        return self.head(h + out)


three(
    "moe",
    [(lambda n=n, e=e: MoE(n, e), tab(b, 12, 4)) for n, e, b in [(12, 12, 16), (32, 32, 24), (48, 64, 48)]],
    {"stem": H, "router": H, "head": H},
    "entry",
    p_healthy(gated=True, drop=0.95),
)


# sparsity
class KW(nn.Module):
    def __init__(self, n: int, k: int) -> None:
        super().__init__()
        self.a, self.b, self.c, self.k = nn.Linear(12, n), nn.Linear(n, n), nn.Linear(n, 4), k

    def forward(self, x: Tensor) -> Tensor:
        for each in (self.a, self.b):
            x = each(x)
            t = x.topk(self.k, -1).values[:, -1:]
            x = x * (x >= t)
        return self.c(x)


three(
    "kwinners",
    [(lambda n=n, k=k: KW(n, k), tab(128, 12, 4)) for n, k in [(20, 4), (64, 8), (128, 12)]],
    {"a": H, "b": H, "c": H},
    "entry",
    p_healthy(steps=150),
)


def sparse(n: int, depth: int, b: float) -> nn.Module:
    m = nets.mlp(n, depth, nn.ReLU, 24, 4)
    for each in list(m)[:-1]:
        if isinstance(each, nn.Linear):
            nn.init.constant_(each.bias, b)
    return m


def p_sparse(c: Case) -> tuple[bool, str]:
    m = c.make()
    a = m[1](m[0](*c.inputs()))
    z, dead = float((a == 0).float().mean()), float((a.amax(0) <= 0).float().mean())
    ok, msg = p_healthy(steps=150)(c)
    return ok and z > 0.7 and dead < 0.3, f"zeros {z:.2f} dead {dead:.2f} {msg}"


three(
    "sparse",
    [
        (lambda n=n, depth=depth, b=b: sparse(n, depth, b), tab(128, 24, 4))
        for n, depth, b in [(32, 1, -1.0), (64, 2, -1.0), (128, 2, -1.3)]
    ],
    {"0": H, "2": H},
    ["module", "onnx", "pt2"],
    p_sparse,
)
three(
    "dropout",
    [
        (
            lambda n=n, p=p: nn.Sequential(
                nn.Linear(12, n), nn.ReLU(), nn.Dropout(p), nn.Linear(n, n), nn.ReLU(), nn.Dropout(p), nn.Linear(n, 4)
            ),
            tab(128, 12, 4),
        )
        for n, p in [(32, 0.3), (64, 0.5), (256, 0.8)]
    ],
    {"0": H, "3": H, "6": H},
    ["module", "module", "pt2"],
    p_healthy(steps=300),
)
three(
    "fewsamples",
    [(lambda n=n: nets.mlp(n, 3, nn.ReLU, 12, 4), tab(b, 12, 4)) for n, b in [(16, 1), (64, 2), (128, 3)]],
    {"0": H, "2": H, "6": H},
    ["module", "onnx", "pt2"],
    p_healthy(),
)


# scale-invariant weights
def big(n: int, depth: int, k: float, norm: Any) -> nn.Module:
    m = bnmlp(n, depth, 12, norm)
    with torch.no_grad():
        m[3].weight.mul_(k)
    return m


three(
    "scaleinv",
    [
        (lambda n=n, depth=depth, k=k, nm=nm: big(n, depth, k, nm), tab(128, 12, 4))
        for n, depth, k, nm in [
            (16, 2, 10.0, nn.BatchNorm1d),
            (48, 3, 100.0, nn.LayerNorm),
            (96, 4, 1000.0, nn.BatchNorm1d),
        ]
    ],
    {"0": H, "3": H},
    ["module", "state", "pt2"],
    p_healthy(1e-5),
)
# few outputs
three(
    "outputs",
    [
        (
            lambda n=n, k=k: nets.mlp(n, 2, nn.Tanh, 12, k),
            tab(128, 12, k) if k > 1 else reg(128, 12, 1) | {"y": rnd(70, 128, 12)[:, :1]},
        )
        for n, k in [(12, 1), (32, 2), (64, 4)]
    ],
    {"0": H, "4": H},
    ["module", "onnx", "module"],
)
three(
    "narrow",
    [(lambda n=n: nets.mlp(n, n, nn.Tanh, 6, 2), tab(128, 6, 2)) for n in (4, 6, 8)],
    {"0": H},
    "module",
    p_healthy(1e-2, 1e2, steps=200, lr=1e-2),
)
three(
    "onestep",
    [(lambda c=c: nets.SeqCls(c, 16, f=6), seqd(96, 1, 6, 5)) for c in ("RNN", "GRU", "LSTM")],
    {"rnn": H, "head": H},
    ["entry", "state", "entry"],
    p_healthy(steps=200, lr=1e-2),
)


def undo(n: int, k: float) -> nn.Module:
    m = nn.Sequential(
        nn.Linear(12, n), nn.Linear(n, n, bias=False), nn.Linear(n, n, bias=False), nn.ReLU(), nn.Linear(n, 4)
    )
    with torch.no_grad():
        m[1].weight.mul_(k)
        m[2].weight.div_(k)
    return m


three(
    "undo",
    [(lambda n=n, k=k: undo(n, k), tab(128, 12, 4)) for n, k in [(16, 1e3), (48, 1e3), (96, 1e-3)]],
    {"0": H, "4": H},
    "module",
    p_healthy(1e-5, 1e5, steps=200),
)


# deep but normal
class Pre(nn.Module):
    def __init__(self, d: int, depth: int) -> None:
        super().__init__()
        self.inp = nn.Linear(6, d)
        self.enc = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(d, 2, 2 * d, batch_first=True, norm_first=True),
            depth,
            norm=nn.LayerNorm(d),
            enable_nested_tensor=False,
        )
        self.head = nn.Linear(d, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.enc(self.inp(x))[:, 0])


three(
    "prelen",
    [(lambda d=d, depth=depth: Pre(d, depth), seqd(64, 6, 6, 4)) for d, depth in [(8, 2), (24, 6), (32, 12)]],
    {"inp": H, "head": H, "enc.layers.0.linear1": H},
    "entry",
    p_healthy(steps=150, lr=1e-3, drop=0.97),
)


class Multi(nn.Module):
    def __init__(self, n: int) -> None:
        super().__init__()
        self.body, self.main, self.aux = nets.mlp(n, 2, nn.ReLU, 12, n), nn.Linear(n, 4), nn.Linear(n, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.body(x)
        return self.main(h), 0.1 * self.aux(h)


three(
    "multiout",
    [(lambda n=n: Multi(n), {"x": rnd(3, 96, 12)}) for n in (12, 48, 96)],
    {"body.0": H, "main": H, "aux": H},
    "entry",
)
