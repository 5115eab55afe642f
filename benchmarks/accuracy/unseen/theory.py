"""Random nets whose gain is known in closed form: mean field χ, deep linear, norms, residuals, convolutions."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .case import Built, Proof, add, blobs, images, learns


class Abs(nn.Module):
    """|x|."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return x.abs()


class Erf(nn.Module):
    """The error function."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return torch.erf(x)


class Sine(nn.Module):
    """sin x."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return torch.sin(x)


ACTS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "leaky": lambda: nn.LeakyReLU(0.2),
    "steep": lambda: nn.LeakyReLU(2.0),
    "linear": nn.Identity,
    "hardtanh": nn.Hardtanh,
    "softsign": nn.Softsign,
    "erf": Erf,
    "abs": Abs,
    "sine": Sine,
    "softplus": nn.Softplus,
    "mish": nn.Mish,
    "relu6": nn.ReLU6,
    "prelu": nn.PReLU,
    "hardswish": nn.Hardswish,
    "celu": nn.CELU,
    "logsigmoid": nn.LogSigmoid,
    "tanhshrink": nn.Tanhshrink,
}
_Z, _W = np.polynomial.hermite_e.hermegauss(101)
_W = _W / _W.sum()


def predicted(act: str, depth: int, sw2: float, sb2: float) -> float:
    """√Π χ over the hidden layers of a random net with inputs of unit variance (mean field, Schoenholz 2017)."""
    phi = ACTS[act]().double()
    q, log = sw2 + sb2, 0.0
    for _ in range(depth):
        z = torch.tensor(math.sqrt(q) * _Z, requires_grad=True)
        f = phi(z)
        (g,) = torch.autograd.grad(f.sum(), z)
        log += math.log(max(sw2 * float((_W * g.numpy() ** 2).sum()), 1e-300))
        q = sw2 * float((_W * f.detach().numpy() ** 2).sum()) + sb2
    return math.exp(log / 2)


def transmission(model: nn.Module, data: Any, layer: str) -> float:
    """‖∂(v·out)/∂y‖/‖v‖ at the output of `layer`, root mean square of 4 cotangents."""
    keep: list[Tensor] = []
    handle = dict(model.named_modules())[layer].register_forward_hook(lambda _m, _i, o: keep.append(o))
    out = model(data[0])
    handle.remove()
    total = 0.0
    for _ in range(4):
        v = torch.randint(0, 2, out.shape).to(out.dtype) * 2 - 1
        (g,) = torch.autograd.grad(out, keep[0], v, retain_graph=True)
        total += float((g.norm() / v.norm()) ** 2) / 4
    return math.sqrt(total)


def mlp(act: str, depth: int, width: int, sw2: float | None, sb2: float = 0.0, norm: str = "") -> nn.Sequential:
    """l0 a0 l1 a1 … out; `sw2` None keeps torch's default initialisation."""
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    for i in range(depth):
        parts[f"l{i}"] = nn.Linear(16 if i == 0 else width, width)
        if norm:
            parts[f"n{i}"] = {"bn": nn.BatchNorm1d, "ln": nn.LayerNorm, "rms": nn.RMSNorm}[norm](width)
        parts[f"a{i}"] = ACTS[act]()
    parts["out"] = nn.Linear(width, 4)
    net = nn.Sequential(parts)
    if sw2 is not None:
        for m in net.modules():
            if isinstance(m, nn.Linear):
                nn.init.normal_(m.weight, std=math.sqrt(sw2 / m.in_features))
                nn.init.normal_(m.bias, std=math.sqrt(sb2)) if sb2 else nn.init.zeros_(m.bias)
        nn.init.normal_(parts["out"].get_parameter("weight"), std=math.sqrt(1 / width))
    return net


def closed_form(act: str, depth: int, width: int, sw2: float, sb2: float, label: str) -> Proof:
    """Measured T of the first layer agrees with the closed form within the finite-width noise, and is far on its side."""

    def proof(model: nn.Module, data: Any, options: dict[str, Any]) -> str:
        t, p = transmission(model, data, "l0"), predicted(act, depth, sw2, sb2)
        noise = math.sqrt(5 * depth / width)
        assert abs(math.log(t / p)) < 3 * noise + 0.25 * math.log(1 / p if p < 1 else p) + 1.0, (t, p)
        if label == "vanishing":
            assert max(t, p) < 1e-5, (t, p)
        if label == "exploding":
            assert min(t, p) > 1e3, (t, p)
        if label == "healthy":
            assert 0.03 < t < 20, (t, p)
            return f"T {t:.3g}, closed form {p:.3g}; " + learns(0.15, 150, lr=5e-4)(model, data, options)
        return f"T of l0 {t:.3g}, closed form {p:.3g}"

    return proof


def measured(layer: str, low: float, high: float, learn: bool) -> Proof:
    """T of `layer` lies in low … high, where theory puts it."""

    def proof(model: nn.Module, data: Any, options: dict[str, Any]) -> str:
        t = transmission(model, data, layer)
        assert low <= t <= high, t
        return f"T of {layer} {t:.3g}" + ("; " + learns(0.15, 80)(model, data, options) if learn else "")

    return proof


ROWS: list[tuple[str, int, int, float, float, str]] = [
    ("relu", 10, 128, 2.0, 0, "healthy"),
    ("relu", 24, 256, 2.0, 0, "healthy"),
    ("tanh", 16, 96, 1.0, 0, "healthy"),
    ("tanh", 8, 200, 1.5, 0.05, "healthy"),
    ("gelu", 6, 96, 2.2, 0, "healthy"),
    ("silu", 6, 96, 2.6, 0, "healthy"),
    ("elu", 12, 128, 1.45, 0, "healthy"),
    ("selu", 20, 160, 1.0, 0, "healthy"),
    ("leaky", 20, 200, 1.923, 0, "healthy"),
    ("linear", 20, 160, 1.0, 0, "healthy"),
    ("erf", 8, 96, 0.9, 0, "healthy"),
    ("hardtanh", 12, 128, 1.1, 0, "healthy"),
    ("abs", 14, 200, 1.0, 0, "healthy"),
    ("sine", 10, 128, 1.1, 0, "healthy"),
    ("softsign", 6, 96, 1.6, 0, "healthy"),
    ("mish", 6, 96, 2.3, 0, "healthy"),
    ("prelu", 10, 128, 1.9, 0, "healthy"),
    ("celu", 10, 100, 1.5, 0, "healthy"),
    ("relu", 22, 128, 0.5, 0, "vanishing"),
    ("relu", 44, 96, 0.9, 0, "vanishing"),
    ("tanh", 26, 64, 0.35, 0, "vanishing"),
    ("gelu", 14, 96, 1 / 3, 0, "vanishing"),
    ("silu", 18, 64, 0.5, 0, "vanishing"),
    ("elu", 30, 80, 0.3, 0, "vanishing"),
    ("linear", 26, 96, 0.25, 0, "vanishing"),
    ("hardtanh", 24, 80, 0.3, 0, "vanishing"),
    ("softsign", 20, 80, 0.3, 0.05, "vanishing"),
    ("sigmoid", 9, 96, 1.0, 0.0, "vanishing"),
    ("leaky", 28, 100, 0.6, 0, "vanishing"),
    ("mish", 14, 96, 0.4, 0, "vanishing"),
    ("sine", 30, 64, 0.3, 0, "vanishing"),
    ("softplus", 14, 64, 0.3, 0, "vanishing"),
    ("relu", 18, 200, 8.0, 0, "exploding"),
    ("relu", 9, 64, 64.0, 0, "exploding"),
    ("tanh", 24, 128, 30.0, 0, "exploding"),
    ("linear", 24, 128, 3.0, 0, "exploding"),
    ("steep", 20, 150, 1.5, 0, "exploding"),
    ("abs", 22, 160, 3.0, 0, "exploding"),
    ("selu", 24, 128, 3.5, 0, "exploding"),
    ("gelu", 16, 128, 8.0, 0, "exploding"),
    ("silu", 16, 128, 9.0, 0, "exploding"),
    ("elu", 18, 128, 6.0, 0, "exploding"),
    ("sine", 20, 128, 8.0, 0, "exploding"),
    ("prelu", 20, 160, 6.0, 0, "exploding"),
]


def chi_far(act: str, depth: int, sw2: float, sb2: float) -> bool:
    """True where layer 2 too is an order of magnitude beyond 1e-5 or 1e3."""
    p = predicted(act, depth - 2, sw2, sb2)
    return p < 1e-6 or p > 1e4


def _row(act: str, depth: int, width: int, sw2: float, sb2: float, label: str) -> None:
    def build() -> Built:
        net, data = mlp(act, depth, width, sw2, sb2), blobs(48)
        return net, data, {"loss": "cross-entropy"}

    named = {} if label == "healthy" else {"l0": label, "l1": label}
    if named and chi_far(act, depth, sw2, sb2):
        named["l2"] = label
    chi = predicted(act, depth, sw2, sb2)
    add(
        f"theory/{act}-d{depth}-w{width}-s{sw2:.3g}",
        label,
        "theory",
        f"mean field: sqrt of the product of chi is {chi:.2g}",
        closed_form(act, depth, width, sw2, sb2, label),
        build,
        (),
        named,
    )


for _r in ROWS:
    _row(*_r)


def _default(act: str, depth: int, width: int, label: str) -> None:
    def build() -> Built:
        return mlp(act, depth, width, None), blobs(48), {"loss": "cross-entropy", "lr": 0.05}

    ill = label != "healthy"
    proof = measured("l0", 0.0, 1e-5, False) if ill else learns(0.15, 120)
    add(
        f"theory/default-{act}-d{depth}",
        label,
        "theory",
        "torch's default initialisation (sigma_w^2 = 1/3), biases keep the last layers fed",
        proof,
        build,
        (),
        {"l0": label, "l1": label, "l2": label, "out": "healthy"} if ill else {},
    )


for _a, _d, _w, _l in (
    ("relu", 26, 64, "vanishing"),
    ("tanh", 30, 64, "vanishing"),
    ("sigmoid", 9, 64, "vanishing"),
    ("gelu", 18, 64, "vanishing"),
    ("relu", 2, 48, "healthy"),
    ("tanh", 2, 48, "healthy"),
    ("gelu", 1, 48, "healthy"),
):
    _default(_a, _d, _w, _l)


def _norm(act: str, depth: int, width: int, sw2: float, norm: str, label: str, why: str) -> None:
    def build() -> Built:
        return mlp(act, depth, width, sw2, 0.0, norm), blobs(48), {"loss": "cross-entropy"}

    proof = (
        measured("l1", 300.0 * 10 if label == "exploding" else 0.0, math.inf, False)
        if label != "healthy"
        else learns(0.15, 80)
    )
    add(f"theory/{norm}-{act}-d{depth}-s{sw2:.2g}", label, "theory", why, proof, build)


_norm("relu", 8, 96, 2.0, "bn", "healthy", "chi of BN+ReLU is 1.467, over 8 layers a factor 4.6 of the norm")
_norm(
    "sigmoid",
    10,
    96,
    1.0,
    "bn",
    "healthy",
    "BN+sigmoid: E[phi'^2]/Var[phi] = .0448/.0434, about 1 a layer: batch norm cures the sigmoid",
)
_norm("tanh", 10, 96, 2.0, "bn", "healthy", "BN+tanh: .4644/.3943 = 1.18 a layer, 2.3 over ten")
_norm("relu", 20, 96, 0.3, "ln", "healthy", "layer norm restores q: chi about 1 whatever sigma_w")
_norm("relu", 14, 96, 12.0, "rms", "healthy", "RMS norm restores q: chi about 1 whatever sigma_w")
_norm("gelu", 12, 96, 0.2, "ln", "healthy", "layer norm restores q, weights are scale invariant")
_norm("relu", 64, 48, 2.0, "bn", "exploding", "Yang 2019: BN+ReLU without skips, 1.467^32 = 2e5 of the norm")


class Res(nn.Module):
    """h <- a h + b f(norm(h)), L blocks."""

    def __init__(self, depth: int, width: int, a: float, b: float, norm: bool, rezero: bool = False) -> None:
        super().__init__()
        self.inp = nn.Linear(16, width)
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.norms = nn.ModuleList(nn.LayerNorm(width) if norm else nn.Identity() for _ in range(depth))
        self.alpha = nn.ParameterList(nn.Parameter(torch.zeros(1)) for _ in range(depth)) if rezero else None
        self.head = nn.Linear(width, 4)
        self.a, self.b = a, b
        for m in self.blocks:
            nn.init.normal_(m.get_parameter("weight"), std=math.sqrt(2 / width))
            nn.init.zeros_(m.get_parameter("bias"))

    def forward(self, x: Tensor) -> Any:
        """(B, 16) → (B, 4)."""
        h = self.inp(x)
        for i, (f, n) in enumerate(zip(self.blocks, self.norms, strict=True)):
            g = self.b if self.alpha is None else self.alpha[i]
            h = self.a * h + g * torch.relu(f(n(h)))
        return self.head(h)


def _res(name: str, label: str, why: str, proof: Proof, layers: dict[str, str] | None = None, **kw: Any) -> None:
    add(
        f"theory/{name}",
        label,
        "theory",
        why,
        proof,
        lambda: (Res(**kw), blobs(48), {"loss": "cross-entropy"}),
        (),
        layers,
    )


_res(
    "res-scaled-d32",
    "healthy",
    "branch 1/sqrt(L): total gain at most e",
    learns(),
    depth=32,
    width=64,
    a=1.0,
    b=1 / math.sqrt(32),
    norm=False,
)
_res(
    "res-prenorm-d24",
    "healthy",
    "pre-norm residual: growth of the square at most linear in depth",
    learns(),
    depth=24,
    width=64,
    a=1.0,
    b=1.0,
    norm=True,
)
_res(
    "res-rezero-d30",
    "healthy",
    "ReZero: identity at start, the gates' own gradients are healthy",
    learns(),
    depth=30,
    width=64,
    a=1.0,
    b=1.0,
    norm=False,
    rezero=True,
)
_res(
    "res-unscaled-d40",
    "exploding",
    "x + relu(Wx), He: the square doubles a block, 2^20 of the norm",
    measured("inp", 1e3, math.inf, False),
    {"inp": "exploding"},
    depth=40,
    width=96,
    a=1.0,
    b=1.0,
    norm=False,
)
_res(
    "res-halved-d40",
    "vanishing",
    "skip scaled by 0.4 with a faint branch: 0.4^40",
    measured("inp", 0.0, 1e-8, False),
    {"inp": "vanishing", "blocks.0": "vanishing", "head": "healthy"},
    depth=40,
    width=64,
    a=0.4,
    b=0.1,
    norm=False,
)


def _orth(g: float, depth: int, label: str) -> None:
    def build() -> Built:
        net = mlp("linear", depth, 64, None)
        for i in range(1, depth):
            nn.init.orthogonal_(net[2 * i].get_parameter("weight"), gain=g)
        return net, blobs(48), {"loss": "cross-entropy"}

    lo, hi = {"healthy": (0.05, 5.0), "vanishing": (0.0, 1e-6), "exploding": (1e4, math.inf)}[label]
    add(
        f"theory/orthogonal-{g}-d{depth}",
        label,
        "theory",
        f"deep linear, orthogonal x {g}: gain exactly {g ** (depth - 1):.2g}",
        measured("l0", lo, hi, label == "healthy"),
        build,
        (),
        {} if label == "healthy" else {"l0": label, "l1": label},
    )


_orth(1.0, 40, "healthy")
_orth(0.6, 40, "vanishing")
_orth(1.5, 32, "exploding")


def conv(depth: int, ch: int, sw2: float | None, act: str, norm: bool = False) -> nn.Sequential:
    """c0 (n0) a0 … pool flat out."""
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    for i in range(depth):
        c = nn.Conv2d(3 if i == 0 else ch, ch, 3, padding=1, padding_mode="circular")
        if sw2 is not None:
            nn.init.normal_(c.weight, std=math.sqrt(sw2 / (9 * c.in_channels)))
            nn.init.zeros_(c.get_parameter("bias"))
        parts[f"c{i}"] = c
        if norm:
            parts[f"n{i}"] = nn.GroupNorm(4, ch)
        parts[f"a{i}"] = ACTS[act]()
    parts["pool"] = nn.AdaptiveAvgPool2d(3)
    parts["flat"] = nn.Flatten()
    parts["out"] = nn.Linear(9 * ch, 4)
    return nn.Sequential(parts)


def _conv(name: str, label: str, why: str, proof: Proof, layers: dict[str, str] | None = None, **kw: Any) -> None:
    add(
        f"theory/{name}",
        label,
        "theory",
        why,
        proof,
        lambda: (conv(**kw), images(24, 3, 9), {"loss": "cross-entropy"}),
        (),
        layers,
    )


_conv(
    "conv-he-d12",
    "healthy",
    "He initialised convolutions, chi = 1",
    learns(0.15, 40),
    depth=12,
    ch=24,
    sw2=2.0,
    act="relu",
)
_conv(
    "conv-gn-d10", "healthy", "group norm restores q", learns(0.15, 40), depth=10, ch=16, sw2=0.5, act="relu", norm=True
)
_conv(
    "conv-tanh-d10",
    "healthy",
    "tanh convolutions at sigma_w^2 = 1.1",
    learns(0.15, 40),
    depth=10,
    ch=24,
    sw2=1.1,
    act="tanh",
)
_conv(
    "conv-default-d26",
    "vanishing",
    "default convolutions, ReLU: chi = 1/6 a layer",
    measured("c0", 0, 1e-6, False),
    {"c0": "vanishing", "c1": "vanishing", "out": "healthy"},
    depth=26,
    ch=16,
    sw2=None,
    act="relu",
)
_conv(
    "conv-sigmoid-d10",
    "vanishing",
    "default convolutions, sigmoid: chi = .02",
    measured("c0", 0, 1e-6, False),
    {"c0": "vanishing", "c1": "vanishing", "out": "healthy"},
    depth=10,
    ch=16,
    sw2=None,
    act="sigmoid",
)
_conv(
    "conv-hot-d14",
    "exploding",
    "sigma_w^2 = 12: chi = 6 a layer",
    measured("c0", 1e3, math.inf, False),
    {"c0": "exploding", "c1": "exploding"},
    depth=14,
    ch=16,
    sw2=12.0,
    act="relu",
)


class Mixed(nn.Sequential):
    """Alternating activations, default or critical initialisation."""

    def __init__(self, acts: list[str], width: int, sw2: list[float] | None) -> None:
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        for i, a in enumerate(acts):
            lin = nn.Linear(16 if i == 0 else width, width)
            if sw2:
                nn.init.normal_(lin.weight, std=math.sqrt(sw2[i] / lin.in_features))
                nn.init.zeros_(lin.bias)
            parts[f"l{i}"], parts[f"a{i}"] = lin, ACTS[a]()
        parts["out"] = nn.Linear(width, 4)
        super().__init__(parts)


add(
    "theory/mixed-critical",
    "healthy",
    "theory",
    "relu, tanh, gelu, selu mixed, each near its own critical sigma_w",
    learns(),
    lambda: (
        Mixed(["relu", "tanh", "gelu", "selu", "leaky", "elu"], 128, [2, 1.8, 2.1, 1.2, 1.9, 1.5]),
        blobs(48),
        {"loss": "cross-entropy"},
    ),
)
add(
    "theory/mixed-sigmoid-tanh",
    "vanishing",
    "theory",
    "default sigmoid and tanh alternate: (.02 x .33)^(6/2) of the norm",
    measured("l0", 0, 1e-6, False),
    lambda: (Mixed(["sigmoid", "tanh"] * 7, 64, None), blobs(48), {"loss": "cross-entropy"}),
    (),
    {"l0": "vanishing", "l1": "vanishing", "out": "healthy"},
)
add(
    "theory/narrow-he",
    "healthy",
    "theory",
    "He, width 12, depth 5: the gain's spread is only finite width",
    learns(0.1, 150),
    lambda: (mlp("leaky", 5, 12, 1.92), blobs(64), {"loss": "cross-entropy"}),
)
