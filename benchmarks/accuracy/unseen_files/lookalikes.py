"""Kind 3: what looks ill and is not, each in three sizes."""

# mypy: disable-error-code="arg-type,index,misc,no-any-return,no-untyped-call,operator,union-attr"
# (torch types a module's attributes as tensor or module, and what it returns as anything; lambdas keep their loop's values)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import nets
from .instruments import Case, ask, p_healthy, rnd, seeded, teach, train

__all__ = ["CASES"]

CASES: list[Case] = []


def seeded_by(k: int) -> torch.Generator:
    return torch.Generator().manual_seed(k)


def tab(n: int, d: int, k: int, s: int = 0) -> dict[str, Tensor]:
    x = rnd(40 + s, n, d)
    return {"x": x, "y": teach(41 + s, x, k)}


def img(n: int, k: int, s: int = 8, seed: int = 0) -> dict[str, Tensor]:
    x = rnd(60 + seed, n, 1, s, s)
    return {"x": x, "y": teach(61 + seed, x, k)}


def three(
    name: str,
    builds: list[tuple[Callable[[], nn.Module], Any]],
    layers: dict[str, str] | list[dict[str, str]],
    form: str | list[str] = "module",
    proof: Any = None,
    **options: Any,
) -> None:
    for i, (b, d) in enumerate(builds):
        f = form if isinstance(form, str) else form[i]
        ly = layers if isinstance(layers, dict) else layers[i]
        CASES.append(
            Case(
                f"la_{name}_{'sml'[i]}",
                "lookalikes",
                "healthy",
                seeded(700 + len(CASES), b),
                d,
                f,
                options,
                (),
                ly,
                proof or p_healthy(),
            )
        )


H = "healthy"


# converged
def conv(n: int, depth: int, d: int, act: type[nn.Module]) -> nn.Module:
    m = nets.mlp(n, depth, act, d, 4)
    t = tab(96, d, 4)
    train(m, (t["x"],), t["y"], 600, 3e-3, batch=96)
    return m


def p_conv(c: Case) -> tuple[bool, str]:
    m = c.make().train()
    x, y = c.inputs(), c.target()
    loss = F.cross_entropy(m(*x), y)
    loss.backward()
    g = max(float(p.grad.norm()) for p in m.parameters())
    reach = ask(m, x)[0]
    return float(loss) < 1e-2 and min(
        reach.values()
    ) > 1e-3, f"loss {float(loss):.1e} largest grad {g:.1e} T min {min(reach.values()):.1e}"


three(
    "converged",
    [
        (lambda n=n, depth=depth, d=d, a=a: conv(n, depth, d, a), tab(96, d, 4))
        for n, depth, d, a in [(24, 2, 8, nn.ReLU), (64, 3, 16, nn.Tanh), (128, 4, 30, nn.ReLU)]
    ],
    {"0": H, "2": H},
    ["module", "onnx", "pt2"],
    p_conv,
)


# loss scale, targets
def tiny(o: Tensor, y: Tensor) -> Tensor:
    return 1e-6 * F.mse_loss(o, y)


def amp(o: Tensor, y: Tensor) -> Tensor:
    return 65536 * F.cross_entropy(o, y)


def reg(n: int, d: int, s: float) -> dict[str, Tensor]:
    x = rnd(70, n, d)
    return {"x": x, "y": s * x[:, :2]}


for i, (n, d) in enumerate([(24, 8), (64, 16), (128, 32)]):

    def base(n: int = n, d: int = d) -> nn.Module:
        return nets.mlp(n, 3, nn.ReLU, d, 2)

    CASES.append(
        Case(
            f"la_tinyloss_{'sml'[i]}",
            "lookalikes",
            H,
            seeded(800 + i, base),
            reg(128, d, 1),
            "module",
            {"loss": tiny},
            (),
            {"0": H, "6": H},
            p_healthy(),
        )
    )
    CASES.append(
        Case(
            f"la_amploss_{'sml'[i]}",
            "lookalikes",
            H,
            seeded(810 + i, base),
            {"x": rnd(71, 128, d), "y": (rnd(71, 128, d)[:, 0] > 0).long()},
            "module",
            {"loss": amp},
            (),
            {"0": H, "6": H},
            p_healthy(),
        )
    )
    CASES.append(
        Case(
            f"la_bigtargets_{'sml'[i]}",
            "lookalikes",
            H,
            seeded(820 + i, base),
            reg(128, d, [300.0, 1e4, 1e6][i]),
            "module",
            {"rehearse": 0} if i == 1 else {},
            (),
            {"0": H, "6": H},
            p_healthy(drop=0),
        )
    )


# bias before a norm
def bnmlp(n: int, depth: int, d: int, norm: Any) -> nn.Module:
    return nn.Sequential(
        *[y for each in range(depth) for y in (nn.Linear(d if each == 0 else n, n), norm(n), nn.ReLU())],
        nn.Linear(n, 4),
    )


three(
    "biasbn",
    [
        (lambda n=n, depth=depth: bnmlp(n, depth, 12, nn.BatchNorm1d), tab(128, 12, 4))
        for n, depth in [(16, 2), (48, 4), (128, 6)]
    ],
    {"0": H, "3": H},
    ["module", "pt2", "onnx"],
)
three(
    "biascnn",
    [(lambda c=c: nets.cnn(c), img(64, 5)) for c in (6, 12, 24)],
    {"0": H, "4": H, "13": H},
    ["onnx", "module", "state"],
)
three(
    "biasgn",
    [
        (
            lambda c=c: nn.Sequential(
                nn.Conv2d(1, c, 3, padding=1),
                nn.InstanceNorm2d(c),
                nn.GELU(),
                nn.Conv2d(c, c, 3, 2),
                nn.GroupNorm(c, c),
                nn.GELU(),
                nn.Flatten(),
                nn.Linear(c * 9, 4),
            ),
            img(64, 4),
        )
        for c in (4, 8, 16)
    ],
    {"0": H, "3": H},
)
# attention key bias; shift-invariant score bias
three(
    "keybias",
    [(lambda d=d, depth=depth: nets.ViT(d, depth), img(64, 5)) for d, depth in [(16, 1), (32, 2), (64, 4)]],
    {"patch": H, "head": H, "encoder.layers.0.self_attn": H, "encoder.layers.0.linear1": H},
    ["entry", "state", "entry"],
)


class Pool(nn.Module):
    def __init__(self, d: int, h: int) -> None:
        super().__init__()
        self.enc, self.score, self.head = nn.Linear(d, h), nn.Linear(h, 1), nn.Linear(h, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.enc(x))
        a = self.score(h).softmax(1)
        return self.head((a * h).sum(1))


def seqd(n: int, s: int, f: int, k: int) -> dict[str, Tensor]:
    x = rnd(80, n, s, f)
    return {"x": x, "y": teach(81, x.mean(1), k)}


three(
    "scorebias",
    [(lambda d=d, h=h: Pool(d, h), seqd(96, 7, d, 4)) for d, h in [(4, 12), (8, 32), (16, 96)]],
    {"enc": H, "score": H, "head": H},
    ["entry", "entry", "state"],
    p_healthy(1e-3, zero_ok=("score",), lr=1e-2, steps=100),
)


# gates
def zb(m: nn.Module) -> nn.Module:
    for b in m.blocks:
        nn.init.zeros_(b.bn2.weight)
    return m


g = p_healthy(gated=True)
three(
    "zerobranch",
    [(lambda c=c, depth=depth: zb(nets.ResNet(c, depth)), img(64, 5)) for c, depth in [(4, 1), (12, 3), (16, 6)]],
    {"stem": H, "blocks.0.conv1": H, "blocks.0.conv2": H, "blocks.0.bn2": H},
    ["entry", "state", "entry"],
    g,
)


class Fix(nn.Module):
    def __init__(self, n: int, depth: int) -> None:
        super().__init__()
        self.stem = nn.Linear(12, n)
        self.up = nn.ModuleList(nn.Linear(n, 2 * n) for _ in range(depth))
        self.down = nn.ModuleList(nn.Linear(2 * n, n) for _ in range(depth))
        for each in self.down:
            nn.init.zeros_(each.weight)
            nn.init.zeros_(each.bias)
        self.head = nn.Linear(n, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for u, d in zip(self.up, self.down, strict=False):
            x = x + d(F.silu(u(x)))
        return self.head(x)


three(
    "fixup",
    [(lambda n=n, depth=depth: Fix(n, depth), tab(128, 12, 4)) for n, depth in [(12, 1), (32, 4), (64, 10)]],
    {"stem": H, "up.0": H, "down.0": H, "head": H},
    ["entry", "pt2", "state"],
    g,
)
three(
    "rezero",
    [
        (lambda n=n, depth=depth: nets.ScaledNet(n, depth, 0.0, 12), tab(128, 12, 4))
        for n, depth in [(12, 1), (32, 4), (64, 8)]
    ],
    {"stem": H, "blocks.0.up": H, "blocks.0": H, "head": H},
    "entry",
    g,
)
three(
    "layerscale",
    [
        (lambda n=n, depth=depth, s=s: nets.ScaledNet(n, depth, s, 12), tab(128, 12, 4))
        for n, depth, s in [(12, 2, 1e-6), (48, 6, 1e-5), (64, 12, 1e-4)]
    ],
    {"stem": H, "blocks.0.up": H, "head": H},
    ["entry", "state", "entry"],
    g,
)


def zh(m: nn.Sequential) -> nn.Module:
    nn.init.zeros_(m[-1].weight)
    nn.init.zeros_(m[-1].bias)
    return m


three(
    "zerohead",
    [
        (lambda n=n, depth=depth, a=a: zh(nets.mlp(n, depth, a, 12, 4)), tab(128, 12, 4))
        for n, depth, a in [(16, 1, nn.Tanh), (48, 3, nn.ReLU), (128, 5, nn.GELU)]
    ],
    {"0": H},
    ["module", "pt2", "module"],
    g,
)
three(
    "lora",
    [(lambda n=n: nets.LoRANet(n), tab(128, n, 5)) for n in (12, 32, 96)],
    {"l1.A": H, "l1.B": H, "l2.A": H, "head": H},
    ["entry", "state", "entry"],
    p_healthy(gated=True, steps=150, lr=1e-2),
)


# frozen
def fr(m: nn.Module, *names: str) -> nn.Module:
    for n in names:
        m.get_submodule(n).requires_grad_(False)
    return m


three(
    "frozen",
    [
        (lambda: fr(nets.mlp(24, 2, nn.ReLU, 12, 4), "0"), tab(128, 12, 4)),
        (lambda: fr(nets.cnn(8), "0", "1", "4", "5", "8", "9"), img(64, 5)),
        (lambda: fr(nets.cnn(16), "4"), img(64, 5)),
    ],
    {"0": H},
    "module",
    p_healthy(gated=True, steps=150, lr=1e-2),
)
