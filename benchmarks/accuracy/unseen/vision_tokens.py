"""Transformers and mixers on patches; gated and parametrised convolutions."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from .case import (
    learns,
    no_gradient,
    weak,
)
from .faults import bias, none, zero
from .vision import case

# ---------------------------------------------------------------- ViT, Mixer


class Attention(nn.Module):
    """Self-attention, written out."""

    def __init__(self, d: int, heads: int, own: float = 0.0, causal: bool = False) -> None:
        super().__init__()
        self.query, self.key, self.value, self.proj = (nn.Linear(d, d) for _ in range(4))
        self.softmax = nn.Softmax(-1)
        self.heads, self.own, self.causal = heads, own, causal

    def forward(self, x: Tensor) -> Any:
        """(B, S, d) → (B, S, d)."""
        b, s, d = x.shape
        q, k, v = (f(x).view(b, s, self.heads, -1).transpose(1, 2) for f in (self.query, self.key, self.value))
        a = q @ k.transpose(-1, -2) / (d / self.heads) ** 0.5 + self.own * torch.eye(s)
        if self.causal:
            a = a.masked_fill(torch.ones(s, s, dtype=torch.bool).triu(1), float("-inf"))
        return self.proj((self.softmax(a) @ v).transpose(1, 2).reshape(b, s, d))


class Layer(nn.Module):
    """Attention and MLP, each behind a layer norm, with LayerScale where asked for."""

    def __init__(self, d: int, own: float = 0.0, causal: bool = False, scale: float | None = None) -> None:
        super().__init__()
        self.ln1, self.attn, self.ln2 = nn.LayerNorm(d), Attention(d, 2, own, causal), nn.LayerNorm(d)
        self.mlp = nn.Sequential(nn.Linear(d, 3 * d), nn.GELU(), nn.Linear(3 * d, d))
        self.ls = nn.Parameter(torch.full((2, d), scale)) if scale is not None else None

    def forward(self, x: Tensor) -> Any:
        """(B, S, d) → (B, S, d)."""
        s = (1.0, 1.0) if self.ls is None else (self.ls[0], self.ls[1])
        x = x + s[0] * self.attn(self.ln1(x))
        return x + s[1] * self.mlp(self.ln2(x))


class ViT(nn.Module):
    """Nine patches, a class token, three layers."""

    def __init__(self, fault: str = "", own: float = 0.0, scale: float | None = None) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 24, 4, 4)
        self.pos = nn.Parameter(0.02 * torch.randn(1, 10, 24))
        self.cls = nn.Parameter(torch.zeros(1, 1, 24))
        self.layers = nn.ModuleList(Layer(24, own, scale=scale) for _ in range(3))
        self.ln = nn.LayerNorm(24)
        self.head = nn.Linear(24, 4)
        self.fault = fault

    def forward(self, x: Tensor) -> Any:
        """(B, 3, 12, 12) → (B, 4)."""
        h = self.patch(x).flatten(2).transpose(1, 2)
        if self.fault == "ids":
            h = F.one_hot(h.argmax(-1), 24).float()
        h = torch.cat([self.cls.expand(h.shape[0], -1, -1), h], 1) + self.pos
        for i, f in enumerate(self.layers):
            h = f(h)
            if self.fault == "hook" and i == 0:
                h.register_hook(lambda g: g.clamp(-1e-12, 1e-12))
            if self.fault == "hookclip" and i == 0:
                h.register_hook(lambda g: g.clamp(-1.0, 1.0))
        return self.head(self.ln(h)[:, 0])


case("vit", "healthy", "pre-norm ViT, default initialisation", learns(), ViT)
case("vit-layerscale", "healthy", "LayerScale 1e-6: gates that open", learns(0.2, 100), lambda: ViT(scale=1e-6))
case(
    "vit-hook-clip", "healthy", "a hook clips gradient elements at 1: never touched", learns(), lambda: ViT("hookclip")
)
case(
    "vit-zero-head",
    "healthy",
    "zero head: its own gradient is healthy, opens after a step",
    learns(),
    ViT,
    zero("head"),
)
case(
    "vit-hook-throttle",
    "vanishing",
    "a hook clamps the gradient to 1e-12 behind the first layer",
    weak("patch", 1e-6),
    lambda: ViT("hook"),
    none,
    ("layers.0.mlp.2", "layers.0.mlp.1", "layers.0", "layers.0.mlp", "layers.1.ln1", "layers.0.attn.proj"),
    {"patch": "vanishing", "layers.0.mlp.0": "vanishing", "layers.2.mlp.0": "healthy", "head": "healthy"},
)
case(
    "vit-argmax",
    "dead",
    "patches become argmax ids: the embedding gets no gradient",
    no_gradient("patch"),
    lambda: ViT("ids"),
    none,
    ("patch",),
    {"patch": "dead", "head": "healthy", "layers.1.mlp.0": "healthy", "layers.2.attn.value": "healthy"},
)
case(
    "vit-self-only",
    "vanishing",
    "a constant 25 on the diagonal of the attention logits: softmax saturated on every row, slope 1e-11",
    weak("layers.1.attn.query", 1e-4),
    lambda: ViT(own=25.0),
    none,
    tuple(f"layers.{i}.attn.{p}" for i in range(3) for p in ("query", "key", "softmax")),
    {"head": "healthy", "layers.1.mlp.0": "healthy"},
)


class MixerBlock(nn.Module):
    """Mixes tokens, then channels."""

    def __init__(self, s: int, d: int) -> None:
        super().__init__()
        self.ln_t, self.tok1, self.tok2 = nn.LayerNorm(d), nn.Linear(s, 16), nn.Linear(16, s)
        self.ln_c, self.ch1, self.ch2 = nn.LayerNorm(d), nn.Linear(d, 32), nn.Linear(32, d)
        self.act = nn.GELU()

    def forward(self, x: Tensor) -> Any:
        """(B, 9, 20) → (B, 9, 20)."""
        x = x + self.tok2(self.act(self.tok1(self.ln_t(x).transpose(1, 2)))).transpose(1, 2)
        return x + self.ch2(self.act(self.ch1(self.ln_c(x))))


class Mixer(nn.Module):
    """Three blocks on nine patches."""

    def __init__(self, shared: bool = False) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 20, 4, 4)
        one = MixerBlock(9, 20)
        self.blocks = nn.ModuleList([one] * 3 if shared else [MixerBlock(9, 20) for _ in range(3)])
        self.head = nn.Sequential(nn.LayerNorm(20), nn.Linear(20, 4))

    def forward(self, x: Tensor) -> Any:
        """(B, 3, 12, 12) → (B, 4)."""
        h = self.patch(x).flatten(2).transpose(1, 2)
        for b in self.blocks:
            h = b(h)
        return self.head(h.mean(1))


case("mixer", "healthy", "MLP-Mixer", learns(), Mixer)
case("mixer-shared", "healthy", "one block used three times: tied weights", learns(), lambda: Mixer(True))
case(
    "mixer-double-zero",
    "dead",
    "both factors of a token-mixing MLP are zero, biases too: never leaves zero",
    no_gradient("blocks.1.tok1"),
    Mixer,
    zero("blocks.1.tok1", "blocks.1.tok2"),
    ("blocks.1.tok1", "blocks.1.tok2"),
    {"blocks.0.tok1": "healthy", "blocks.2.ch1": "healthy", "patch": "healthy"},
)
case(
    "mixer-single-zero",
    "healthy",
    "only the last factor is zero: the zero-initialised branch, it opens",
    learns(),
    Mixer,
    zero("blocks.1.tok2"),
)

# ---------------------------------------------------------------- depthwise, SE, weight and spectral norm


class Mobile(nn.Module):
    """A depthwise convolution and squeeze-and-excitation."""

    def __init__(self, fault: str = "") -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.dw, self.bn1 = nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False), nn.BatchNorm2d(16)
        self.pw, self.bn2 = nn.Conv2d(16, 24, 1, bias=False), nn.BatchNorm2d(24)
        self.squeeze, self.excite = nn.Linear(24, 6), nn.Linear(6, 24)
        self.gate = nn.Sigmoid()
        self.fc = nn.Linear(24, 4)
        self.act = nn.Hardswish()
        self.fault = fault

    def forward(self, x: Tensor) -> Any:
        """(B, 3, 12, 12) → (B, 4)."""
        h = self.act(self.bn2(self.pw(F.relu6(self.bn1(self.dw(self.act(self.stem(x))))))))
        g = self.gate(self.excite(F.relu(self.squeeze(h.mean((2, 3))))) * (0.0 if self.fault == "product" else 1.0))
        return self.fc((h * g[:, :, None, None]).mean((2, 3)))


case("mobile-se", "healthy", "depthwise convolution, squeeze-and-excitation", learns(), Mobile)
case(
    "mobile-se-shut",
    "vanishing",
    "SE gate biased to -30: sigmoid saturated, the whole trunk is multiplied by 1e-13",
    weak("stem", 1e-6),
    Mobile,
    bias("excite", -30.0),
    ("excite", "gate"),
    {"stem": "vanishing", "pw": "vanishing", "excite": "vanishing"},
)
case(
    "mobile-se-product",
    "dead",
    "the gate's logits are multiplied by a constant 0: squeeze and excite never hear anything",
    no_gradient("squeeze", "excite"),
    lambda: Mobile("product"),
    none,
    ("excite", "squeeze", "gate", "mul()"),
    {"excite": "dead", "squeeze": "dead", "stem": "healthy", "pw": "healthy"},
)


class Critic(nn.Module):
    """Two convolutions and a head under one parametrisation."""

    def __init__(self, how: str) -> None:
        super().__init__()
        wrap: Any = {"spectral": parametrizations.spectral_norm, "weight": parametrizations.weight_norm}[how]
        self.c1, self.c2 = wrap(nn.Conv2d(3, 12, 4, 2, 1)), wrap(nn.Conv2d(12, 16, 4, 2, 1))
        self.act = nn.LeakyReLU(0.2)
        self.fc = wrap(nn.Linear(16 * 9, 4))

    def forward(self, x: Tensor) -> Any:
        """(B, 3, 12, 12) → (B, 4)."""
        return self.fc(self.act(self.c2(self.act(self.c1(x)))).flatten(1))


case("spectral-norm", "healthy", "spectrally normalised critic", learns(), lambda: Critic("spectral"))
case("weight-norm", "healthy", "weight-normalised critic", learns(), lambda: Critic("weight"))
