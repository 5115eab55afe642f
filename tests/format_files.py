"""One saver for each way in which a network is kept on disk: writes files into a folder and returns what to pass on."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

Saver = Callable[[nn.Module, Path], Path]
_jit: Any = torch.jit  # has no types


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


def _directory(module: nn.Module, folder: Path) -> Path:
    (folder / "x").mkdir()
    (folder / "x" / "config.json").write_text(json.dumps({"architectures": ["NetOfMine"], "model_type": "mine"}))
    safetensors.torch.save_file(module.state_dict(), folder / "x" / "model.safetensors")
    return folder / "x"


def pickled(module: nn.Module, folder: Path) -> Path:
    """The module itself; foreign where its class is not torch's."""
    torch.save(module, folder / "x.pt")
    return folder / "x.pt"


def _legacy_pickled(module: nn.Module, folder: Path) -> Path:
    torch.save(module, folder / "x.pt", _use_new_zipfile_serialization=False)
    return folder / "x.pt"


BARE: dict[str, Saver] = {
    "state-dict": _state_dict,
    "legacy": _legacy,
    "checkpoint": _checkpoint,
    "lightning": _lightning,
    "safetensors": _safetensors,
    "sharded-safetensors": functools.partial(_sharded, ending="safetensors"),
    "sharded-bin": functools.partial(_sharded, ending="bin"),
    "directory": _directory,
    "foreign-module": pickled,
    "legacy-module": _legacy_pickled,
}
"""Those that need ``--arch``."""


def exported(module: nn.Module, folder: Path, sample: torch.Tensor) -> Path:
    """Of torch.export, with the size of `sample` fixed."""
    torch.export.save(torch.export.export(module, (sample,)), folder / "x.pt2")
    return folder / "x.pt2"


def scripted(module: nn.Module, folder: Path) -> Path:
    """TorchScript from the source of the module."""
    torch.jit.save(_jit.script(module), folder / "x.pt")
    return folder / "x.pt"


def traced(module: nn.Module, folder: Path, sample: torch.Tensor) -> Path:
    """TorchScript from one run."""
    torch.jit.save(_jit.trace(module, sample), folder / "x.pt")
    return folder / "x.pt"


def onnx_by_old_exporter(module: nn.Module, folder: Path, sample: torch.Tensor) -> Path:
    """ONNX from torch's exporter over TorchScript, as people call it."""
    torch.onnx.export(module, (sample,), folder / "x.onnx", dynamo=False, opset_version=17)
    return folder / "x.onnx"


def onnx_by_dynamo(module: nn.Module, folder: Path, sample: torch.Tensor) -> Path:
    """ONNX from torch's new exporter, with every parameter kept (its optimiser drops those that are zero)."""
    torch.onnx.export(
        module, (sample,), folder / "x.onnx", dynamo=True, opset_version=20, optimize=False, verbose=False
    )
    return folder / "x.onnx"
