"""Whatever is done to an honest file, the answer is a Subject or a GradcheckError, never anything else."""

from __future__ import annotations

import io
import random
from pathlib import Path

import forged_files as forge
import pytest
import torch
from torch import nn

from gradcheck_cli.errors import GradcheckError
from gradcheck_cli.loaders import load
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


def _outcome(path: str) -> str:
    """`Subject`, or the slug of the refusal; every other exception fails the test."""
    try:
        return type(load(path)).__name__
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
