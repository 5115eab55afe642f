"""Every sample model gets its true verdict and the right culprit, through the same path as on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gradcheck_cli.pipeline import diagnose

MODELS = Path(__file__).resolve().parents[2] / "sample_models"
TRUTH: dict[str, dict[str, Any]] = json.loads((MODELS / "truth.json").read_text())


def data_beside(name: str) -> str | None:
    path = MODELS / f"{name.partition(':')[0].rpartition('.')[0]}.npz"
    return str(path) if path.exists() else None


def test_every_file_has_a_truth() -> None:
    files = {path.name for path in MODELS.iterdir() if path.suffix in (".pt", ".pt2", ".onnx")}
    assert files == {name for name in TRUTH if ":" not in name}


@pytest.mark.parametrize("name", TRUTH)
def test_true_verdict_and_culprit(name: str) -> None:
    truth = TRUTH[name]
    found = diagnose(str(MODELS / name), data=data_beside(name))
    assert found.verdict == truth["verdict"], found.summary
    assert bool(found.culprits) == bool(truth["culprits"])
    assert set(found.culprits) <= set(truth["culprits"])


@pytest.mark.parametrize("name", [name for name in TRUTH if ":" not in name])
def test_verdict_stays_on_half_the_sample_and_another_seed(name: str) -> None:
    found = diagnose(str(MODELS / name), data=data_beside(name), batches=2, seed=1)
    assert found.verdict == TRUTH[name]["verdict"], found.summary
