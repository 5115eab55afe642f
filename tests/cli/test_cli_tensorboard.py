"""``--tensorboard DIR`` as a user gives it."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import REPOSITORY, CommandLine, troublesome
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gradcheck_cli import store
from gradcheck_cli.cli.app import run

MODELS = REPOSITORY / "sample_models"


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a kept run."""
    monkeypatch.chdir(tmp_path)
    store.keep(troublesome())
    return tmp_path


def test_checkpoints_of_a_run(tmp_path: Path) -> None:
    gradcheck = CommandLine(tmp_path)
    for step in (2, 10):
        shutil.copy(MODELS / "relu_mlp.pt", gradcheck.folder / f"step_{step}.pt")
    data = str(MODELS / "relu_mlp.npz")
    models = ["step_10.pt", "step_2.pt"]
    ran = gradcheck("diagnose", *sorted(models), "--data", data, "--rehearse", "0", "--tensorboard", "runs/a")
    assert ran.returncode in (0, 1), ran.stderr
    assert "HEALTHY" in ran.stdout
    files = {path.name: path.read_bytes() for path in (gradcheck.folder / "runs" / "a").iterdir()}
    assert len(files) == 2
    seen = EventAccumulator(str(gradcheck.folder / "runs" / "a"), size_guidance={"scalars": 0, "histograms": 0})
    seen.Reload()
    histograms = seen.Tags()["histograms"]
    assert histograms
    for tag in histograms:
        one, other = seen.Histograms(tag)
        assert (one.step, other.step) == (2, 10)
        assert one.histogram_value == other.histogram_value  # the same weights
    again = gradcheck("report", "--tensorboard", "runs/b", "--quiet")
    assert (again.returncode, again.stdout) == (ran.returncode, "")
    assert {path.name: path.read_bytes() for path in (gradcheck.folder / "runs" / "b").iterdir()} == files


def test_kept_run_needs_no_torch(kept: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(REPOSITORY)!r})\n"
        "from gradcheck_cli.cli.app import run\n"
        "assert run(['report', '--tensorboard', 'runs', '--quiet']) == 1\n"
        "assert 'torch' not in sys.modules and 'tensorflow' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=kept, check=True)
    assert len(list((kept / "runs").iterdir())) == 1


def test_missing_package_is_said_before_anything_is_measured(
    kept: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert run(["diagnose", "no such model.pt", "--tensorboard", "runs"]) == 2
    assert capsys.readouterr().err.startswith("gradcheck: error[missing-extra]: ")
    assert not (kept / "runs").exists()


@pytest.mark.parametrize("place", ["taken", "taken/below"])
def test_folder_that_is_a_file(kept: Path, place: str, capsys: pytest.CaptureFixture[str]) -> None:
    (kept / "taken").write_text("a file")
    assert run(["report", "--tensorboard", place, "--output", "report.json"]) == 2
    assert capsys.readouterr().err.startswith(f"gradcheck: error[cannot-write]: {place}: ")
    assert (kept / "taken").read_text() == "a file"
    assert not (kept / "report.json").exists()


def test_comparison_is_not_for_tensorboard(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", "a.json", "b.json", "--tensorboard", "runs"]) == 2
    assert "gradcheck report" in capsys.readouterr().err


def test_settings_may_not_name_a_folder(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("pyproject.toml").write_text("[tool.gradcheck]\ntensorboard = 'runs'\n")
    assert run(["report"]) == 2
    assert "--tensorboard" in capsys.readouterr().err
