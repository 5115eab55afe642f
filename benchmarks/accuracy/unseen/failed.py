"""Nets really trained that could not learn, for a cause that is shown."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from .case import (
    Built,
    Proof,
    add,
    loss_function,
    no_gradient,
    silent,
    train,
    weak,
)
from .faults import bias
from .lookalike_nets import seq
from .sequence import Rec
from .trained import fixed, mlp, table


def failed(
    name: str,
    label: str,
    why: str,
    make: Callable[[], nn.Module],
    data: Callable[[], Any],
    steps: int,
    opt: str,
    lr: float,
    proof: Proof,
    culprits: tuple[str, ...] = (),
    layers: dict[str, str] | None = None,
    stays: float = 0.98,
    **options: Any,
) -> None:
    """Register a net that was trained and did not learn: its loss stays above `stays` times the best constant answer."""

    def build() -> Built:
        net, o, d = make(), {"loss": "cross-entropy"} | options, data()
        return train(net, d, o, steps, opt, lr)[2], d, o

    def shown(model: nn.Module, d: Any, o: dict[str, Any]) -> str:
        end = float(loss_function(o)(model(*d[:-1]), d[-1]).detach())
        chance = _chance(o, d[-1])
        assert not math.isfinite(end) or end >= stays * chance, (end, chance)
        return (
            f"after {steps} steps of {opt} {lr} the loss is {end:.4g}, a constant answer gives {chance:.4g}; "
            + proof(model, d, o)
        )

    add(f"trained/{name}", label, "trained", why, shown, build, culprits, layers)


def _chance(o: dict[str, Any], y: Tensor) -> float:
    if o["loss"] == "mse":
        return float(y.var(unbiased=False))
    p = torch.bincount(y.reshape(-1)).float() / y.numel()
    return float(-(p[p > 0] * p[p > 0].log()).sum())


failed(
    "digits-deep-sigmoid",
    "vanishing",
    "ten default sigmoid layers stay at chance",
    lambda: mlp(64, 10, nn.Sigmoid, 10),
    lambda: table("digits"),
    500,
    "sgd",
    0.1,
    weak("0", 1e-5),
    (),
    {"0": "vanishing", "2": "vanishing", "20": "healthy"},
)
failed(
    "cancer-deep-tanh-small",
    "vanishing",
    "24 default tanh layers stay at chance",
    lambda: mlp(30, 2, nn.Tanh, 24),
    lambda: table("cancer"),
    400,
    "sgd",
    0.05,
    weak("0", 1e-4),
    (),
    {"0": "vanishing", "2": "vanishing", "48": "healthy"},
)
failed(
    "digits-deep-relu",
    "vanishing",
    "22 default ReLU layers stay at chance",
    lambda: mlp(64, 10, nn.ReLU, 22),
    lambda: table("digits"),
    400,
    "sgd",
    0.05,
    weak("0", 1e-5),
    (),
    {"0": "vanishing", "2": "vanishing", "44": "healthy"},
)
failed(
    "wine-dead",
    "dead",
    "hidden ReLU layer with bias -100",
    lambda: _biased(mlp(13, 3), "2", -100.0),
    lambda: table("wine"),
    400,
    "sgd",
    0.1,
    silent("3"),
    ("2", "3"),
    {"0": "dead", "2": "dead"},
)
failed(
    "diabetes-died",
    "dead",
    "SGD at 0.3 on a target of mean 6 killed the second hidden layer in the first steps; the net answers a constant",
    lambda: (torch.manual_seed(0), mlp(10, 1, nn.ReLU, 2, 32))[1],
    lambda: (table("diabetes")[0], table("diabetes")[1] + 6),
    60,
    "sgd",
    0.3,
    silent("3"),
    ("2", "3"),
    {"2": "dead"},
    loss="mse",
)
failed(
    "diabetes-output-relu",
    "dead",
    "output ReLU under a bias of -20: predicts 0 for ever",
    lambda: seq(_biased(mlp(10, 1), "4", -20.0), nn.ReLU()),
    lambda: table("diabetes"),
    300,
    "sgd",
    0.1,
    silent("1"),
    ("1", "0.4"),
    {"0.0": "dead", "0.4": "dead"},
    loss="mse",
)
failed(
    "diabetes-diverged",
    "exploding",
    "SGD at lr 5 ended in NaN",
    lambda: mlp(10, 1, nn.Tanh),
    lambda: (table("diabetes")[0] * 30, table("diabetes")[1]),
    300,
    "sgd",
    5.0,
    lambda m, _d, _o: _nan_or_huge(m),
    loss="mse",
)
failed(
    "diabetes-linear-diverged",
    "exploding",
    "deep linear regression by SGD at 10 ended in NaN weights",
    lambda: mlp(10, 1, nn.Identity, 3),
    lambda: table("diabetes"),
    200,
    "sgd",
    10.0,
    lambda m, _d, _o: _nan_or_huge(m),
    loss="mse",
)
failed(
    "iris-detached",
    "dead",
    "a detached trunk that is random for ever; the head alone is zeroed by a frozen 0",
    lambda: _Cut(),
    lambda: table("iris"),
    300,
    "sgd",
    0.1,
    no_gradient("trunk"),
    ("trunk.2", "trunk", "trunk.1", "trunk.0", "head"),
    {"trunk.0": "dead", "trunk.2": "dead", "head": "healthy"},
    stays=-1,
)
failed(
    "digits-saturated-input",
    "vanishing",
    "raw pixels x 1e4 into a sigmoid layer: saturated, gradient underflows",
    lambda: mlp(64, 10, nn.Sigmoid, 2),
    lambda: ((table("digits")[0] - 0.3) * 1e6, table("digits")[1]),
    5,
    "sgd",
    1e-4,
    lambda m, d, _o: _flat(m, d),
    ("0", "1"),
    {"4": "healthy"},
    stays=-1,
)
failed(
    "cancer-zero",
    "dead",
    "all weights zero, trained: only the last bias learnt",
    lambda: _zeroed(mlp(30, 2)),
    lambda: table("cancer"),
    400,
    "sgd",
    0.1,
    no_gradient("0", "2", "4"),
    ("0", "2", "4", "1", "3"),
    {"0": "dead", "2": "dead"},
)
failed(
    "lstm-shut",
    "vanishing",
    "LSTM whose output gate is shut: stays at chance",
    lambda: _shut(Rec("lstm", 16)),
    lambda: fixed("series"),
    200,
    "sgd",
    0.1,
    weak("cell", 1e-6),
    ("cell",),
    {"cell": "vanishing"},
)


class _Cut(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.head = mlp(4, 12, nn.Tanh, 1), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Any:
        """(B, 4) → (B, 3)."""
        return self.head(self.trunk(x).detach())


def _biased(net: nn.Sequential, path: str, value: float) -> nn.Sequential:
    bias(path, value)(net)
    return net


def _zeroed(net: nn.Sequential) -> nn.Sequential:
    for p in net.parameters():
        p.data.zero_()
    return net


def _shut(net: Any) -> Any:
    n = net.cell.hidden_size
    net.cell.bias_ih_l0.data[3 * n :] = -25.0
    return net


def _nan_or_huge(m: nn.Module) -> str:
    bad = [k for k, p in m.named_parameters() if not torch.isfinite(p).all() or float(p.detach().abs().max()) > 1e12]
    assert bad
    return "weights NaN, infinite or beyond 1e12: " + ", ".join(bad)


def _flat(m: Any, d: Any) -> str:
    s = float(((m[0](d[0])).abs() > 8).float().mean())
    assert s > 0.97, s
    return f"{s:.3f} of the sigmoid's inputs lie beyond 8"
