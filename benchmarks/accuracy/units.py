"""Units of every kind of activation on their flat side, or not; gates; attention whose rows are one-hot, or not.

Dead and saturated are the method's definitions: a slope below 1e-6 of the usual on everything is dead, below 1 % of the
maximum on nearly everything is saturated. What a bias of −50 or +50 does to each activation follows from its formula.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .cases import DEAD, HEALTHY, VANISHING, Case, Problem, problem
from .nets import data, plain
from .surgery import bias

Kind = Callable[[], nn.Module]


def _shifted(kind: Kind, shift: float, share: float = 1.0) -> Callable[[], Problem]:
    """Four layers; units of the second get `shift` as bias."""

    def build() -> Problem:
        net = plain(4, 50, kind)
        bias("linear1", shift, share)(net)
        return problem(net, data(256))

    return build


def _case(name: str, build: Callable[[], Problem], verdict: str, why: str, *culprits: str) -> Case:
    return Case(f"units/{name}", "theory", build, verdict, why, culprits)


FLAT_BELOW: dict[str, Kind] = {
    "elu": nn.ELU,
    "selu": nn.SELU,
    "celu": nn.CELU,
    "softplus": nn.Softplus,
    "mish": nn.Mish,
    "hardswish": nn.Hardswish,
    "relu6": nn.ReLU6,
    "threshold": lambda: nn.Threshold(0.1, 0.0),
}
FLAT_BOTH: dict[str, Kind] = {"hardtanh": nn.Hardtanh, "hardsigmoid": nn.Hardsigmoid}
BOUNDED: dict[str, Kind] = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh}
NEVER_FLAT: dict[str, Kind] = {
    "leaky": nn.LeakyReLU,
    "leaky0.2": lambda: nn.LeakyReLU(0.2),
    "prelu": nn.PReLU,
    "rrelu": nn.RReLU,
}


def _flat() -> list[Case]:
    names = ("linear1", "act1")
    found = []
    for name, kind in FLAT_BELOW.items():
        why = "the slope at −50 is 0 or e^−50, below a millionth of the usual"
        found.append(_case(f"{name}-dead", _shifted(kind, -50.0), DEAD, why, *names))
        found.append(_case(f"{name}-mostly-dead", _shifted(kind, -50.0, 0.7), DEAD, why, *names))
        why = "fewer than half of the units are flat"
        found.append(_case(f"{name}-partly-dead", _shifted(kind, -50.0, 0.3), HEALTHY, why))
    for name, kind in FLAT_BOTH.items():
        for shift in (-50.0, 50.0):
            why = "beyond its corners the slope is exactly 0"
            found.append(_case(f"{name}-dead{shift:+g}", _shifted(kind, shift), DEAD, why, *names))
        found.append(
            _case(f"{name}-partly", _shifted(kind, 50.0, 0.3), HEALTHY, "fewer than half of the units are flat")
        )
    found.append(_case("relu6-dead+50", _shifted(nn.ReLU6, 50.0), DEAD, "above 6 the slope is exactly 0", *names))
    why = "all weights and no bias: values stay within ±0.5, where the slope is exactly 0"
    found.append(_case("softshrink-dead", _shrunk, DEAD, why))
    return found


def _shrunk() -> Problem:
    net = plain(4, 50, nn.Softshrink)
    net.get_parameter("linear1.weight").data.mul_(1e-2)
    return problem(net, data(256))


def _bounded() -> list[Case]:
    names = ("linear1", "act1")
    found = []
    for name, kind in BOUNDED.items():
        for shift in (-12.0, 12.0):
            why = "a slope of 6e-6 or less on every value is saturation: it answers, far too weakly"
            found.append(_case(f"{name}-saturated{shift:+g}", _shifted(kind, shift), VANISHING, why, *names))
        why = "fewer than half of the units are saturated"
        found.append(_case(f"{name}-partly-saturated", _shifted(kind, 12.0, 0.3), HEALTHY, why))
    why = "a slope of 1/(1 + |x|)² below 1 % of its maximum on nearly every value"
    found.append(_case("softsign-saturated", _shifted(nn.Softsign, 50.0), VANISHING, why, *names))
    for name, kind, shift in (
        ("elu-lowered", nn.ELU, -2.0),
        ("selu-lowered", nn.SELU, -2.0),
        ("softplus-lowered", nn.Softplus, -3.0),
        ("gelu-lowered", nn.GELU, -1.0),
        ("tanh-raised", nn.Tanh, 1.0),
        ("sigmoid-raised", nn.Sigmoid, 2.0),
    ):
        found.append(_case(name, _shifted(kind, shift), HEALTHY, "a slope of a twentieth or more is no fault"))
    for name, kind in NEVER_FLAT.items():
        for shift in (-50.0, 50.0):
            why = "a leaky unit keeps a slope on both sides and cannot die"
            found.append(_case(f"{name}{shift:+g}", _shifted(kind, shift), HEALTHY, why))
    return found


# ---------------------------------------------------------------------------------------------------------- born dead


def _born(widths: tuple[int, ...], dead: bool) -> Callable[[], Problem]:
    """A ReLU net of these widths, redrawn until a count over 4096 inputs says that a whole layer is off, or that more than half
    of every layer is on for one input in fifty, so that no usual sample misses them."""

    def build() -> Problem:
        for _ in range(5000):
            layers: list[nn.Module] = []
            for before, after in pairwise(widths):
                layers += [nn.Linear(before, after), nn.ReLU()]
            x, shares = torch.randn(4096, widths[0]), []
            rare = 0.0 if dead else 0.02
            with torch.no_grad():
                for layer in layers[:-1]:
                    x = layer(x)
                    if isinstance(layer, nn.ReLU):
                        shares.append(float(((x > 0).float().mean(0) <= rare).float().mean()))
            if max(shares) == 1.0 if dead else max(shares) < 0.4:
                net = nn.Sequential(*layers[:-1])
                return problem(net, torch.randn(256, widths[0]), torch.randn(256, widths[0]))
        raise AssertionError("no such net was drawn")

    return build


def _small() -> list[Case]:
    found = []
    for widths in ((2, 4, 4, 1), (2, 2, 2, 2, 1), (3, 3, 3, 3, 1), (1, 4, 4, 4, 1), (4, 2, 2, 1)):
        name = "-".join(map(str, widths))
        why = "torch's default initialisation; an independent count over 4096 inputs finds a whole layer off"
        found.append(_case(f"born-dead-{name}", _born(widths, True), DEAD, why))
        why = "torch's default initialisation; an independent count finds every layer more than half alive"
        found.append(_case(f"born-alive-{name}", _born(widths, False), HEALTHY, why))
    return found


# -------------------------------------------------------------------------------------------------------------- gates


class Gated(nn.Module):
    """Two blocks of down(f(gate(x)) · up(x)) behind a stem: GLU, SwiGLU, GEGLU, ReGLU, bilinear."""

    def __init__(self, activation: Callable[[Tensor], Tensor], shift: float, share: float = 1.0) -> None:
        super().__init__()
        self.stem = nn.Linear(20, 32)
        self.gate = nn.ModuleList(nn.Linear(32, 40) for _ in range(2))
        self.up = nn.ModuleList(nn.Linear(32, 40) for _ in range(2))
        self.down = nn.ModuleList(nn.Linear(40, 32) for _ in range(2))
        self.head = nn.Linear(32, 5)
        self.activation = activation
        self.gate[1].get_parameter("bias").data[: round(40 * share)] = shift

    def forward(self, x: Tensor) -> Tensor:
        """(B, 20) → (B, 5)."""
        x = self.stem(x)
        for gate, up, down in zip(self.gate, self.up, self.down, strict=True):
            x = x + down(self.activation(gate(x)) * up(x))
        out: Tensor = self.head(x)
        return out


class FusedGLU(nn.Module):
    """``F.glu`` of one projection."""

    def __init__(self, shift: float) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(20, 64), nn.Linear(32, 64)
        self.head = nn.Linear(32, 5)
        self.second.bias.data[32:] = shift

    def forward(self, x: Tensor) -> Tensor:
        """(B, 20) → (B, 5)."""
        out: Tensor = self.head(F.glu(self.second(F.glu(self.first(x)))))
        return out


def _gate(activation: Callable[[Tensor], Tensor], shift: float, share: float = 1.0) -> Callable[[], Problem]:
    return lambda: problem(Gated(activation, shift, share), data(128))


def _gates() -> list[Case]:
    stuck = "σ(−50) lets 2e-22 through, and its own slope is as small: it never opens"
    dead = "the gate's units are flat at −50 and hand out 0: neither the gate nor what it multiplies learns"
    names = ("gate.1", "silu", "gelu", "relu", "gate.1.silu", "gate.1.gelu", "gate.1.relu")
    found = [
        _case("glu-shut", _gate(torch.sigmoid, -50.0), VANISHING, stuck),
        _case(
            "glu-open", _gate(torch.sigmoid, 5.0), HEALTHY, "an open gate is a decision, and what it multiplies learns"
        ),
        _case("glu-cautious", _gate(torch.sigmoid, -3.0), HEALTHY, "5 % passes, and the slope is 18 % of the largest"),
        _case("glu-partly-shut", _gate(torch.sigmoid, -50.0, 0.3), HEALTHY, "fewer than half of the gates are shut"),
        _case("swiglu-dead", _gate(F.silu, -50.0), DEAD, dead, *names),
        _case("geglu-dead", _gate(F.gelu, -50.0), DEAD, dead, *names),
        _case("reglu-dead", _gate(torch.relu, -50.0), DEAD, dead, *names),
        _case("swiglu-partly-dead", _gate(F.silu, -50.0, 0.3), HEALTHY, "fewer than half of the units are flat"),
        _case(
            "fused-glu-shut", lambda: problem(FusedGLU(-50.0), data(128)), VANISHING, stuck, "second", "glu", "glu_1"
        ),
        _case("fused-glu", lambda: problem(FusedGLU(0.0), data(128)), HEALTHY, "a half-open gate"),
    ]
    for name, activation in (("swiglu", F.silu), ("geglu", F.gelu), ("reglu", torch.relu), ("bilinear", lambda x: x)):
        found.append(_case(name, _gate(activation, 0.0), HEALTHY, "gated units are what large language models use"))
    return found


# ---------------------------------------------------------------------------------------------------------- attention


class Attending(nn.Module):
    """Two layers of self-attention with skips, softmax written out or fused."""

    def __init__(self, fused: bool, sharpness: float, causal: bool = False) -> None:
        super().__init__()
        self.qkv = nn.ModuleList(nn.Linear(32, 96) for _ in range(2))
        self.out = nn.ModuleList(nn.Linear(32, 32) for _ in range(2))
        self.head = nn.Linear(32, 5)
        self.fused, self.causal = fused, causal
        self.qkv[1].get_parameter("weight").data[:64] *= math.sqrt(sharpness)

    def forward(self, x: Tensor) -> Tensor:
        """(B, S, 32) → (B, S, 5)."""
        for qkv, out in zip(self.qkv, self.out, strict=True):
            q, k, v = (part.unflatten(-1, (4, 8)).transpose(1, 2) for part in qkv(x).chunk(3, -1))
            x = x + out(self._attend(q, k, v).transpose(1, 2).flatten(2))
        logits: Tensor = self.head(x)
        return logits

    def _attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if self.fused:
            return F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        if self.causal:
            scores = scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), -math.inf)
        return scores.softmax(-1) @ v


def _attending(fused: bool, sharpness: float, causal: bool = False) -> Callable[[], Problem]:
    return lambda: problem(Attending(fused, sharpness, causal), torch.randn(8, 12, 32))


def _attention() -> list[Case]:
    sharp = "scores × 1e6: nearly every row is one-hot, and its softmax has no slope left"
    found = []
    for fused in (False, True):
        for causal in (False, True):
            spelling = f"{'fused' if fused else 'written'}{'-causal' if causal else ''}"
            build = _attending(fused, 1e6, causal)
            found.append(
                _case(f"attention-{spelling}-one-hot", build, VANISHING, sharp, "qkv.1", "softmax", "attention")
            )
            for sharpness, why in (
                (1e-4, "nearly uniform rows are how attention begins"),
                (1.0, "the usual start"),
                (8.0, "rows that prefer a few keys are what training makes"),
            ):
                build = _attending(fused, sharpness, causal)
                found.append(_case(f"attention-{spelling}-times{sharpness:g}", build, HEALTHY, why))
    return found


def cases() -> list[Case]:
    """All of the family."""
    return [*_flat(), *_bounded(), *_small(), *_gates(), *_attention()]
