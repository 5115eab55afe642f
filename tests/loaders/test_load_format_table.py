"""One table: every format that can hold a network gives the verdict, the layers and the readings of the module itself."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import format_networks
import msgspec
import pytest
import safetensors.torch
import torch
from format_networks import NETWORKS
from torch import nn

from gradcheck_cli import pipeline
from gradcheck_cli.records import Diagnosis

_jit: Any = torch.jit  # has no types


def _sample(kind: str) -> torch.Tensor:
    return torch.randn(NETWORKS[kind][1], generator=torch.Generator().manual_seed(1))


@functools.cache
def _expected(kind: str) -> Diagnosis:
    return pipeline.diagnose(NETWORKS[kind][0](), _sample(kind), rehearse=0)


def _state_dict(module: nn.Module, folder: Path) -> Path:
    torch.save(module.state_dict(), folder / "x.pth")
    return folder / "x.pth"


def _legacy(module: nn.Module, folder: Path) -> Path:
    torch.save(module.state_dict(), folder / "x.bin", _use_new_zipfile_serialization=False)
    return folder / "x.bin"


def _checkpoint(module: nn.Module, folder: Path) -> Path:
    wrapped = {f"module.{name}": value for name, value in module.state_dict().items()}
    optimizer = torch.optim.Adam(module.parameters()).state_dict()
    torch.save({"epoch": 3, "model_state_dict": wrapped, "optimizer": optimizer}, folder / "x.pt")
    return folder / "x.pt"


class Hyper:
    """A class of the user's own, as Lightning pickles them."""

    def __init__(self) -> None:
        self.rate, self.me = 0.1, self


def _lightning(module: nn.Module, folder: Path) -> Path:
    wrapped = {f"net.{name}": value for name, value in module.state_dict().items()}
    content = {"pytorch-lightning_version": "2.5.0", "state_dict": wrapped, "hyper_parameters": Hyper()}
    torch.save(content, folder / "x.ckpt")
    return folder / "x.ckpt"


def _safetensors(module: nn.Module, folder: Path) -> Path:
    safetensors.torch.save_file(module.state_dict(), folder / "x.safetensors")
    return folder / "x.safetensors"


def _sharded(module: nn.Module, folder: Path, ending: str) -> Path:
    state = module.state_dict()
    table = {name: f"part-{index % 2}.{ending}" for index, name in enumerate(state)}
    for file in set(table.values()):
        part = {name: state[name] for name in state if table[name] == file}
        safetensors.torch.save_file(part, folder / file) if ending == "safetensors" else torch.save(part, folder / file)
    (folder / f"x.{ending}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": table}))
    return folder / f"x.{ending}.index.json"


def _foreign_module(module: nn.Module, folder: Path) -> Path:
    torch.save(module, folder / "x.pt")
    return folder / "x.pt"


def _legacy_module(module: nn.Module, folder: Path) -> Path:
    torch.save(module, folder / "x.pt", _use_new_zipfile_serialization=False)
    return folder / "x.pt"


def _module(module: nn.Module, folder: Path) -> Path:
    torch.save(format_networks.of_torch_alone(module), folder / "x.pt")
    return folder / "x.pt"


BARE: dict[str, Callable[[nn.Module, Path], Path]] = {
    "state-dict": _state_dict,
    "legacy": _legacy,
    "checkpoint": _checkpoint,
    "lightning": _lightning,
    "safetensors": _safetensors,
    "sharded-safetensors": functools.partial(_sharded, ending="safetensors"),
    "sharded-bin": functools.partial(_sharded, ending="bin"),
    "foreign-module": _foreign_module,
    "legacy-module": _legacy_module,
}
_LOSES_OUTPUT = pytest.mark.xfail(strict=True, reason="of a module with several outputs the probe sees the last alone")
CASES = [
    pytest.param(form, kind, marks=_LOSES_OUTPUT if (form, kind) == ("exported", "lstm") else ())
    for form in (*BARE, "trusted-module", "module", "exported", "scripted", "traced")
    for kind in NETWORKS
    # Tracing attention fails in torch itself.
    if (form, kind)
    not in (
        ("module", "lstm"),
        ("traced", "transformer"),
    )  # its forward is the user's own: it is not made of torch.nn classes alone
]


OTHER_OUTPUTS = {
    # It uses its output layer without calling it, so that only here is it a leaf, whose values are looked at.
    ("exported", "MultiheadAttention"),
    ("scripted", "MultiheadAttention"),
    # A trace keeps only those of a module's outputs that are used: not the last states.
    ("traced", "LSTM"),
}
"""Format and kind of layer of which the values, not the gradients, are others."""


def _diagnosed(form: str, kind: str, folder: Path) -> Diagnosis:
    module = NETWORKS[kind][0]()
    sample = _sample(kind)
    if form in BARE:
        arch = f"format_networks:scrambled_{kind}"
        return pipeline.diagnose(BARE[form](module, folder), sample, arch=arch, rehearse=0)
    if form == "trusted-module":
        return pipeline.diagnose(_foreign_module(module, folder), sample, trust=True, rehearse=0)
    if form == "module":
        return pipeline.diagnose(_module(module, folder), sample, rehearse=0)
    if form in ("scripted", "traced"):
        torch.jit.save(_jit.script(module) if form == "scripted" else _jit.trace(module, sample), folder / "x.pt")
        return pipeline.diagnose(folder / "x.pt", sample, trust=True, batch_size=len(sample), rehearse=0)
    torch.export.save(torch.export.export(module, (sample,)), folder / "x.pt2")
    return pipeline.diagnose(folder / "x.pt2", sample, batch_size=len(sample), rehearse=0)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("form", "kind"), CASES)
def test_the_format_changes_nothing(form: str, kind: str, tmp_path: Path) -> None:
    expected, found = _expected(kind), _diagnosed(form, kind, tmp_path)
    assert expected.verdict.value == NETWORKS[kind][2]
    assert (found.verdict, found.culprits) == (expected.verdict, expected.culprits)
    assert _layers(found) == _layers(expected)
    for layer, other in zip(found.layers, expected.layers, strict=True):
        assert layer.parameters == other.parameters
        readings = msgspec.to_builtins(layer.readings)
        own = msgspec.to_builtins(other.readings)
        if (form, other.kind) in OTHER_OUTPUTS:
            readings.pop("output_rms", None), own.pop("output_rms", None)
        _assert_close(readings, own, layer.name)


def _layers(diagnosis: Diagnosis) -> list[tuple[str, str]]:
    return [(layer.name, layer.verdict.value) for layer in diagnosis.layers]


def _assert_close(found: dict[str, float], expected: dict[str, float], name: str) -> None:
    assert found.keys() == expected.keys(), name
    for reading, value in expected.items():
        # A gradient that is zero by structure is seen as rounding noise, which any other order of sums changes.
        assert math.isclose(found[reading], value, rel_tol=1e-5, abs_tol=1e-9), (name, reading)
