"""Where the report goes, and what happens where it cannot go there."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from command_line import CommandLine, on_terminal, troublesome

from gradcheck_cli import store
from gradcheck_cli.cli.app import run
from gradcheck_cli.records import Diagnosis
from gradcheck_cli.render import json_v1
from gradcheck_cli.worker import supervise


@pytest.fixture
def gradcheck(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


@pytest.fixture
def diagnosis() -> Diagnosis:
    return troublesome()


@pytest.fixture
def kept(gradcheck: CommandLine, diagnosis: Diagnosis, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """A folder in which `diagnosis` is the last run."""
    monkeypatch.chdir(gradcheck.folder)
    store.keep(diagnosis)
    return gradcheck


def test_full_disk(kept: CommandLine) -> None:
    for arguments in (["report"], ["report", "--json"], ["--help"]):
        with Path("/dev/full").open("w") as full:
            ran = kept(*arguments, stdout=full)
        assert ran.returncode == 2
        assert ran.stderr.startswith(
            "gradcheck: error[cannot-write]: stdout: cannot be written (No space left on device)"
        )
        assert len(ran.stderr.splitlines()) == 1


def test_closed_pipe(kept: CommandLine) -> None:
    for arguments in (["report"], ["report", "--json"], ["--help"]):
        reader, writer = os.pipe()
        os.close(reader)
        ran = kept(*arguments, stdout=writer)
        os.close(writer)
        assert (ran.returncode, ran.stderr) == (141, "")


def test_closed_stdout(kept: CommandLine) -> None:
    command = " ".join([*kept.command, "report", ">&-"])
    ran = subprocess.run(command, shell=True, cwd=kept.folder, env=kept.environment, stderr=subprocess.PIPE, text=True)
    assert ran.returncode == 2
    assert ran.stderr.startswith("gradcheck: error[cannot-write]: stdout: ")


def test_closed_stderr_does_not_matter(kept: CommandLine) -> None:
    command = " ".join([*kept.command, "report", "--nonsense", "2>&-"])
    assert subprocess.run(command, shell=True, cwd=kept.folder, env=kept.environment).returncode == 2


def test_output_file(kept: CommandLine, diagnosis: Diagnosis, capsys: pytest.CaptureFixture[str]) -> None:
    report = kept.folder / "report.json"
    report.write_text("older")
    assert run(["report", "--json", "--output", str(report)]) == 1
    assert report.read_text() == json_v1.render(diagnosis)
    assert run(["report", "--output", "report.txt"]) == 1
    assert "first\\x1b[31m" in (kept.folder / "report.txt").read_text()
    assert capsys.readouterr() == ("", "")


def test_output_that_cannot_be_written(kept: CommandLine, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(kept.folder.rglob("*"))
    for place in ("/dev/full", "nowhere/report.json", "."):
        assert run(["report", "--json", "--output", place]) == 2
        stdout, stderr = capsys.readouterr()
        assert stderr.startswith(f"gradcheck: error[cannot-write]: {place}: cannot be written (")
        assert json.loads(stdout)["error"]["file"] == place
    assert sorted(kept.folder.rglob("*")) == before


def test_quiet_shows_nothing(kept: CommandLine, diagnosis: Diagnosis, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", "--quiet"]) == 1
    assert capsys.readouterr() == ("", "")
    assert run(["report", "--quiet", "--json"]) == 1
    assert capsys.readouterr() == (json_v1.render(diagnosis), "")


def test_run_that_cannot_be_kept_is_shown_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, diagnosis: Diagnosis, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(supervise, "measure", lambda order, listener, time_limit: diagnosis)
    (tmp_path / ".gradcheck").write_text("a file where a folder should be")
    assert run(["diagnose", "model.pt", "--json"]) == 1
    stdout, stderr = capsys.readouterr()
    assert stdout == json_v1.render(diagnosis)
    (line,) = stderr.splitlines()
    assert line.startswith("gradcheck: warning[run-not-kept]: .gradcheck: ")


def test_report_without_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["report", "--json"]) == 2
    stdout, stderr = capsys.readouterr()
    assert json.loads(stdout)["error"]["slug"] == "no-kept-run"
    assert stderr.startswith("gradcheck: error[no-kept-run]: .gradcheck: ")


def test_colours_only_for_a_terminal_that_wants_them(kept: CommandLine) -> None:
    shown = {option: on_terminal(kept, option) for option in ("--verbose", "--no-color")}
    assert b"\x1b[" in shown["--verbose"]
    assert b"\x1b" not in shown["--no-color"]
    assert b"first\\x1b[31m" in shown["--no-color"]
