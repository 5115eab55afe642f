"""Small nets, ill and healthy, of which tests change something that must not change a verdict."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gradcheck_cli as gradcheck

CLASSES = 5
Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Net:
    """A module with its sample."""

    module: nn.Module
    inputs: Tensor
    target: Tensor


def _chain(depth: int, activation: Callable[[], nn.Module], gain: float) -> nn.Sequential:
    """``linear0 act0 … head`` of width 32; weights N(0, gain²/fan_in)."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for index in range(depth + 1):
        linear = nn.Linear(20 if index == 0 else 32, CLASSES if index == depth else 32)
        nn.init.normal_(linear.weight, std=gain / math.sqrt(linear.in_features))
        nn.init.zeros_(linear.bias)
        layers["head" if index == depth else f"linear{index}"] = linear
        if index < depth:
            layers[f"act{index}"] = activation()
    return nn.Sequential(layers)


def _mlp(depth: int, activation: Callable[[], nn.Module], gain: float, dead: str = "") -> Net:
    net = _chain(depth, activation, gain)
    if dead:
        nn.init.constant_(net.get_parameter(f"{dead}.bias"), -100.0)
    return Net(net, torch.randn(64, 20), torch.randint(0, CLASSES, (64,)))


def _cnn(dead: bool) -> Net:
    convs: list[nn.Module] = []
    for before, after in ((3, 12), (12, 12), (12, 12)):
        conv = nn.Conv2d(before, after, 3, padding=1)
        nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        nn.init.constant_(conv.get_parameter("bias"), -100.0 if dead and len(convs) == 2 else 0.0)
        convs += [conv, nn.ReLU()]
    net = nn.Sequential(*convs, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, CLASSES))
    return Net(net, torch.randn(64, 3, 6, 6), torch.randint(0, CLASSES, (64,)))


class Reader(nn.Module):
    """A recurrent layer and a head that reads its last step."""

    def __init__(self, rnn: nn.RNNBase) -> None:
        super().__init__()
        self.rnn = rnn
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """(B, S, 4) → (B, 5)."""
        logits: Tensor = self.head(self.rnn(x)[0][:, -1])
        return logits


def _recurrent(rnn: nn.RNNBase, steps: int, spectral_norm: float | None = None) -> Net:
    if spectral_norm is not None:
        nn.init.orthogonal_(rnn.get_parameter("weight_hh_l0"), spectral_norm)
    return Net(Reader(rnn), torch.randn(64, steps, 4), torch.randint(0, CLASSES, (64,)))


NETS: dict[str, tuple[str, Callable[[], Net]]] = {
    "relu": ("healthy", lambda: _mlp(4, nn.ReLU, math.sqrt(2))),
    "relu-small": ("vanishing", lambda: _mlp(12, nn.ReLU, 0.3)),
    "relu-large": ("exploding", lambda: _mlp(12, nn.ReLU, 5.0)),
    "relu-dead": ("dead", lambda: _mlp(4, nn.ReLU, math.sqrt(2), "linear2")),
    "sigmoid": ("vanishing", lambda: _mlp(12, nn.Sigmoid, 0.6)),
    "tanh": ("healthy", lambda: _mlp(4, nn.Tanh, 1.2)),
    "cnn": ("healthy", lambda: _cnn(False)),
    "cnn-dead": ("dead", lambda: _cnn(True)),
    "gru": ("healthy", lambda: _recurrent(nn.GRU(4, 16, batch_first=True), 12)),
    "rnn-short": ("vanishing", lambda: _recurrent(nn.RNN(4, 16, batch_first=True), 30, 0.3)),
    "rnn-relu": (
        "exploding",
        lambda: _recurrent(nn.RNN(4, 16, nonlinearity="relu", batch_first=True), 30, 3.0),
    ),
}
"""Name → the verdict that theory gives, and how to build it; `built` seeds."""

CHAINS = tuple(name for name in NETS if name.startswith("relu"))
"""Those of linear layers and ReLU alone."""


def built(name: str, seed: int = 0) -> Net:
    """The same at every call; another seed, other weights and another sample."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(sum(map(ord, name)) + 1000 * seed)
        return NETS[name][1]()


def verdicts(net: Net, *, loss: Loss = F.cross_entropy, batch_size: int = 32, rehearse: int = 0) -> list[str]:
    """The model's verdict, then its layers' in forward order."""
    return list(named_verdicts(net, loss=loss, batch_size=batch_size, rehearse=rehearse).values())


def named_verdicts(
    net: Net, *, loss: Loss = F.cross_entropy, batch_size: int = 32, rehearse: int = 0
) -> dict[str, str]:
    """The same by layer; the model's own under the empty name."""
    found = gradcheck.diagnose(
        net.module, (net.inputs, net.target), loss=loss, batch_size=batch_size, batches=8, rehearse=rehearse
    )
    return {"": found.verdict.value, **{layer.name: layer.verdict.value for layer in found.layers}}
