"""An exported program reads like the module that it was exported from: same layers, T, gains and units."""
# mypy: disable-error-code="no-any-return,no-untyped-call,operator,union-attr"
# (torch types what modules return as Any, and their attributes as a tensor or a module)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from looking import look_at
from torch import Tensor, nn
from torch.nn import functional as F

from gradcheck_cli.errors import NotCompleted
from gradcheck_cli.readings import LayerReading, Readings

Built = tuple[nn.Module, tuple[Any, ...]]


def mlp() -> Built:
    net = nn.Sequential(
        nn.Linear(5, 9), nn.ReLU(), nn.Linear(9, 9), nn.Sigmoid(), nn.Linear(9, 9), nn.GELU(), nn.Linear(9, 3)
    )
    return net, (torch.randn(7, 5) * 3,)


class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.conv2, self.bn2 = nn.Conv2d(6, 6, 3, stride=2), nn.BatchNorm2d(6)
        self.fc = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        x = torch.relu(self.bn2(self.conv2(x)))
        return self.fc(x.mean((2, 3)))


def convolutional() -> Built:
    return Classifier(), (torch.randn(5, 3, 12, 12),)


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.act = nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(self.act(self.up(self.norm(x))))


def residual() -> Built:
    return nn.Sequential(nn.Linear(4, 8), Block(8), Block(8), nn.LayerNorm(8), nn.Linear(8, 3)), (torch.randn(7, 4),)


def transformer() -> Built:
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    return nn.Sequential(nn.Linear(5, 8), encoder, nn.Linear(8, 3)), (torch.randn(3, 5, 5),)


class HandWrittenAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out, self.norm = nn.Linear(8, 24), nn.Linear(8, 8), nn.LayerNorm(8)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part.unflatten(-1, (2, 4)).transpose(1, 2) for part in self.qkv(self.norm(x)).chunk(3, -1))
        weights = F.softmax(q @ k.transpose(-1, -2) / 2, -1)
        return x + self.out((weights @ v).transpose(1, 2).flatten(2))


def attention() -> Built:
    return nn.Sequential(HandWrittenAttention(), HandWrittenAttention(), nn.Linear(8, 3)), (torch.randn(3, 5, 8),)


class Twice(nn.Module):
    """A module that is called twice, and a parameter of the root."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.head = nn.Linear(6, 6), nn.Linear(6, 3)
        self.scale = nn.Parameter(torch.full((6,), 0.7))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.scale * torch.tanh(self.fc(torch.tanh(self.fc(x)))))


def twice() -> Built:
    return Twice(), (torch.randn(7, 6),)


def tied() -> Built:
    embedding, head = nn.Embedding(11, 6), nn.Linear(6, 11, bias=False)
    head.weight = embedding.weight
    return nn.Sequential(embedding, nn.Linear(6, 6), nn.Tanh(), head), (torch.randint(0, 11, (3, 5)),)


class AttentionModule(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention, self.head = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x + self.attention(x, x, x, need_weights=True)[0])


def attention_module() -> Built:
    return AttentionModule(), (torch.randn(3, 5, 8),)


class Halves(nn.Module):
    """Gives two tensors, of which it reads one again itself."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Parameter(torch.randn(6, 6)), nn.Parameter(torch.randn(6, 6))

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        one = torch.tanh(x @ self.one)
        return one, {"two": 3 * one @ self.two}


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.halves, self.head = Halves(), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        one, rest = self.halves(x)
        return self.head(rest["two"].relu() - one)


def several_outputs() -> Built:
    return Branches(), (torch.randn(7, 6),)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.gru, self.head = nn.LSTM(4, 5, 2), nn.GRU(5, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        out, (_, cell) = self.lstm(x)
        return self.head(self.gru(out + cell[-1])[1][0])


def recurrent() -> Built:
    return Recurrent(), (torch.randn(6, 3, 4),)


BUILDERS: list[Callable[[], Built]] = [
    mlp, convolutional, residual, transformer, attention, attention_module, twice, tied, several_outputs, recurrent,
]  # fmt: skip


def close(value: float | None) -> Any:
    return None if value is None else pytest.approx(value, rel=1e-5, abs=1e-12)


def assert_alike(one: LayerReading, other: LayerReading) -> None:
    assert (other.name, other.role) == (one.name, one.role)
    assert other.transmission == close(one.transmission)
    assert other.incoming == close(one.incoming)
    assert other.gain == close(one.gain)
    assert other.output_rms == close(one.output_rms)
    assert other.units == one.units
    assert (other.upstream, other.producer, other.calls) == (one.upstream, one.producer, one.calls)
    assert (other.called, other.reached, other.final) == (one.called, one.reached, one.final)
    for a, b in zip(one.parameters, other.parameters, strict=True):
        assert (b.name, b.shape, b.trainable, b.reached) == (a.name, a.shape, a.trainable, a.reached)
        assert b.norm == close(a.norm)
        assert b.signal == close(a.signal)


def both(build: Callable[[], Built]) -> tuple[Readings, Readings]:
    module, inputs = build()
    module.eval()
    exported = torch.export.export(module, inputs).module()
    return look_at(module, *inputs, mode="eval"), look_at(exported, *inputs, mode="eval")


@pytest.mark.filterwarnings("ignore:The tensor attributes")  # an LSTM's
@pytest.mark.parametrize("build", BUILDERS, ids=lambda build: build.__name__)
def test_readings_agree(build: Callable[[], Built]) -> None:
    plain, exported = both(build)
    assert [layer.name for layer in exported.layers] == [layer.name for layer in plain.layers]
    for one, other in zip(plain.layers, exported.layers, strict=True):
        assert_alike(one, other)


def _kinds(readings: Readings) -> list[str]:
    """Of attention's output projection, which never runs as a module, no format but the module itself knows the class."""
    return [layer.kind for layer in readings.layers if not layer.name.endswith("out_proj")]


@pytest.mark.filterwarnings("ignore:The tensor attributes")  # an LSTM's
@pytest.mark.parametrize("build", BUILDERS, ids=lambda build: build.__name__)
def test_kinds_agree(build: Callable[[], Built]) -> None:
    plain, exported = both(build)
    assert _kinds(exported) == _kinds(plain)


@pytest.mark.parametrize("swap", [False, True])
def test_keyword_inputs(swap: bool) -> None:
    class Keywords(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 3), nn.Linear(4, 3)

        def forward(self, *, image: Tensor, other: Tensor) -> dict[str, Tensor]:
            return {"out": self.a(image).tanh() * self.b(other)}

    module, inputs = Keywords().eval(), {"image": torch.randn(7, 4), "other": 9 * torch.randn(7, 4)}
    exported = torch.export.export(module, (), inputs).module()
    plain = look_at(module, kwargs=inputs, mode="eval")
    again = look_at(exported, kwargs=dict(reversed(inputs.items())) if swap else inputs, mode="eval")
    for one, other in zip(plain.layers, again.layers, strict=True):
        assert_alike(one, other)


def test_an_exported_forward_that_fails_says_so() -> None:
    module, (x,) = mlp()
    exported = torch.export.export(module, (x,)).module()
    with pytest.raises(NotCompleted, match=r"in 0 \(Linear\)"):
        look_at(exported, torch.randn(7, 6), mode="eval")
    assert look_at(exported, x, mode="eval").layers


def test_a_symbolically_traced_module() -> None:
    """What `torch.fx` gives is a graph module too, with its modules still called as such."""
    module, inputs = convolutional()
    module.eval()
    plain, traced = (
        look_at(module, *inputs, mode="eval"),
        look_at(torch.fx.symbolic_trace(module), *inputs, mode="eval"),
    )
    assert [layer.name for layer in traced.layers] == [layer.name for layer in plain.layers]
    for one, other in zip(plain.layers, traced.layers, strict=True):
        assert_alike(one, other)
