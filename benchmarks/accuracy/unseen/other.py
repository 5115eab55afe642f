"""Networks of many kinds: autoencoders, several inputs or tasks, implicit functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .case import (
    Built,
    Proof,
    add,
    blobs,
    both,
    learns,
    no_gradient,
    nonfinite,
    silent,
    strong,
)
from .faults import Mutate, bias, none, zero
from .theory import Sine


def case(
    name: str,
    label: str,
    why: str,
    proof: Proof,
    make: Callable[[], nn.Module],
    mutate: Mutate = none,
    culprits: tuple[str, ...] = (),
    layers: dict[str, str] | None = None,
    data: Callable[[], Any] = blobs,
    **options: Any,
) -> None:
    """Register a network of this file."""

    def build() -> Built:
        net = make()
        mutate(net)
        return net, data(), {"loss": "cross-entropy"} | options

    add(f"other/{name}", label, "injected" if label != "healthy" else "twin", why, proof, build, culprits, layers)


# ---------------------------------------------------------------- autoencoder, VAE


class Auto(nn.Module):
    """An autoencoder."""

    def __init__(self, out_relu: bool = False, code: int = 4) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, code))
        self.decode = nn.Sequential(nn.Linear(code, 32), nn.ReLU(), nn.Linear(32, 16))
        self.last = nn.ReLU() if out_relu else nn.Identity()

    def forward(self, x: Tensor) -> Any:
        """(B, 16) → (B, 16)."""
        return self.last(self.decode(self.encode(x)))


def same() -> tuple[Tensor, Tensor]:
    """x (64, 16), twice."""
    x, _ = blobs(64, 16, 4, 0.3)
    return x, x


case("auto", "healthy", "autoencoder", learns(0.15, 100), Auto, data=same, loss="mse")
case(
    "auto-dead-output",
    "dead",
    "an output ReLU with bias -50: the net says 0 for ever",
    both(silent("last"), no_gradient("encode", "decode")),
    lambda: Auto(True),
    bias("decode.2", -50.0),
    ("last", "decode.2"),
    {"decode.2": "dead", "encode.0": "dead", "decode.0": "dead"},
    data=same,
    loss="mse",
)
case(
    "auto-zero-code",
    "dead",
    "encoder's last and decoder's first layer all zero, biases too: two zero factors in series",
    no_gradient("encode.2", "encode.0", "decode.0"),
    Auto,
    zero("encode.2", "decode.0", "decode.2"),
    ("encode.2", "decode.0", "decode.2", "decode.1"),
    {"encode.2": "dead", "encode.0": "dead", "decode.0": "dead"},
    data=same,
    loss="mse",
)
case(
    "auto-huge-data",
    "healthy",
    "targets of 1e3: large loss and gradients, adam copes",
    learns(0.05, 200, "adam", 3e-2),
    Auto,
    data=lambda: (same()[0], same()[0] * 100),
    loss="mse",
    optimizer="adam",
    lr=3e-2,
)


class Vae(nn.Module):
    """A variational autoencoder."""

    def __init__(self, cut: bool = False, gap: float = 0.0) -> None:
        super().__init__()
        self.body, self.mu, self.logvar = nn.Linear(16, 32), nn.Linear(32, 4), nn.Linear(32, 4)
        self.up, self.out = nn.Linear(4, 32), nn.Linear(32, 16)
        self.cut, self.gap = cut, gap

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 16) → (B, 16), (B, 4), (B, 4)."""
        h = torch.tanh(self.body(x))
        mu, lv = self.mu(h), self.logvar(h) + self.gap
        spread = (lv / 2).exp()
        if self.cut:
            z = torch.distributions.Normal(mu, spread).sample()  # type: ignore[no-untyped-call]
            mu, lv = mu.detach(), lv.detach()
        else:
            z = mu + spread * torch.randn_like(mu)
        return self.out(torch.relu(self.up(z))), mu, lv


def elbo(out: Any, y: Tensor) -> Any:
    """Reconstruction and a faint KL term."""
    x, mu, lv = out
    return F.mse_loss(x, y) + 1e-2 * (mu**2 + lv.exp() - 1 - lv).mean()


case(
    "vae",
    "healthy",
    "variational autoencoder, reparameterised, three outputs",
    learns(0.1, 150),
    Vae,
    data=same,
    loss=elbo,
)
case(
    "vae-sampled",
    "dead",
    "z is drawn with .sample(), no reparameterisation: the encoder never learns",
    no_gradient("body", "mu", "logvar"),
    lambda: Vae(True),
    none,
    ("mu", "logvar", "body", "up"),
    {"body": "dead", "mu": "dead", "logvar": "dead", "out": "healthy", "up": "healthy"},
    data=same,
    loss=elbo,
)
case(
    "vae-overflow",
    "exploding",
    "log-variance 300 above: exp overflows float32",
    nonfinite,
    lambda: Vae(gap=300.0),
    none,
    (),
    {},
    data=same,
    loss=elbo,
)

# ---------------------------------------------------------------- siamese, multi-task, multi-input


class Siamese(nn.Module):
    """The squared distance of two codes, or its root."""

    def __init__(self, root: bool = False) -> None:
        super().__init__()
        self.tower = nn.Sequential(nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 8))
        self.root = root

    def forward(self, a: Tensor, b: Tensor) -> Any:
        """(B, 16), (B, 16) → (B,)."""
        d = ((self.tower(a) - self.tower(b)) ** 2).sum(-1)
        return d.sqrt() if self.root else d


def twins(same_first: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs and whether they agree: (64, 16), (64, 16), (64,)."""
    x, y = blobs(64)
    p = torch.randperm(64)
    if same_first:
        p[:4] = torch.arange(4)
    return x, x[p], (y == y[p]).float()


def contrastive(d: Tensor, s: Tensor) -> Tensor:
    """Pull pairs that agree, push the others to 2."""
    return (s * d + (1 - s) * F.relu(2 - d)).mean()


case(
    "siamese",
    "healthy",
    "two towers with one set of weights, contrastive loss",
    learns(0.2, 100),
    Siamese,
    data=twins,
    loss=contrastive,
)
case(
    "siamese-sqrt-zero",
    "exploding",
    "the distance of identical pairs is sqrt(0): infinite slope, NaN gradients",
    nonfinite,
    lambda: Siamese(True),
    none,
    (),
    {"tower.0": "exploding", "tower.2": "exploding"},
    data=lambda: twins(True),
    loss=contrastive,
)


class Tasks(nn.Module):
    """A trunk with two heads."""

    def __init__(self, fault: str = "") -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())
        self.kind, self.size = nn.Linear(32, 4), nn.Sequential(nn.Linear(32, 16), nn.Tanh(), nn.Linear(16, 1))
        self.fault = fault

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """(B, 16) → kind (B, 4), size (B, 1)."""
        h = self.trunk(x)
        side = h.detach() if self.fault == "side" else h
        out = {"kind": self.kind(h), "size": self.size(side)}
        if self.fault == "both":
            out["kind"] = self.kind(h.detach())
            out["size"] = self.size(h.detach())
        if self.fault == "nohead":
            with torch.no_grad():
                out["size"] = self.size(h)
        return out


def two_losses(out: dict[str, Tensor], y: Tensor) -> Tensor:
    """Cross-entropy of the kind, squared error of the size."""
    return F.cross_entropy(out["kind"], y) + F.mse_loss(out["size"][:, 0], y.float())


case("tasks", "healthy", "two heads on a trunk, dictionary output", learns(), Tasks, data=blobs, loss=two_losses)
case(
    "tasks-side-detached",
    "healthy",
    "one head reads a detached trunk on purpose (a probe): every parameter still learns",
    learns(),
    lambda: Tasks("side"),
    data=blobs,
    loss=two_losses,
)
case(
    "tasks-trunk-detached",
    "dead",
    "both heads read a detached trunk",
    no_gradient("trunk.0", "trunk.2"),
    lambda: Tasks("both"),
    none,
    ("trunk.3", "trunk.2", "trunk", "trunk.0", "kind", "size.0"),
    {"trunk.0": "dead", "trunk.2": "dead", "kind": "healthy", "size.0": "healthy"},
    data=blobs,
    loss=two_losses,
)
case(
    "tasks-head-no-grad",
    "dead",
    "the second head is computed under no_grad",
    no_gradient("size"),
    lambda: Tasks("nohead"),
    none,
    ("size.2", "size.0", "size", "size.1"),
    {"size.0": "dead", "size.2": "dead", "kind": "healthy", "trunk.0": "healthy"},
    data=blobs,
    loss=two_losses,
)


class Dlrm(nn.Module):
    """A recommender: three embedding bags, dot products."""

    def __init__(self, sparse_scale: float = 1.0) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.EmbeddingBag(n, 8, mode="sum") for n in (500, 30, 7))
        self.bottom, self.top = (
            nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 8)),
            nn.Sequential(nn.Linear(14, 16), nn.ReLU(), nn.Linear(16, 1)),
        )
        self.sparse_scale = sparse_scale

    def forward(self, dense: Tensor, ids: Tensor) -> Any:
        """(B, 5), (B, 3) → (B, 1)."""
        v = [self.bottom(dense)] + [t(ids[:, i : i + 1]) * self.sparse_scale for i, t in enumerate(self.tables)]
        z = torch.stack(v, 1)
        rows, columns = torch.tril_indices(4, 4, -1)
        dots = (z @ z.transpose(1, 2))[:, rows, columns]
        return self.top(torch.cat([v[0], dots], 1))


def clicks() -> tuple[Tensor, Tensor, Tensor]:
    """Dense features, ids, clicks: (96, 5), (96, 3), (96, 1)."""
    dense, ids = torch.randn(96, 5), torch.stack([torch.randint(0, n, (96,)) for n in (500, 30, 7)], 1)
    return dense, ids, ((dense[:, :1] + 0.5 * (ids[:, 2:] - 3)) > 0).float()


case(
    "dlrm",
    "healthy",
    "embedding bags, dot interactions; most rows of the largest table untouched",
    learns(0.2, 100, lr=1e-2),
    Dlrm,
    data=clicks,
    loss="bce",
)
case(
    "dlrm-nan",
    "exploding",
    "an embedding table full of NaN",
    nonfinite,
    Dlrm,
    lambda n: n.tables[1].weight.data.fill_(float("nan")),
    ("tables.1",),
    {"tables.1": "exploding"},
    data=clicks,
    loss="bce",
)

# ---------------------------------------------------------------- implicit functions


class Fourier(nn.Module):
    """An MLP on Fourier features, with a skip from the input."""

    freq: Tensor

    def __init__(self, depth: int = 4, skip_at: int = 2, fault: str = "") -> None:
        super().__init__()
        self.register_buffer("freq", torch.randn(2, 16) * 2)
        self.lin = nn.ModuleList(
            nn.Linear(32 if i == 0 else 64 + (32 if i == skip_at else 0), 64) for i in range(depth)
        )
        self.rgb = nn.Linear(64, 3)
        self.skip_at, self.fault = skip_at, fault

    def forward(self, x: Tensor) -> Tensor:
        """(B, 2) → (B, 3)."""
        e = torch.cat([(x @ self.freq).sin(), (x @ self.freq).cos()], -1)
        h = e
        for i, f in enumerate(self.lin):
            h = torch.relu(f(torch.cat([h, e], -1) if i == self.skip_at else h))
        o = self.rgb(h)
        return torch.sigmoid(o * 1e4 + 1e6) if self.fault == "saturated" else torch.sigmoid(o)


class Siren(nn.Module):
    """Five sine layers."""

    def __init__(self, omega: float, good: bool) -> None:
        super().__init__()
        self.lin = nn.ModuleList([nn.Linear(2, 48)] + [nn.Linear(48, 48) for _ in range(4)])
        self.sine = Sine()
        self.out = nn.Linear(48, 1)
        self.omega = omega
        for i, f in enumerate(self.lin):
            if good:
                b = 0.5 if i == 0 else (6 / 48) ** 0.5 / omega
                nn.init.uniform_(f.get_parameter("weight"), -b, b)

    def forward(self, x: Tensor) -> Any:
        """(B, 2) → (B, 1)."""
        for f in self.lin:
            x = self.sine(self.omega * f(x))
        return self.out(x)


def picture() -> tuple[Tensor, Tensor]:
    """Coordinates and colours: (96, 2), (96, 3)."""
    x = torch.rand(96, 2) * 2 - 1
    return x, torch.stack([0.5 + 0.4 * torch.sin(3 * x[:, 0]), 0.5 + 0.3 * x[:, 1], 0.5 + 0.4 * x[:, 0] * x[:, 1]], 1)


case("nerf", "healthy", "MLP on Fourier features with a skip", learns(0.3, 100), Fourier, data=picture, loss="mse")
case(
    "siren",
    "healthy",
    "SIREN with its own initialisation, omega 30",
    learns(0.2, 150, lr=1e-3),
    lambda: Siren(30.0, True),
    data=lambda: (picture()[0], picture()[0][:, :1]),
    loss="mse",
)
case(
    "siren-default-hot",
    "exploding",
    "omega 60 with weights at default: each layer multiplies the gradient by 60/sqrt(6)",
    strong("lin.0", 1e3),
    lambda: Siren(60.0, False),
    none,
    (),
    {"lin.0": "exploding", "lin.1": "exploding"},
    data=lambda: (picture()[0], picture()[0][:, :1]),
    loss="mse",
)
