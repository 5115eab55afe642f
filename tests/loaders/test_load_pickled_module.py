from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from gradcheck_cli.errors import GradcheckError, NotCompleted
from gradcheck_cli.loaders import adopt, load
from gradcheck_cli.loaders.torch_names import functions, module_classes


def _tied() -> nn.Module:
    model = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6))
    model[2].weight = model[0].weight
    return model


def _convolutional() -> nn.Module:
    block = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
    shared = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.GELU())
    return nn.Sequential(block, shared, shared, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))


def _encoder(activation: Callable[..., torch.Tensor] | str) -> nn.Module:
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, activation=activation, batch_first=True)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.LayerNorm(8), nn.Linear(8, 2)), (3, 6)),
    "cnn-shared-in-place": (_convolutional, (2, 3, 8, 8)),
    "tied": (_tied, (3, 6)),
    "encoder": (lambda: _encoder("relu"), (2, 5, 8)),
    "encoder-torch-relu": (lambda: _encoder(torch.relu), (2, 5, 8)),
    "encoder-gelu": (lambda: _encoder(nn.functional.gelu), (2, 5, 8)),
    "lstm": (lambda: nn.LSTM(6, 4, num_layers=2, bidirectional=True), (5, 3, 6)),
    "gru": (lambda: nn.GRU(6, 4, batch_first=True), (5, 3, 6)),
    "spectral-free-bfloat16": (lambda: nn.Sequential(nn.Linear(6, 3)).bfloat16(), (3, 6)),
    "frozen": (lambda: nn.Sequential(nn.Linear(6, 3).requires_grad_(False), nn.PReLU(3)), (3, 6)),
}


def _first(output: torch.Tensor | tuple[torch.Tensor, ...]) -> torch.Tensor:
    return output if isinstance(output, torch.Tensor) else output[0]


@pytest.mark.parametrize("kind", MODELS)
def test_an_honest_module_comes_back_identical(kind: str, tmp_path: Path) -> None:
    make, shape = MODELS[kind]
    torch.manual_seed(0)
    model = make()
    path = tmp_path / "weird name.bin"
    torch.save(model, path)
    before = path.read_bytes()

    subject = load(str(path))

    assert (subject.path, subject.format) == (str(path), "torch-module")
    assert subject.sha256 == hashlib.sha256(before).hexdigest()
    assert path.read_bytes() == before
    names = [(name, parameter.requires_grad) for name, parameter in model.named_parameters()]
    assert [(name, parameter.requires_grad) for name, parameter in subject.module.named_parameters()] == names
    x = torch.randn(shape, dtype=next(model.parameters()).dtype)
    assert torch.equal(_first(model(x)), _first(subject.module(x)))


def test_tied_and_shared_parts_stay_one(tmp_path: Path) -> None:
    torch.save(_tied(), tmp_path / "tied.pt")
    module = load(str(tmp_path / "tied.pt")).module
    assert module.get_parameter("0.weight") is module.get_parameter("2.weight")
    torch.save(_convolutional(), tmp_path / "shared.pt")
    shared = load(str(tmp_path / "shared.pt")).module
    assert shared.get_submodule("1") is shared.get_submodule("2")


_ARGUMENTS: tuple[tuple[object, ...], ...] = (
    (),
    (3,),
    (4, 2),
    (4, 2, 2),
    (3, 4, 5),
    ([2],),
    (4, (2, 2)),
    (4, 8, [3, 5]),
)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", [path for path in module_classes() if "Lazy" not in path])
def test_every_class_of_torch_nn_loads(path: str, tmp_path: Path) -> None:
    module = None
    for arguments in _ARGUMENTS:
        try:
            module = module_classes()[path](*arguments)
            break
        except (TypeError, ValueError, RuntimeError, AttributeError):
            continue
    if module is None:
        pytest.skip("abstract, or needs modules as arguments")
    torch.save(module, tmp_path / "one.pt")
    loaded = load(str(tmp_path / "one.pt")).module
    assert type(loaded) is type(module)
    assert vars(loaded).keys() == vars(module).keys()
    plain = (bool, int, float, str, tuple, torch.Tensor)
    for attribute, value in vars(module).items():
        if isinstance(value, plain):
            assert repr(vars(loaded)[attribute]) == repr(value)


@pytest.mark.parametrize("function", functions().values(), ids=functions().keys())
def test_every_listed_function_loads_where_a_layer_calls_it(
    function: Callable[..., torch.Tensor], tmp_path: Path
) -> None:
    layer = nn.TransformerEncoderLayer(4, 2, 4)
    layer.activation = function
    torch.save(layer, tmp_path / "layer.pt")
    assert load(str(tmp_path / "layer.pt")).module.activation is function


class Foreign(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)  # type: ignore[no-any-return]


def test_a_foreign_class_is_named_and_trust_loads_it(tmp_path: Path) -> None:
    torch.save(Foreign(), tmp_path / "foreign.pt")
    with pytest.raises(GradcheckError, match=r"\.Foreign") as caught:
        load(str(tmp_path / "foreign.pt"))
    assert caught.value.slug == "foreign-class"
    assert "--trust" in caught.value.hint
    assert type(load(str(tmp_path / "foreign.pt"), trust=True).module) is Foreign


@pytest.mark.parametrize(
    ("content", "slug"),
    [
        (nn.LazyLinear(3), "uninitialized-parameters"),
        (nn.Linear(2, 2, device="meta"), "no-values"),
        (torch.nn.Parameter(torch.zeros(3)), "not-a-model"),
    ],
)
def test_a_module_without_values_is_refused(content: object, slug: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(GradcheckError) as caught:
        load(str(tmp_path / "x.pt"))
    assert caught.value.slug == slug


def test_trust_says_what_went_wrong(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(2)}, tmp_path / "x.pt")
    with pytest.raises(GradcheckError) as caught:
        load(str(tmp_path / "x.pt"), trust=True)
    assert caught.value.slug == "needs-architecture"


def test_adopt_takes_a_module_as_it_is() -> None:
    module = nn.Linear(2, 2)
    subject = adopt(module, "mine")
    assert (subject.module, subject.path, subject.format, subject.sha256) == (module, "mine", "in-memory", None)
    with pytest.raises(GradcheckError) as caught:
        adopt(nn.LazyLinear(2))
    assert caught.value.slug == "uninitialized-parameters"
    with pytest.raises(GradcheckError) as caught:
        adopt({"a": 1})  # type: ignore[arg-type]
    assert caught.value.slug == "not-a-module"


def test_an_architecture_is_refused_where_none_is_needed(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "x.pt")
    with pytest.raises(GradcheckError) as caught:
        load(str(tmp_path / "x.pt"), arch="a:b")
    assert caught.value.slug == "needless-arch"


def test_too_little_memory_is_not_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "x.pt")

    def starved(*args: object, **options: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(torch, "load", starved)
    with pytest.raises(NotCompleted) as caught:
        load(str(tmp_path / "x.pt"))
    assert caught.value.slug == "out-of-memory"


def test_importing_the_load_stage_imports_no_torch() -> None:
    code = "import sys, json, gradcheck_cli.loaders; print(json.dumps([m for m in ('torch', 'numpy') if m in sys.modules]))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert json.loads(answer.stdout) == []
