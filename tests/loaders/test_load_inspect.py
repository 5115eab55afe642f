"""`inspect` tells of every kind of file what it holds, and reads no more of it than it must."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import forged_files as forge
import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from gradcheck_cli.errors import GradcheckError
from gradcheck_cli.loaders import inspect, load
from gradcheck_cli.loaders.facts import FileFacts


class Foreign(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)  # type: ignore[no-any-return]


def _state(path: Path) -> None:
    torch.save(Foreign().state_dict(), path)


def _old(path: Path) -> None:
    torch.save(Foreign().state_dict(), path, _use_new_zipfile_serialization=False)


def _safetensors(path: Path) -> None:
    safetensors.torch.save_file(Foreign().state_dict(), path)


def _pickled(path: Path) -> None:
    torch.save(Foreign(), path)


def _of_torch(path: Path) -> None:
    torch.save(nn.ModuleDict({"body": Foreign().body}), path)


def _exported(path: Path) -> None:
    shapes = {"x": {0: torch.export.Dim("batch", min=2, max=64)}}
    torch.export.save(torch.export.export(Foreign().eval(), (torch.ones(4, 3),), dynamic_shapes=shapes), path)


WRITERS: dict[str, tuple[Callable[[Path], None], str]] = {
    "state-dict": (_state, "--arch package.module:factory"),
    "legacy-torch-save": (_old, "--arch package.module:factory"),
    "safetensors": (_safetensors, "--arch package.module:factory"),
    "pickled-module": (_pickled, "--arch test_load_inspect:Foreign"),
    "of-torch": (_of_torch, ""),
    "exported-program": (_exported, ""),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", WRITERS)
def test_names_shapes_and_command(form: str, tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    write, option = WRITERS[form]
    write(path)
    facts = inspect(str(path))
    assert facts.format == ("pickled-module" if form == "of-torch" else form)
    shapes = {name: tuple(value.shape) for name, value in Foreign().state_dict().items()}
    assert {tensor.name: tensor.shape for tensor in facts.tensors} == shapes
    assert facts.parameters == 3 * 4 + 4 + 4 * 4 + 1
    assert {layer.name for layer in facts.layers} == {"body.0", "body.1"}
    assert facts.bytes == path.stat().st_size
    assert facts.runs_code == (form == "pickled-module")
    command = f"gradcheck diagnose {path} {option}".rstrip()
    assert facts.command == command
    assert bool(facts.needs) == bool(option)
    arch = option.rpartition(" ")[2].replace("package.module:factory", "test_load_inspect:Foreign") or None
    assert load(str(path), arch=arch).sha256 == facts.sha256
    if "module" in facts.format:
        assert [layer.kind for layer in facts.layers] == ["Linear", "BatchNorm1d"]
    if form == "exported-program":
        (given,) = facts.inputs
        assert (given.name, given.dtype, given.shape[1:]) == ("x", "float32", (3,))
        assert isinstance(given.shape[0], str)


def test_other_weights_in_the_file_are_named(tmp_path: Path) -> None:
    state, other = Foreign().state_dict(), Foreign().state_dict()
    torch.save({"model": state, "ema": other, "optimizer": {"state": {0: {"step": torch.ones(1)}}}}, tmp_path / "x.pt")
    facts = inspect(str(tmp_path / "x.pt"))
    assert facts.found_under == "model"
    assert facts.remarks == ("weights are also under ema",)


def test_an_unsafe_module_says_why(tmp_path: Path) -> None:
    hooked = forge.relu(_forward_hooks=forge.ordered({"0": forge.name("torch.nn.functional.relu")}))
    facts = inspect(forge.written(tmp_path, forge.archive(hooked)))
    assert facts.runs_code
    assert "hooks" in facts.remarks[0]


def test_what_cannot_be_measured_is_still_told(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros(3))
    facts = inspect(str(tmp_path / "x.npy"))
    assert (facts.format, facts.command) == ("numpy", "")
    assert "--data" in facts.needs
    facts = inspect(forge.written(tmp_path, b"cos\nsystem\n(S'true'\ntR."))
    assert (facts.format, facts.runs_code, facts.code) == ("plain-pickle", True, ("os.system",))
    facts = inspect("package.module:thing")
    assert isinstance(facts, FileFacts)
    assert (facts.format, facts.sha256) == ("entry-point", None)
    with pytest.raises(GradcheckError) as caught:
        inspect(str(tmp_path / "nothing.pt"))
    assert caught.value.slug == "missing-file"


def test_a_program_with_code_in_it_is_not_opened(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), tmp_path / "x.pt")
    facts = inspect(str(tmp_path / "x.pt"))
    assert (facts.format, facts.runs_code, facts.command) == (
        "torchscript",
        True,
        f"gradcheck diagnose {tmp_path / 'x.pt'} --trust",
    )
