from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forged_files as forge
import pytest
import torch
from torch import nn

import gradcheck_cli
from gradcheck_cli.errors import ModelError
from gradcheck_cli.loaders import load
from gradcheck_cli.loaders.pt2_expressions import is_allowed

torch.set_num_threads(1)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 5)
        self.head = nn.Linear(5, 7, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.embedding(tokens))  # type: ignore[no-any-return]


class Assorted(nn.Module):
    """Buffers, a constant, a frozen layer, a no_grad block, keyword and nested inputs, a dict output, an einsum."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleDict({"a-b": nn.Linear(4, 4), "frozen": nn.Linear(4, 4).requires_grad_(False)})
        self.register_buffer("scale", torch.full((4,), 2.0), persistent=False)
        self.constant = torch.ones(4)

    def forward(
        self, x: torch.Tensor, others: dict[str, torch.Tensor], *, sign: float = 1.0
    ) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            shift = x.mean() * 2
        y = self.blocks["frozen"](self.blocks["a-b"](x)) * self.scale + self.constant + shift
        return {"y": y * sign, "z": torch.einsum("bi,bi->b", y, others["second"])}


class Reshaped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        halves = x.reshape(x.shape[0] // 2, 2, 3)
        return self.inner(halves).reshape(x.shape[0], -1) * (x.shape[0] + 1)  # type: ignore[no-any-return]


def _convolutional() -> nn.Module:
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Flatten())
    return nn.Sequential(body, nn.Dropout(0.0), nn.Linear(36, 2))


def _encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


Inputs = tuple[tuple[Any, ...], dict[str, Any]]
MODELS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Inputs], Any]] = {
    "mlp": (
        lambda: nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)),
        lambda: ((torch.randn(3, 4),), {}),
        None,
    ),
    "cnn": (_convolutional, lambda: ((torch.randn(2, 3, 8, 8),), {}), None),
    "encoder": (_encoder, lambda: ((torch.randn(2, 5, 8),), {}), None),
    "lstm": (lambda: nn.LSTM(4, 3, batch_first=True), lambda: ((torch.randn(2, 5, 4),), {}), None),
    "tied": (Tied, lambda: ((torch.randint(0, 7, (2, 3)),), {}), None),
    "assorted": (Assorted, lambda: ((torch.randn(3, 4), {"second": torch.randn(3, 4)}), {"sign": -1.0}), None),
    "dynamic": (
        Reshaped,
        lambda: ((torch.randn(4, 3),), {}),
        {"x": {0: 2 * torch.export.Dim("half", min=1, max=32)}},
    ),
}


def _sum(output: Any) -> torch.Tensor:
    if isinstance(output, torch.Tensor):
        return output.square().sum()
    parts = output.values() if isinstance(output, dict) else output
    return torch.stack([_sum(part) for part in parts]).sum()


def _exported(kind: str, path: Path) -> tuple[nn.Module, Inputs]:
    make, inputs, dynamic = MODELS[kind]
    torch.manual_seed(0)
    model, (args, kwargs) = make(), inputs()
    torch.export.save(torch.export.export(copy.deepcopy(model), args, kwargs, dynamic_shapes=dynamic), path)
    return model, (args, kwargs)


@pytest.mark.filterwarnings("ignore:The tensor attributes")
@pytest.mark.parametrize("kind", MODELS)
def test_an_honest_export_has_the_original_names_outputs_and_gradients(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    model, (args, kwargs) = _exported(kind, path)
    before = path.read_bytes()

    subject = load(str(path))

    assert (subject.format, subject.mode_fixed) == ("exported-program", True)
    assert subject.sha256 == hashlib.sha256(before).hexdigest()
    assert path.read_bytes() == before
    named = dict(model.named_parameters())
    loaded = dict(subject.module.named_parameters())
    assert {name: p.requires_grad for name, p in loaded.items()} == {name: p.requires_grad for name, p in named.items()}
    expected, measured = _sum(model(*args, **kwargs)), _sum(subject.module(*args, **kwargs))
    torch.testing.assert_close(measured, expected)
    torch.autograd.backward(expected)
    torch.autograd.backward(measured)
    for name, parameter in named.items():
        if parameter.grad is None:
            assert loaded[name].grad is None
        else:
            torch.testing.assert_close(loaded[name].grad, parameter.grad)
    batch = subject.example_inputs
    assert batch is not None
    torch.testing.assert_close((batch.args, dict(batch.kwargs)), (args, kwargs))
    assert batch.size == args[0].shape[0]


def test_a_dynamic_batch_stays_dynamic_and_a_fixed_one_is_remarked(tmp_path: Path) -> None:
    _exported("dynamic", tmp_path / "dynamic.pt2")
    _exported("mlp", tmp_path / "fixed.pt2")
    dynamic, fixed = load(str(tmp_path / "dynamic.pt2")), load(str(tmp_path / "fixed.pt2"))
    assert dynamic.module(torch.randn(8, 3)).shape == (8, 2)
    assert not any("first dimension" in remark for remark in dynamic.remarks)
    assert any("fixed to 3" in remark for remark in fixed.remarks)


@pytest.mark.parametrize("training", [True, False])
def test_the_baked_in_mode_is_told(training: bool, tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5), nn.BatchNorm1d(3)).train(training)
    torch.export.save(torch.export.export(model, (torch.randn(4, 3),)), tmp_path / "m.pt2")
    remarks = load(str(tmp_path / "m.pt2")).remarks
    assert any(remark.startswith("train mode" if training else "eval mode") for remark in remarks)


@pytest.mark.filterwarnings("ignore")
def test_trust_and_aten_programs_load_too(tmp_path: Path) -> None:
    program = torch.export.export(nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)).eval(), (torch.randn(4, 3),))
    torch.export.save(program.run_decompositions(), tmp_path / "aten.pt2")
    checked, trusted = load(str(tmp_path / "aten.pt2")), load(str(tmp_path / "aten.pt2"), trust=True)
    x = torch.randn(4, 3)
    assert torch.equal(checked.module(x), trusted.module(x))
    assert checked.example_inputs is not None
    assert trusted.example_inputs is not None
    assert torch.equal(checked.example_inputs.args[0], trusted.example_inputs.args[0])
    assert any(remark.startswith("eval mode") for remark in checked.remarks)


def test_an_export_without_values_is_refused(tmp_path: Path) -> None:
    _exported("mlp", tmp_path / "m.pt2")
    members = forge.unzipped(tmp_path / "m.pt2")
    members["model/data/weights/weight_0"] = b""
    members = {"model/" + name.partition("/")[2]: data for name, data in members.items()}
    with pytest.raises(ModelError) as caught:
        load(forge.written(tmp_path, forge.zipped(members)))
    assert caught.value.slug == "no-values"


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("Symbol('s77', positive=True, integer=True)", True),
        ("Mul(Integer(2), Symbol('s77', integer=True))", True),
        ("Pow(Symbol('s0', integer=True), Integer(2))", True),
        ("s0//2 + 3*s1 - Max(1, u0)", True),
        ("Eq(Mod(s0, 2), 0)", True),
        ("__import__('os')", False),
        ("s0.__class__", False),
        ("Symbol('s0', integer=1)", False),
        ("Symbol('x')", False),
        ("Pow(Pow(9, 8), 8)", False),
        ("Pow(9, 99999)", False),
        ("9**9**9", False),
        ("(lambda: 1)()", False),
        ("Symbol('u999999999')", False),
        ("[s0 for s0 in s1]", False),
        ("f'{s0}'", False),
        ("Integer('1')", False),
        ("s0 if s1 else s2", False),
        ("factorial(99999999)", False),
        ("1" * 3000, False),
        ("(" * 1000 + "1" + ")" * 1000, False),
        ("", False),
    ],
)
def test_the_grammar_of_shape_expressions(text: str, allowed: bool) -> None:
    assert is_allowed(text) is allowed


class Optional(nn.Module):
    """Two inputs, of which one is optional, and a keyword."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 8), nn.Linear(8, 2)

    def forward(self, x: torch.Tensor, mask: Any = None, *, scale: Any = None) -> torch.Tensor:
        h = torch.relu(self.first(x))
        h = h if mask is None else h * mask
        return self.second(h if scale is None else h * scale)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [(("x",), ()), ((), ("x",)), (("x", "mask"), ()), (("x",), ("mask",)), (("x", "mask"), ("scale",))],
    ids=lambda names: "-".join(names) or "none",
)
def test_data_by_name_reach_a_program_in_the_way_it_was_exported(
    args: tuple[str, ...], kwargs: tuple[str, ...], tmp_path: Path
) -> None:
    given = {"x": torch.randn(16, 4), "mask": torch.ones(16, 8), "scale": torch.full((16, 8), 2.0)}
    asked = {name: given[name] for name in (*kwargs, *args)}  # in another order than forward's
    program = torch.export.export(Optional(), tuple(given[n] for n in args), {n: given[n] for n in kwargs})
    torch.export.save(program, tmp_path / "model.pt2")
    diagnosis = gradcheck_cli.diagnose(tmp_path / "model.pt2", data={**asked, "y": torch.arange(16) % 2}, batch_size=16)
    assert (diagnosis.verdict.value, diagnosis.sample.loss) == ("healthy", "cross-entropy")


def test_sample_inputs_that_export_has_marked_are_read(tmp_path: Path) -> None:
    """`Dim.DYNAMIC` leaves notes on the example, which is then saved as a tensor with attributes."""
    shapes = ({0: torch.export.Dim.DYNAMIC},)
    program = torch.export.export(nn.Sequential(nn.Linear(4, 2)), (torch.randn(8, 4),), dynamic_shapes=shapes)
    torch.export.save(program, tmp_path / "model.pt2")
    example = load(str(tmp_path / "model.pt2")).example_inputs
    assert example is not None
    assert example.args[0].shape == (8, 4)
