"""TorchScript, interpreted: the outputs and gradients of the program that torch itself runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gradcheck_cli.errors import GradcheckError
from gradcheck_cli.loaders import load

_jit: Any = torch.jit  # has no types
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Control(nn.Module):
    """Branches, loops, lists, dicts, tuples, strings and functions."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4) for _ in range(3)])
        self.scale = 2.0
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: torch.Tensor, power: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
        seen: list[torch.Tensor] = []
        named: dict[str, torch.Tensor] = {}
        for index, layer in enumerate(self.layers):
            x = F.gelu(layer(x)) if index % 2 == 0 else torch.tanh(layer(x))
            seen.append(x)
            named[f"layer{index}"] = x
        while power > 0:
            x = x * self.scale
            power -= 1
        if x.dim() != 2:
            raise ValueError("two dimensions are needed")
        self.calls = self.calls + 1  # type: ignore[has-type]
        first, last = seen[0], seen[-1]
        return x + first, named["layer1"] * last[:, :1].sum()


def _conv() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 2)
    )


class Sequence(nn.Module):
    def __init__(self, kind: type[nn.LSTM | nn.GRU]) -> None:
        super().__init__()
        self.cell = kind(3, 5, batch_first=True)
        self.head = nn.Linear(5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.cell(x)[0])  # type: ignore[no-any-return]


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = nn.LayerNorm(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x + self.attention(x, x, x)[0])  # type: ignore[no-any-return]


PROGRAMS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "control": (Control, (3, 4)),
    "convolutions": (_conv, (3, 1, 6, 6)),
    "lstm": (lambda: Sequence(nn.LSTM), (3, 4, 3)),
    "gru": (lambda: Sequence(nn.GRU), (3, 4, 3)),
    "attention": (Attention, (2, 4, 8)),
}


def _saved(program: torch.jit.ScriptModule, folder: Path) -> str:
    torch.jit.save(program, folder / "x.pt")
    return str(folder / "x.pt")


def _sum(output: torch.Tensor | tuple[torch.Tensor, ...]) -> torch.Tensor:
    return (
        output.sum()
        if isinstance(output, torch.Tensor)
        else torch.stack([part.square().sum() for part in output]).sum()
    )


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", PROGRAMS)
def test_outputs_gradients_and_buffers_are_those_of_torch(kind: str, training: bool, tmp_path: Path) -> None:
    make, shape = PROGRAMS[kind]
    torch.manual_seed(0)
    path = _saved(torch.jit.script(make()), tmp_path)
    subject, twin = load(path, trust=True), _jit.load(path)
    assert subject.mode_fixed == (kind == "control")
    for module in (subject.module, twin):
        module.train(training)
    x = torch.randn(shape)
    found, expected = _sum(subject.module(x)), _sum(twin(x))
    assert torch.equal(found, expected)
    torch.autograd.backward(found)
    torch.autograd.backward(expected)
    gradients = [{name: each.grad for name, each in module.named_parameters()} for module in (subject.module, twin)]
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        assert gradient is not None
        assert torch.equal(gradient, gradients[1][name]), name  # type: ignore[arg-type]
    buffers = [dict(module.named_buffers()) for module in (subject.module, twin)]
    assert buffers[0].keys() == buffers[1].keys()
    assert all(torch.equal(buffers[0][name], buffers[1][name]) for name in buffers[0])


def test_modules_have_their_names_classes_and_signature(tmp_path: Path) -> None:
    module = load(_saved(torch.jit.script(Control()), tmp_path), trust=True).module
    kinds = {name: type(part).__name__ for name, part in module.named_modules()}
    assert kinds == {"": "Control", "layers": "ModuleList", **{f"layers.{index}": "Linear" for index in range(3)}}
    assert str(inspect.signature(module.forward)) == "(x, power=2)"
    called = []
    for name, part in module.named_modules():
        part.register_forward_hook(lambda *_, name=name: called.append(name))
    module(torch.randn(2, 4), power=0)
    assert called == ["layers.0", "layers.1", "layers.2", ""]


def test_tied_parameters_are_one(tmp_path: Path) -> None:
    tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    module = load(_saved(torch.jit.script(tied), tmp_path), trust=True).module
    assert module.get_parameter("0.weight") is module.get_parameter("1.weight")


def test_a_trace_has_its_mode_baked_in(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5)).eval()
    subject = load(_saved(_jit.trace(net, torch.ones(2, 3)), tmp_path), trust=True)
    assert subject.mode_fixed
    assert "baked in" in subject.remarks[0]


def test_what_the_program_raises_is_said(tmp_path: Path) -> None:
    module = load(_saved(torch.jit.script(Control()), tmp_path), trust=True).module
    with pytest.raises(Exception, match="two dimensions are needed"):
        module(torch.randn(2, 3, 4))


def test_only_a_trusted_program_is_opened(tmp_path: Path) -> None:
    path = _saved(torch.jit.script(nn.Linear(2, 2)), tmp_path)
    with pytest.raises(GradcheckError) as caught:
        load(path)
    assert caught.value.slug == "unsafe-archive"
    assert "--trust" in caught.value.hint
    whole = Path(path).read_bytes()
    (tmp_path / "x.pt").write_bytes(whole.replace(b"Linear", b"Linear\x00"[:6][::-1]))
    with pytest.raises(GradcheckError) as caught:
        load(path, trust=True)
    assert caught.value.slug == "load-failed"
