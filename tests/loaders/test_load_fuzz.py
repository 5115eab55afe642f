"""Whatever is done to an honest file, the answer is a Subject or a GradcheckError, never anything else."""

from __future__ import annotations

import io
import json
import random
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forged_files as forge
import pytest
import safetensors.torch
import torch
from torch import nn

from gradcheck_cli.errors import GradcheckError
from gradcheck_cli.loaders import inspect, load
from gradcheck_cli.records import Subject


def _honest() -> nn.Module:
    layer = nn.TransformerEncoderLayer(4, 2, 4, activation=torch.relu)
    return nn.Sequential(nn.Conv1d(2, 4, 1), nn.BatchNorm1d(4), nn.LSTM(4, 4), layer)


def _mutated(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at = rng.randrange(len(changed))
        kind = rng.randrange(4)
        if kind == 0:
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            changed[at] = rng.randrange(256)
        elif kind == 2:
            del changed[at : at + rng.randrange(1, 9)]
        else:
            changed[at:at] = rng.randbytes(rng.randrange(1, 9))
    return bytes(changed)


def _outcome(path: str, arch: str | None = None) -> str:
    """`Subject`, or the slug of the refusal; every other exception fails the test, in `inspect` too."""
    try:
        inspect(path)
        return type(load(path, arch=arch)).__name__
    except GradcheckError as error:
        refusal = error
    assert str(refusal).isprintable()
    return refusal.slug


@pytest.mark.filterwarnings("ignore")
def test_mutations_of_a_file_and_of_its_pickle(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save(_honest(), buffer)
    whole = buffer.getvalue()
    path = forge.written(tmp_path, whole)
    assert _outcome(path) == Subject.__name__
    members = forge.unzipped(Path(path))
    rng = random.Random(7)
    outcomes = set()
    for _ in range(150):
        outcomes.add(_outcome(forge.written(tmp_path, _mutated(whole, rng))))
        # With fresh checksums, so that the pickle's own checks are reached.
        inner = {**members, "archive/data.pkl": _mutated(members["archive/data.pkl"], rng)}
        outcomes.add(_outcome(forge.written(tmp_path, forge.zipped(inner))))
    assert {"unsafe-pickle", "damaged-file", "truncated-file"} <= outcomes
    assert outcomes <= {
        *("Subject", "unsafe-pickle", "foreign-class", "damaged-file", "truncated-file", "unsafe-archive"),
        *("load-failed", "unsupported-format", "not-a-model", "not-a-module", "uninitialized-parameters"),
    }


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x).reshape(x.shape[0], -1)  # type: ignore[no-any-return]


@pytest.mark.filterwarnings("ignore")
def test_mutations_of_an_exported_program(tmp_path: Path) -> None:
    shapes = {"x": {0: torch.export.Dim("batch", min=2, max=64)}}
    program = torch.export.export(_Net(), (torch.ones(4, 3),), dynamic_shapes=shapes)
    torch.export.save(program, tmp_path / "net.pt2")
    members = forge.unzipped(tmp_path / "net.pt2")
    rng = random.Random(11)
    targets = ("net/models/model.json", "net/data/weights/model_weights_config.json", "net/data/sample_inputs/model.pt")
    outcomes = set()
    for _ in range(60):
        target = rng.choice(targets)
        mutated = {**members, target: _mutated(members[target], rng)}
        outcomes.add(_outcome(forge.written(tmp_path, forge.zipped(mutated), "x.pt2")))
    assert {"unsafe-archive"} <= outcomes
    assert outcomes <= {
        *("Subject", "unsafe-archive", "unsafe-pickle", "load-failed", "damaged-file", "truncated-file"),
        *("no-values", "foreign-class", "not-a-model"),
    }


def architecture() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def _checkpoint(**options: Any) -> bytes:
    buffer = io.BytesIO()
    content = {"state_dict": architecture().state_dict(), "args": Namespace(a=[1, {"b": (2.0, None)}])}
    torch.save(content, buffer, **options)
    return buffer.getvalue()


WEIGHTS: dict[str, Callable[[], bytes]] = {
    "zip": _checkpoint,
    "zip-protocol-4": lambda: _checkpoint(pickle_protocol=4),
    "old": lambda: _checkpoint(_use_new_zipfile_serialization=False),
    "safetensors": lambda: safetensors.torch.save(architecture().state_dict()),
    "index": lambda: json.dumps({"weight_map": dict.fromkeys(architecture().state_dict(), "part.bin")}).encode(),
}
EXPECTED = {
    *("Subject", "weights-do-not-fit", "damaged-file", "truncated-file", "unsafe-pickle", "unsafe-archive"),
    *("not-a-model", "unsupported-format", "missing-file", "unsafe-path", "load-failed", "not-a-module"),
    *("foreign-class", "needless-arch"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", WEIGHTS)
def test_mutations_of_weights(form: str, tmp_path: Path) -> None:
    whole = WEIGHTS[form]()
    torch.save(architecture().state_dict(), tmp_path / "part.bin")
    arch = "test_load_fuzz:architecture"
    assert _outcome(forge.written(tmp_path, whole), arch) == Subject.__name__
    members = forge.unzipped(tmp_path / "model.pt") if form.startswith("zip") else {}
    rng = random.Random(form)
    outcomes = set()
    for _ in range(100):
        outcomes.add(_outcome(forge.written(tmp_path, _mutated(whole, rng)), arch))
        if members:  # with fresh checksums, so that the pickle itself is reached
            inner = {**members, "archive/data.pkl": _mutated(members["archive/data.pkl"], rng)}
            outcomes.add(_outcome(forge.written(tmp_path, forge.zipped(inner)), arch))
    assert len(outcomes) > 2
    assert outcomes <= EXPECTED
