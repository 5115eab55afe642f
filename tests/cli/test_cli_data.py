"""What users get wrong with their data, through the real processes: status 2, one line that says both sides, no traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import CommandLine
from torch import nn

GOOD = np.linspace(-1, 1, 60, dtype=np.float32).reshape(20, 3)


@pytest.fixture
def gradcheck(tmp_path: Path) -> CommandLine:
    command = CommandLine(tmp_path)
    torch.manual_seed(0)
    torch.save(nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)), command.folder / "model.pt")
    torch.save(nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 2)), command.folder / "tokens.pt")
    return command


def with_nan() -> Any:
    array = GOOD.copy()
    array[3, 1] = np.nan
    return array


@pytest.mark.parametrize(
    ("model", "arrays", "slug", "words"),
    [
        ("model.pt", {"x": np.ones((20, 4), np.float32)}, "data-does-not-fit", ["(20, 4)", "3"]),
        ("tokens.pt", {"x": GOOD}, "data-does-not-fit", ["float32", "Embedding"]),
        ("model.pt", {"x": np.ones((0, 3), np.float32)}, "empty-data", ["0"]),
        ("model.pt", {"x": with_nan()}, "non-finite-data", ["1 of 60"]),
        ("model.pt", {"x": GOOD, "y": np.full(20, 7)}, "target-does-not-fit", ["7", "2"]),
        ("model.pt", {"x": GOOD, "y": np.zeros(19, np.int64)}, "target-does-not-fit", ["19", "20"]),
    ],
    ids=["wrong shape", "wrong dtype", "empty", "NaN", "class out of range", "target of another length"],
)
def test_data_that_cannot_be_used(
    gradcheck: CommandLine, model: str, arrays: dict[str, Any], slug: str, words: list[str]
) -> None:
    np.savez(gradcheck.folder / "data.npz", **arrays)
    ran = gradcheck("diagnose", model, "--data", "data.npz", "--json")
    assert ran.returncode == 2
    error = json.loads(ran.stdout)["error"]
    assert (error["slug"], error["file"]) == (slug, "data.npz")
    assert [word for word in words if word not in error["message"]] == []
    assert error["hint"]
    (line,) = ran.stderr.splitlines()
    assert line.startswith(f"gradcheck: error[{slug}]: data.npz: ")
    assert not (gradcheck.folder / ".gradcheck").exists()


def test_good_data_of_the_same_model_is_measured(gradcheck: CommandLine) -> None:
    np.savez(gradcheck.folder / "data.npz", x=GOOD, y=np.arange(20) % 2)
    ran = gradcheck("diagnose", "model.pt", "--data", "data.npz", "--json")
    assert (ran.returncode, ran.stderr) == (0, "")
    report = json.loads(ran.stdout)
    assert (report["sample"]["samples"], report["sample"]["loss"]) == (20, "cross-entropy")
