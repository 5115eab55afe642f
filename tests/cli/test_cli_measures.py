"""Real measurements through the real processes: what a user sees on stdout, on stderr and as the exit status."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from command_line import CommandLine

ERROR_KEYS = {"slug", "file", "message", "hint"}


@pytest.fixture
def gradcheck(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def test_report_alone_is_on_stdout_and_is_kept(gradcheck: CommandLine) -> None:
    ran = gradcheck("diagnose", "habits:Prints", "--data", "x.npy", "--json", "--fail-on", "none")
    assert ran.returncode == 0
    report = json.loads(ran.stdout)
    assert report["verdict"] != "a lie"
    assert {"first", "second"} <= {layer["name"] for layer in report["layers"]}
    printed = ran.stderr.splitlines()
    assert '{"schema_version": 1, "verdict": "a lie"}' in printed
    assert "straight to the descriptor" in printed
    assert "red \\x1b[31malert" in printed
    assert "\x1b" not in ran.stderr
    assert "\\x3a:error title=a lie::the model says so" in printed
    assert "  \\x3a:add-mask::secret" in printed
    assert "of the \\x23#[error]old kind" in printed
    assert not any(line.lstrip().startswith("::") or "##[" in line for line in printed)

    assert (gradcheck.folder / ".gradcheck" / "last.json").read_text() == ran.stdout
    again = gradcheck("report", "--json", "--fail-on", "none")
    assert (again.returncode, again.stdout, again.stderr) == (0, ran.stdout, "")
    measured_again = gradcheck("report", "habits:Prints", "--data", "x.npy", "--json", "--fail-on", "none")
    assert measured_again.stdout == ran.stdout, "the same seed does not give the same bytes"
    table = gradcheck("report", "--fail-on", "none")
    assert table.returncode == 0
    assert "first" in table.stdout
    assert "\x1b" not in table.stdout


@pytest.mark.parametrize(
    ("habit", "slug", "words"),
    [
        ("Raises", "forward-failed", "ValueError: no \\x1b[31mthanks"),
        ("KillsItself", "worker-killed", "SIGSEGV"),
        ("Exits", "model-exited", "ended the process with status 0"),
        ("SysExits", "", "7"),
    ],
)
def test_models_own_failure_is_status_3(gradcheck: CommandLine, habit: str, slug: str, words: str) -> None:
    ran = gradcheck("diagnose", f"habits:{habit}", "--data", "x.npy", "--json")
    assert ran.returncode == 3
    error = json.loads(ran.stdout)["error"]
    assert set(error) == ERROR_KEYS
    assert error["slug"] == (slug or error["slug"])
    line = only_line(ran.stderr)
    assert line.startswith(f"gradcheck: error[{error['slug']}]: ")
    assert f"habits:{habit}" in line
    assert words in line
    assert not (gradcheck.folder / ".gradcheck").exists()


def test_memory_limit(gradcheck: CommandLine) -> None:
    ran = gradcheck("diagnose", "habits:Hoards", "--data", "x.npy", "--memory-limit", "500M")
    assert ran.returncode == 3
    assert only_line(ran.stderr).startswith("gradcheck: error[memory-limit]: habits:Hoards: ")
    assert "--memory-limit" in ran.stderr


def test_fault_of_our_own_is_status_70_with_a_traceback_for_debug(gradcheck: CommandLine) -> None:
    ran = gradcheck("diagnose", "habits:BreaksGradcheck", "--data", "x.npy", "--debug")
    assert (ran.returncode, ran.stdout) == (70, "")
    *before, line = ran.stderr.splitlines()
    assert line.startswith("gradcheck: error[internal]: ")
    assert "please report" in line
    assert before[0] == "Traceback (most recent call last):"
    assert before[-1] == "AssertionError: the fault"


def test_time_limit(gradcheck: CommandLine) -> None:
    ran = gradcheck("diagnose", "habits:Sleeps", "--data", "x.npy", "--time-limit", "1")
    assert (ran.returncode, ran.stdout) == (3, "")
    assert only_line(ran.stderr).startswith("gradcheck: error[time-limit]: habits:Sleeps: ")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_leaves_nothing(gradcheck: CommandLine, number: signal.Signals, status: int) -> None:
    process = gradcheck.start("diagnose", "habits:Sleeps", "--data", "x.npy", "--output", "report.txt")
    running = pids(gradcheck.folder)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (status, "")
    assert only_line(stderr).startswith("gradcheck: error[")
    assert_all_gone(running)
    assert {path.name for path in gradcheck.folder.iterdir()} - {"__pycache__"} == {"habits.py", "x.npy", "pids"}


def test_worker_ends_with_its_parent(gradcheck: CommandLine) -> None:
    process = gradcheck.start("diagnose", "habits:Sleeps", "--data", "x.npy")
    running = pids(gradcheck.folder)
    process.kill()
    process.communicate(timeout=60)
    assert_all_gone(running)


def test_progress_bar_on_a_terminal_survives_what_the_model_prints(gradcheck: CommandLine) -> None:
    terminal, theirs = os.openpty()
    process = gradcheck.start(
        "diagnose", "habits:Prints", "--data", "x.npy", "--json", "--fail-on", "none", stderr=theirs
    )
    os.close(theirs)
    shown = read_all(terminal).decode()
    stdout, _ = process.communicate(timeout=60)
    assert json.loads(stdout)["model"]["path"] == "habits:Prints"
    assert "starting" in shown
    assert "straight to the descriptor\r\n" in shown
    assert "red \\x1b[31malert" in shown
    assert shown.endswith("\x1b[2K"), "the bar is not wiped"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("missing.pt", None, "missing.pt"),
        ("model.pt", "truncated", "model.pt"),
        ("notes.pt", b"just some words\n", "text file"),
    ],
)
def test_unusable_file_is_status_2(gradcheck: CommandLine, name: str, content: bytes | str | None, words: str) -> None:
    if content == "truncated":
        import torch

        torch.save(torch.nn.Linear(30, 40), gradcheck.folder / name)
        content = (gradcheck.folder / name).read_bytes()[:3000]
    if isinstance(content, bytes):
        (gradcheck.folder / name).write_bytes(content)
    ran = gradcheck("diagnose", name, "--json")
    assert ran.returncode == 2
    line = only_line(ran.stderr)
    error = json.loads(ran.stdout)["error"]
    assert line.startswith(f"gradcheck: error[{error['slug']}]: {name}: ")
    assert words in line


def test_saved_model_is_measured_and_nothing_else_written(gradcheck: CommandLine) -> None:
    import torch

    torch.manual_seed(0)
    torch.save(torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU()), gradcheck.folder / "model.pt")
    ran = gradcheck("diagnose", "model.pt", "--data", "x.npy", "--fail-on", "none")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "model.pt" in ran.stdout
    names = {path.name for path in gradcheck.folder.iterdir()}
    assert names == {"habits.py", "x.npy", "model.pt", ".gradcheck"}


def test_nothing_that_lies_beside_a_file_is_run(gradcheck: CommandLine) -> None:
    for name in ("torch", "numpy", "json", "msgspec", "gradcheck_cli", "sitecustomize"):
        (gradcheck.folder / f"{name}.py").write_text(f"open('ran-{name}', 'w').close()\n")
    (gradcheck.folder / "model.pt").write_text("no model\n" * 100)
    ran = gradcheck("diagnose", "model.pt")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert only_line(ran.stderr).startswith("gradcheck: error[not-a-model]: model.pt: ")
    assert list(gradcheck.folder.glob("ran-*")) == []


def test_foreign_pickle_does_not_run(gradcheck: CommandLine) -> None:
    import torch

    torch.save(Payload(), gradcheck.folder / "model.pt")
    ran = gradcheck("diagnose", "model.pt")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert only_line(ran.stderr).startswith("gradcheck: error[")
    assert not (gradcheck.folder / "owned").exists()


class Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("owned",)


def only_line(text: str) -> str:
    (line,) = text.splitlines()
    return line


def pids(folder: Path) -> list[int]:
    """Wait until the model sleeps, and return the worker's id and its child's."""
    for _ in range(600):
        if (folder / "pids").exists():
            return [int(pid) for pid in (folder / "pids").read_text().split()]
        time.sleep(0.1)
    raise AssertionError("the model never ran")


def assert_all_gone(processes: list[int]) -> None:
    for _ in range(100):
        if not any(alive(pid) for pid in processes):
            return
        time.sleep(0.1)
    raise AssertionError(f"left running: {[pid for pid in processes if alive(pid)]}")


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be collected does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return not Path("/proc/self").exists()


def read_all(descriptor: int) -> bytes:
    read = b""
    while True:
        try:
            chunk = os.read(descriptor, 65536)
        except OSError:  # Linux: the other side of a terminal is closed
            chunk = b""
        if not chunk:
            os.close(descriptor)
            return read
        read += chunk
