"""Nets really trained on real or made-up tasks that learnt."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_wine,
)
from torch import Tensor, nn

from .case import (
    Built,
    add,
    ce,
    loss_function,
    series,
    tokens,
    train,
)
from .lookalike_nets import seq
from .sequence import CellLoop, Rec
from .sequence_attention import Gpt


@lru_cache
def table(name: str) -> tuple[Tensor, Tensor]:
    """A standardised table of scikit-learn, its first 200 rows in a fixed shuffle."""
    d = {
        "digits": load_digits,
        "cancer": load_breast_cancer,
        "wine": load_wine,
        "iris": load_iris,
        "diabetes": load_diabetes,
    }[name]()
    x, y = torch.tensor(d.data, dtype=torch.float32), torch.tensor(d.target)
    p = torch.randperm(len(x), generator=torch.Generator().manual_seed(1))[:200]
    x, y = x[p], y[p]
    x = x / 16 if name == "digits" else (x - x.mean(0)) / (x.std(0) + 1e-6)
    return x, ((y - y.float().mean()) / y.float().std()).float()[:, None] if name == "diabetes" else y.long()


def trained(
    name: str,
    why: str,
    make: Callable[[], nn.Module],
    data: Callable[[], Any],
    steps: int,
    opt: str,
    lr: float,
    reach: float,
    **options: Any,
) -> None:
    """Register a net that learnt: its loss ends below `reach` times the first."""

    def build() -> Built:
        net, o, d = make(), {"loss": "cross-entropy"} | options, data()
        return train(net, d, o, steps, opt, lr)[2], d, o

    def proof(model: nn.Module, d: Any, o: dict[str, Any]) -> str:
        fresh = float(loss_function(o)(make()(*d[:-1]), d[-1]).detach())
        end = float(loss_function(o)(model(*d[:-1]), d[-1]).detach())
        assert end <= reach * fresh, (fresh, end)
        return f"trained {steps} steps of {opt} {lr}: loss {fresh:.4g} -> {end:.4g}"

    add(f"trained/{name}", "healthy", "trained", why, proof, build)


@lru_cache
def fixed(what: str) -> Any:
    """One sample for every case that asks for it."""
    torch.manual_seed(3)
    return series() if what == "series" else tokens()


def mlp(d: int, k: int, act: Callable[[], nn.Module] = nn.ReLU, depth: int = 2, width: int = 32) -> nn.Sequential:
    """A plain MLP."""
    mods: list[nn.Module] = []
    for i in range(depth):
        mods += [nn.Linear(d if i == 0 else width, width), act()]
    return nn.Sequential(*mods, nn.Linear(width, k))


def grid() -> tuple[Tensor, Tensor]:
    """Digits as images: x (200, 1, 8, 8), y (200,)."""
    x, y = table("digits")
    return x.view(-1, 1, 8, 8), y


def lenet() -> nn.Sequential:
    """Two convolutions and a head."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


trained(
    "digits-mlp",
    "digits to the bottom: converged",
    lambda: mlp(64, 10),
    lambda: table("digits"),
    400,
    "adam",
    1e-2,
    0.002,
)
trained("digits-lenet", "a small convolutional net on digits", lenet, grid, 150, "adam", 1e-2, 0.02)
trained(
    "digits-bn",
    "the same with batch norm",
    lambda: nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10)),
    grid,
    150,
    "adam",
    1e-2,
    0.02,
)
trained(
    "cancer-converged",
    "two classes, trained far beyond need: loss near 0",
    lambda: mlp(30, 2),
    lambda: table("cancer"),
    600,
    "adam",
    1e-2,
    1e-3,
)
trained(
    "cancer-sigmoid-out",
    "sigmoid output, converged: confident outputs sit near 0 and 1",
    lambda: seq(mlp(30, 1), nn.Sigmoid()),
    lambda: (table("cancer")[0], table("cancer")[1].float()[:, None]),
    500,
    "adam",
    1e-2,
    0.02,
    loss=F.binary_cross_entropy,
)
trained("cancer-early", "stopped early, half way", lambda: mlp(30, 2), lambda: table("cancer"), 30, "adam", 3e-3, 0.8)
trained("wine-tanh", "tanh net on wine", lambda: mlp(13, 3, nn.Tanh), lambda: table("wine"), 300, "adam", 1e-2, 0.02)
trained(
    "wine-l1",
    "trained with strong weight decay (AdamW-like) by sgd on a penalised loss",
    lambda: mlp(13, 3),
    lambda: table("wine"),
    400,
    "momentum",
    0.05,
    0.05,
)
trained(
    "iris-softmax", "softmax regression on iris", lambda: nn.Linear(4, 3), lambda: table("iris"), 500, "sgd", 0.5, 0.2
)
trained(
    "iris-log-softmax",
    "log-softmax and nll on iris, converged",
    lambda: seq(mlp(4, 3), nn.LogSoftmax(-1)),
    lambda: table("iris"),
    400,
    "adam",
    1e-2,
    0.1,
    loss="nll",
)
trained(
    "diabetes-gelu",
    "regression on diabetes",
    lambda: mlp(10, 1, nn.GELU),
    lambda: table("diabetes"),
    200,
    "adam",
    3e-3,
    0.6,
    loss="mse",
)
trained(
    "diabetes-linear",
    "linear regression at its optimum: all loss gradients are 0",
    lambda: nn.Linear(10, 1),
    lambda: table("diabetes"),
    1500,
    "adam",
    1e-2,
    0.7,
    loss="mse",
)
trained(
    "digits-sgd-selu",
    "SELU by SGD",
    lambda: mlp(64, 10, nn.SELU, 4),
    lambda: table("digits"),
    400,
    "momentum",
    0.05,
    0.05,
)
trained(
    "digits-deep-res",
    "pre-norm residual net on digits",
    lambda: _Resid(8),
    lambda: table("digits"),
    120,
    "adam",
    3e-3,
    0.05,
)
trained(
    "lstm-frequency",
    "LSTM on frequencies",
    lambda: Rec("lstm", 16, last=False),
    lambda: fixed("series"),
    150,
    "adam",
    1e-2,
    0.1,
)
trained("gru-frequency", "GRU, last state", lambda: Rec("gru", 16), lambda: fixed("series"), 150, "adam", 1e-2, 0.2)
trained(
    "lstmcell-counting",
    "language model that counts",
    CellLoop,
    lambda: fixed("tokens"),
    200,
    "adam",
    1e-2,
    0.3,
    loss=ce,
)
trained("gpt-counting", "decoder that counts", Gpt, lambda: fixed("tokens"), 120, "adam", 3e-3, 0.1, loss=ce)
trained(
    "digits-sigmoid-shallow",
    "one sigmoid layer on digits",
    lambda: mlp(64, 10, nn.Sigmoid, 1, 48),
    lambda: table("digits"),
    400,
    "adam",
    1e-2,
    0.05,
)
trained(
    "digits-attention",
    "attention over the eight rows of a digit",
    lambda: _Rows(),
    lambda: (table("digits")[0].view(-1, 8, 8), table("digits")[1]),
    250,
    "adam",
    3e-3,
    0.1,
)
trained(
    "digits-auto",
    "autoencoder on digits with a sigmoid output",
    lambda: nn.Sequential(
        nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 12), nn.Linear(12, 48), nn.ReLU(), nn.Linear(48, 64), nn.Sigmoid()
    ),
    lambda: (table("digits")[0], table("digits")[0]),
    400,
    "adam",
    3e-3,
    0.3,
    loss="mse",
)
trained(
    "digits-prelu-drop",
    "PReLU and dropout",
    lambda: nn.Sequential(nn.Linear(64, 64), nn.PReLU(), nn.Dropout(0.4), nn.Linear(64, 10)),
    lambda: table("digits"),
    300,
    "adam",
    1e-2,
    0.1,
)
trained(
    "cancer-wide",
    "2000 hidden units",
    lambda: mlp(30, 2, nn.ReLU, 1, 2000),
    lambda: table("cancer"),
    60,
    "adam",
    1e-3,
    0.3,
)
trained(
    "digits-fp64", "double precision, converged", lambda: _Double(), lambda: table("digits"), 300, "adam", 1e-2, 0.01
)
trained(
    "wine-binary-bce",
    "three sigmoid outputs by bce with logits",
    lambda: mlp(13, 3),
    lambda: (table("wine")[0], F.one_hot(table("wine")[1], 3).float()),
    200,
    "adam",
    1e-2,
    0.05,
    loss="bce",
)


class _Resid(nn.Module):
    def __init__(self, depth: int) -> None:
        super().__init__()
        self.inp, self.out = nn.Linear(64, 32), nn.Linear(32, 10)
        self.f = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(32), nn.Linear(32, 48), nn.ReLU(), nn.Linear(48, 32)) for _ in range(depth)
        )

    def forward(self, x: Tensor) -> Any:
        """(B, 64) → (B, 10)."""
        h = self.inp(x)
        for f in self.f:
            h = h + f(h)
        return self.out(h)


class _Rows(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inp, self.pos = nn.Linear(8, 24), nn.Parameter(torch.randn(8, 24) * 0.3)
        self.enc, self.out = nn.TransformerEncoderLayer(24, 3, 48, 0.0, batch_first=True), nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Any:
        """(B, 8, 8) → (B, 10)."""
        return self.out(self.enc(self.inp(x) + self.pos).mean(1))


class _Double(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = mlp(64, 10).double()

    def forward(self, x: Tensor) -> Any:
        """(B, 64) → (B, 10)."""
        return self.net(x.double())
