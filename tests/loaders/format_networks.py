"""The networks of the table of formats: of classes of our own, the same of torch.nn's alone, and those of transformers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn


class Net(nn.Sequential):
    """A foreign class, for what a file with one looks like."""


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 8, batch_first=True)
        self.head = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(x)[0][:, -1])  # type: ignore[no-any-return]


class Classifier(Recurrent):
    """Reads the last state, not the outputs."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(x)[1][0][-1])  # type: ignore[no-any-return]


def _mlp(activation: Callable[[], nn.Module], depth: int) -> list[nn.Module]:
    torch.manual_seed(0)
    hidden = [part for _ in range(depth) for part in (nn.Linear(16, 16), activation())]
    return [nn.Linear(6, 16), activation(), *hidden, nn.Linear(16, 3)]


def healthy() -> nn.Module:
    layers = _mlp(nn.ReLU, 2)
    for layer in layers:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
    return Net(*layers)


def dead() -> nn.Module:
    layers = _mlp(nn.ReLU, 3)
    nn.init.constant_(layers[4].bias, -50.0)  # type: ignore[arg-type]
    return Net(*layers)


def vanishing() -> nn.Module:
    return Net(*_mlp(nn.Sigmoid, 12))


def transformer() -> nn.Module:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    return Net(nn.Linear(4, 8), nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(8, 2))


def lstm() -> nn.Module:
    torch.manual_seed(0)
    return Recurrent()


def lstm_state() -> nn.Module:
    torch.manual_seed(0)
    return Classifier()


def scrambled(kind: str) -> nn.Module:
    """The architecture of `kind` with other values: what a file brings must replace all of them."""
    module = NETWORKS[kind][0]()
    with torch.no_grad():
        for tensor in module.parameters():
            tensor.fill_(3.0)
    return module


def scrambled_healthy() -> nn.Module:
    return scrambled("healthy")


def scrambled_dead() -> nn.Module:
    return scrambled("dead")


def scrambled_vanishing() -> nn.Module:
    return scrambled("vanishing")


def scrambled_transformer() -> nn.Module:
    return scrambled("transformer")


def scrambled_lstm() -> nn.Module:
    return scrambled("lstm")


def scrambled_lstm_state() -> nn.Module:
    return scrambled("lstm_state")


def of_torch_alone(module: nn.Module) -> nn.Module:
    """The same network without a class of ours, which only a sequence can be."""
    return nn.Sequential(*module) if isinstance(module, Net) else module


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], str]] = {
    "healthy": (healthy, (16, 6), "healthy"),
    "dead": (dead, (16, 6), "dead"),
    "vanishing": (vanishing, (16, 6), "vanishing"),
    "transformer": (transformer, (16, 5, 4), "healthy"),
    "lstm": (lstm, (16, 5, 4), "healthy"),
    "lstm_state": (lstm_state, (16, 5, 4), "healthy"),
}
"""Name → factory, shape of the sample, verdict."""

LANGUAGE = ("healthy", "dead", "vanishing")


def language(kind: str) -> Any:
    """A small BERT of transformers' own class: healthy, with a dead layer, or with a vanishing signal."""
    import transformers

    torch.manual_seed(0)
    sizes: dict[str, Any] = {"vocab_size": 31, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    rest: dict[str, Any] = {"intermediate_size": 32, "hidden_act": "relu", "hidden_dropout_prob": 0.0, "num_labels": 3}
    config = transformers.BertConfig(**sizes, **rest, attention_probs_dropout_prob=0.0)
    model: Any = transformers.BertForSequenceClassification(config)
    if kind == "dead":
        nn.init.constant_(model.bert.encoder.layer[1].intermediate.dense.bias, -50.0)
    elif kind == "vanishing":
        with torch.no_grad():
            model.bert.pooler.dense.weight *= 1e-9
    return model
