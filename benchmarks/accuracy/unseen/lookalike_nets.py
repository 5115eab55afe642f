"""The networks of the look-alikes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from .case import (
    blobs,
)


class Do(nn.Module):
    """Any expression as a module."""

    def __init__(self, f: Callable[..., Any]) -> None:
        super().__init__()
        self.f = f

    def forward(self, *a: Any) -> Any:
        """Whatever the function takes and gives."""
        return self.f(*a)


def seq(*mods: Any) -> nn.Sequential:
    """A Sequential of modules and functions."""
    return nn.Sequential(*[m if isinstance(m, nn.Module) else Do(m) for m in mods])


def plain(d: int = 16, h: int = 32, k: int = 4) -> nn.Sequential:
    """Two hidden ReLU layers."""
    return seq(nn.Linear(d, h), nn.ReLU(), nn.Linear(h, h), nn.ReLU(), nn.Linear(h, k))


class Pruned(nn.Module):
    """Two layers under fixed masks."""

    ma: Tensor
    mb: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(16, 128), nn.Linear(128, 128), nn.Linear(128, 4)
        for n, f in (("ma", self.a), ("mb", self.b)):
            self.register_buffer(n, (torch.rand_like(f.weight) < 0.1).float())
            f.weight.data.mul_(3)

    def forward(self, x: Tensor) -> Any:
        """(B, 16) → (B, 4)."""
        h = F.linear(x, self.a.weight * self.ma, self.a.bias).relu()
        return self.c(F.linear(h, self.b.weight * self.mb, self.b.bias).relu())


class SimSiam(nn.Module):
    """Two views, one side detached."""

    def __init__(self) -> None:
        super().__init__()
        self.enc = nn.Sequential(nn.Linear(16, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 16))
        self.pred = nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 16))

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, ...]:
        """(B, 16), (B, 16) → (B, 16), (B, 16), (B, 16), (B, 16)."""
        za, zb = self.enc(a), self.enc(b)
        return self.pred(za), self.pred(zb), za.detach(), zb.detach()


class Vq(nn.Module):
    """Vector quantisation, straight through."""

    def __init__(self) -> None:
        super().__init__()
        self.enc, self.dec = nn.Linear(16, 8), nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 16))
        self.book = nn.Parameter(torch.randn(12, 8) * 0.5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 16) → (B, 16), (B, 8), (B, 8)."""
        z = self.enc(x)
        q = self.book[torch.cdist(z, self.book).argmin(-1)]
        return self.dec(z + (q - z).detach()), z, q


class DropPath(nn.Module):
    """Residual branches dropped at random."""

    def __init__(self) -> None:
        super().__init__()
        self.inp, self.out = nn.Linear(16, 32), nn.Linear(32, 4)
        self.f = nn.ModuleList(nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32)) for _ in range(5))

    def forward(self, x: Tensor) -> Any:
        """(B, 16) → (B, 4)."""
        h = self.inp(x)
        for f in self.f:
            if not self.training or torch.rand(()) > 0.3:
                h = h + f(h)
        return self.out(h)


class TiedAuto(nn.Module):
    """The decoder is the encoder transposed."""

    def __init__(self) -> None:
        super().__init__()
        self.enc = nn.Linear(16, 6)
        self.bias = nn.Parameter(torch.zeros(16))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 16) → (B, 16)."""
        return F.linear(torch.tanh(self.enc(x)), self.enc.weight.T, self.bias)


class Implicit(nn.Module):
    """A fixed point and one step of gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.u, self.out = nn.Linear(24, 24, bias=False), nn.Linear(16, 24), nn.Linear(24, 4)
        nn.init.orthogonal_(self.w.weight, gain=0.7)

    def forward(self, x: Tensor) -> Any:
        """(B, 16) → (B, 4)."""
        u = self.u(x)
        z = torch.zeros_like(u)
        with torch.no_grad():
            for _ in range(15):
                z = torch.tanh(self.w(z) + u)
        return self.out(torch.tanh(self.w(z) + u))


class Ode(nn.Module):
    """Twenty Euler steps of one field."""

    def __init__(self) -> None:
        super().__init__()
        self.inp, self.f, self.out = (
            nn.Linear(16, 24),
            nn.Sequential(nn.Linear(24, 32), nn.Tanh(), nn.Linear(32, 24)),
            nn.Linear(24, 4),
        )

    def forward(self, x: Tensor) -> Any:
        """(B, 16) → (B, 4)."""
        h = self.inp(x)
        for _ in range(20):
            h = h + 0.05 * self.f(h)
        return self.out(h)


class WithIds(nn.Module):
    """Logits, the winners, and how sure."""

    def __init__(self) -> None:
        super().__init__()
        self.net = plain()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """(B, 16) → logits (B, 4), ids (B,), sure (B,)."""
        o = self.net(x)
        return {"logits": o, "ids": o.argmax(-1), "sure": (o.softmax(-1).amax(-1) > 0.5)}


class Packed(nn.Module):
    """A GRU over packed sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.out = nn.GRU(3, 16, batch_first=True), nn.Linear(16, 3)

    def forward(self, x: Tensor, lengths: Tensor) -> Any:
        """(B, 15, 3), (B,) → (B, 3)."""
        _, h = self.rnn(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
        return self.out(h[-1])


class Deep(nn.Module):
    """Pre-norm residual blocks, scaled."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.inp, self.ln, self.out = nn.Linear(16, 24), nn.LayerNorm(24), nn.Linear(24, 4)
        self.f = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(24), nn.Linear(24, 24), nn.GELU(), nn.Linear(24, 24)) for _ in range(depth)
        )

    def forward(self, x: Tensor) -> Any:
        """(B, 16) → (B, 4)."""
        h = self.inp(x)
        for f in self.f:
            h = h + f(h) / math.sqrt(2 * len(self.f))
        return self.out(self.ln(h))


class Highway(nn.Module):
    """A highway net."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.inp, self.out = nn.Linear(16, 24), nn.Linear(24, 4)
        self.h = nn.ModuleList(nn.Linear(24, 24) for _ in range(depth))
        self.t = nn.ModuleList(nn.Linear(24, 24) for _ in range(depth))
        for t in self.t:
            nn.init.constant_(t.get_parameter("bias"), -2.0)

    def forward(self, x: Tensor) -> Any:
        """(B, 16) → (B, 4)."""
        x = self.inp(x)
        for h, t in zip(self.h, self.t, strict=True):
            g = torch.sigmoid(t(x))
            x = g * torch.relu(h(x)) + (1 - g) * x
        return self.out(x)


class Densely(nn.Module):
    """Every layer reads all before it."""

    def __init__(self) -> None:
        super().__init__()
        self.f = nn.ModuleList(
            nn.Sequential(nn.BatchNorm1d(16 + 8 * i), nn.ReLU(), nn.Linear(16 + 8 * i, 8)) for i in range(8)
        )
        self.out = nn.Linear(80, 4)

    def forward(self, x: Tensor) -> Any:
        """(B, 16) → (B, 4)."""
        for f in self.f:
            x = torch.cat([x, f(x)], -1)
        return self.out(x)


class Skips(nn.Module):
    """Sigmoid branches on a residual stream."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.inp, self.out = nn.Linear(16, 32), nn.Linear(32, 4)
        self.f = nn.ModuleList(nn.Linear(32, 32) for _ in range(depth))

    def forward(self, x: Tensor) -> Any:
        """(B, 16) → (B, 4)."""
        h = self.inp(x)
        for f in self.f:
            h = h + torch.sigmoid(f(h)) - 0.5
        return self.out(h)


class Rbf(nn.Module):
    """Radial functions around learned centres."""

    def __init__(self) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.randn(40, 16))
        self.out = nn.Linear(40, 4)

    def forward(self, x: Tensor) -> Any:
        """(B, 16) → (B, 4)."""
        return self.out(torch.exp(-(torch.cdist(x, self.centres) ** 2) / 32))


class ClipLike(nn.Module):
    """Two towers and a learned temperature."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = (
            nn.Sequential(nn.Linear(16, 48), nn.GELU(), nn.Linear(48, 16)),
            nn.Sequential(nn.Linear(8, 48), nn.GELU(), nn.Linear(48, 16)),
        )
        self.log_t = nn.Parameter(torch.tensor(2.0))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """(B, 16), (B, 8) → (B, B)."""
        return F.normalize(self.a(x), dim=-1) @ F.normalize(self.b(z), dim=-1).T * self.log_t.exp()


class Two(nn.Module):
    """A bilinear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.out = nn.Bilinear(16, 16, 12), nn.Linear(12, 4)

    def forward(self, a: Tensor, b: Tensor) -> Any:
        """(B, 16), (B, 16) → (B, 4)."""
        return self.out(torch.tanh(self.mix(a, b)))


class FrozenBackbone(nn.Module):
    """A backbone under no_grad, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.back = nn.Sequential(nn.Linear(16, 48), nn.ReLU(), nn.Linear(48, 32), nn.ReLU()).requires_grad_(False)
        self.head = nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Any:
        """(B, 16) → (B, 4)."""
        with torch.no_grad():
            h = self.back(x)
        return self.head(h * 3)


class Triplet(nn.Module):
    """One tower for three inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8))

    def forward(self, a: Tensor, p: Tensor, n: Tensor) -> tuple[Tensor, ...]:
        """(B, 16), (B, 16), (B, 16) → (B, 8), (B, 8), (B, 8)."""
        return self.tower(a), self.tower(p), self.tower(n)


def triplets() -> tuple[Tensor, ...]:
    """Anchors, their kind, others, and the class: (64, 16) three times, (64,)."""
    x, y = blobs(64, 16, 4, 0.5)
    return x, x.roll(4, 0), x.roll(1, 0), y


class SkipInit(nn.Module):
    """Branches behind learned scalars of 1e-4."""

    def __init__(self) -> None:
        super().__init__()
        self.inp, self.out = nn.Linear(16, 32), nn.Linear(32, 4)
        self.f = nn.ModuleList(nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32)) for _ in range(6))
        self.gate = nn.Parameter(torch.full((6,), 1e-4))

    def forward(self, x: Tensor) -> Any:
        """(B, 16) → (B, 4)."""
        h = self.inp(x)
        for i, f in enumerate(self.f):
            h = h + self.gate[i] * f(h)
        return self.out(h)


class ScaledHead(nn.Module):
    """A net behind a learned scale that begins at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.alpha = plain(), nn.Parameter(torch.zeros(4))

    def forward(self, x: Tensor) -> Any:
        """(B, 16) → (B, 4)."""
        return self.alpha * self.net(x)


class DetachedBranch(nn.Module):
    """A branch that reads a detached input."""

    def __init__(self) -> None:
        super().__init__()
        self.inp, self.f, self.out = nn.Linear(16, 32), nn.Sequential(nn.Linear(32, 32), nn.ReLU()), nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Any:
        """(B, 16) → (B, 4)."""
        h = self.inp(x)
        return self.out(h + self.f(h.detach()))


class WaveNet(nn.Module):
    """Causal, gated, dilated convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.inp, self.out = nn.Conv1d(3, 16, 1), nn.Linear(16, 3)
        self.f = nn.ModuleList(nn.Conv1d(16, 32, 2, dilation=2**i) for i in range(4))

    def forward(self, x: Tensor) -> Any:
        """(B, 20, 3) → (B, 3)."""
        h = self.inp(x.transpose(1, 2))
        for i, f in enumerate(self.f):
            a, b = f(F.pad(h, (2**i, 0))).chunk(2, 1)
            h = h + torch.tanh(a) * torch.sigmoid(b)
        return self.out(h.mean(2))


class LinearAttention(nn.Module):
    """Attention by feature maps."""

    def __init__(self) -> None:
        super().__init__()
        self.inp, self.q, self.k, self.v, self.out = (
            nn.Linear(3, 24),
            nn.Linear(24, 24),
            nn.Linear(24, 24),
            nn.Linear(24, 24),
            nn.Linear(24, 1),
        )

    def forward(self, x: Tensor) -> Any:
        """(B, 7, 3) → (B, 1)."""
        h = torch.tanh(self.inp(x))
        q, k = F.elu(self.q(h)) + 1, F.elu(self.k(h)) + 1
        y = q @ (k.transpose(1, 2) @ self.v(h)) / (q @ k.sum(1)[:, :, None])
        return self.out((h + y).mean(1))


class Cosine(nn.Module):
    """The cosine distance of two codes."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = nn.Sequential(nn.Linear(16, 24), nn.Tanh(), nn.Linear(24, 8))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """(B, 16), (B, 16) → (B,)."""
        return 2 - 2 * F.cosine_similarity(self.tower(a), self.tower(b))
