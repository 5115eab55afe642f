"""The parent's side against workers of every behaviour: short scripts in place of the real one, no torch."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from worker_reports import REPORT

from gradcheck_cli.errors import ExitStatus, GradcheckError, InternalError, NotCompleted
from gradcheck_cli.records import Diagnosis, Request
from gradcheck_cli.worker import supervise, wire

PRELUDE = """
import os, signal, struct, subprocess, sys, time
sys.path.append(sys.argv.pop())
from gradcheck_cli.worker import wire
from gradcheck_cli.records import *
order = wire.read_order(0)
def send(message): wire.write_all(1, wire.frame(message))
"""


class Heard:
    def __init__(self) -> None:
        self.progress: list[tuple[str, int, int]] = []
        self.lines: list[str] = []

    @property
    def listener(self) -> supervise.Listener:
        return supervise.Listener(progress=lambda *stage: self.progress.append(stage), line=self.lines.append)


@pytest.fixture
def heard() -> Heard:
    return Heard()


def measure(monkeypatch: pytest.MonkeyPatch, script: str, heard: Heard, *, time_limit: float = 0) -> Diagnosis:
    monkeypatch.setattr(supervise, "_START", PRELUDE + script)
    order = wire.Order(request=Request(model="m.pt"), memory_limit=7)
    return supervise.measure(order, heard.listener, time_limit=time_limit)


def failure(monkeypatch: pytest.MonkeyPatch, script: str, heard: Heard, *, time_limit: float = 0) -> GradcheckError:
    with pytest.raises(GradcheckError) as caught:
        measure(monkeypatch, script, heard, time_limit=time_limit)
    return caught.value


@pytest.fixture
def report_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("report").write_bytes(wire.frame(wire.Done(REPORT)))


@pytest.mark.usefixtures("report_file")
def test_progress_lines_and_result(monkeypatch: pytest.MonkeyPatch, heard: Heard) -> None:
    script = """
assert order.memory_limit == 7 and order.request.model == "m.pt"
send(wire.Progress("first", 0, 2)); send(wire.Progress("second", 1, 2))
print("a line", file=sys.stderr); print("no newline", end="", file=sys.stderr, flush=True)
wire.write_all(1, open("report", "rb").read())
time.sleep(60)
"""
    assert measure(monkeypatch, script, heard) == REPORT
    assert heard.progress == [("first", 0, 2), ("second", 1, 2)]
    assert heard.lines == ["a line", "no newline"]


@pytest.mark.usefixtures("report_file")
def test_first_answer_counts(monkeypatch: pytest.MonkeyPatch, heard: Heard) -> None:
    script = "wire.write_all(1, open('report', 'rb').read() + wire.frame(wire.Failed('a', 'b', '', '', 3)))"
    assert measure(monkeypatch, script, heard) == REPORT


@pytest.mark.parametrize(
    ("status", "kind"), [(2, GradcheckError), (3, NotCompleted), (70, InternalError), (0, GradcheckError)]
)
def test_reported_failure(
    monkeypatch: pytest.MonkeyPatch, heard: Heard, status: int, kind: type[GradcheckError]
) -> None:
    error = failure(monkeypatch, f"send(wire.Failed('a-slug', 'what', 'do', 'f.pt', {status}))", heard)
    assert type(error) is kind
    assert (error.slug, error.message, error.hint, error.file) == ("a-slug", "what", "do", "f.pt")
    assert error.status == ExitStatus(status or 2)


@pytest.mark.parametrize(
    ("script", "slug", "words"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "worker-killed", "SIGSEGV"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "worker-killed", "SIGKILL (probably out of memory)"),
        ("os.kill(os.getpid(), signal.SIGRTMIN + 3)", "worker-killed", "signal "),
        ("os.abort()", "worker-killed", "SIGABRT"),
        ("os.write(2, b'what():  std::bad_alloc\\n'); os.abort()", "memory-limit", "memory"),
        ("os._exit(5)", "model-exited", "status 5"),
        ("os._exit(0)", "model-exited", "status 0"),
        ("os.write(1, b'hello there, all of you')", "worker-garbled", ""),
        ("os.write(1, struct.pack('>I', 5) + b'hello')", "worker-garbled", ""),
        ("os.write(1, b'\\xff' * 4); time.sleep(60)", "worker-garbled", ""),
        ("os.write(1, struct.pack('>I', 9))", "model-exited", "status 0"),
    ],
)
def test_end_without_an_answer(
    monkeypatch: pytest.MonkeyPatch, heard: Heard, script: str, slug: str, words: str
) -> None:
    error = failure(monkeypatch, script, heard)
    assert (error.slug, error.status, error.file) == (slug, 3, "m.pt")
    assert words in error.message
    assert error.hint


def test_order_that_nobody_reads(monkeypatch: pytest.MonkeyPatch, heard: Heard) -> None:
    monkeypatch.setattr(supervise, "_START", "import os; os.close(0); os._exit(4)")
    order = wire.Order(request=Request(model="m.pt", select=("x" * 1000,) * 1000))
    with pytest.raises(NotCompleted, match="status 4"):
        supervise.measure(order, heard.listener)


def test_time_limit_ends_what_ignores_everything(monkeypatch: pytest.MonkeyPatch, heard: Heard, tmp_path: Path) -> None:
    script = f"""
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP): signal.signal(number, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open({str(tmp_path / "pids")!r}, "w").write(f"{{os.getpid()}} {{child.pid}}")
while True: send(wire.Progress("busy", 0, 0)); print("busy", file=sys.stderr)
"""
    error = failure(monkeypatch, script, heard, time_limit=1.5)
    assert error.slug == "time-limit"
    assert "1.5 s" in error.message
    assert heard.progress[-1] == ("busy", 0, 0)
    assert_gone(tmp_path / "pids")


def test_child_that_outlives_the_worker_is_ended_and_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, heard: Heard, tmp_path: Path
) -> None:
    script = f"""
child = subprocess.Popen([sys.executable, "-c", "while True: print('flood', flush=True)"], stdout=2)
open({str(tmp_path / "pids")!r}, "w").write(f"{{child.pid}}")
os._exit(9)
"""
    assert "status 9" in failure(monkeypatch, script, heard).message
    assert_gone(tmp_path / "pids")


def test_everything_printed_is_relayed(monkeypatch: pytest.MonkeyPatch, heard: Heard) -> None:
    script = "os.write(2, b''); sys.stderr.write('x' * 99 + '\\n'); sys.stderr.write('y' * 10**6 + '\\nz\\n' * 20000)"
    failure(monkeypatch, script, heard)
    assert sum(len(line) for line in heard.lines) == 99 + 10**6 + 20000
    assert max(len(line) for line in heard.lines) <= 4096


def test_exception_in_the_listener_ends_the_worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    script = (
        f"open({str(tmp_path / 'pids')!r}, 'w').write(str(os.getpid())); send(wire.Progress('a', 0, 0)); time.sleep(60)"
    )
    monkeypatch.setattr(supervise, "_START", PRELUDE + script)
    with pytest.raises(KeyboardInterrupt):
        supervise.measure(wire.Order(request=Request(model="m")), supervise.Listener(progress=stop, line=stop))
    assert_gone(tmp_path / "pids")


def test_worker_is_in_a_group_of_its_own(monkeypatch: pytest.MonkeyPatch, heard: Heard) -> None:
    failure(monkeypatch, "print(os.getpgrp() == os.getpid() == os.getsid(0), file=sys.stderr)", heard)
    assert heard.lines == ["True"]


def test_hash_seed_is_fixed_unless_the_user_fixed_another(monkeypatch: pytest.MonkeyPatch, heard: Heard) -> None:
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    failure(monkeypatch, "print(os.environ['PYTHONHASHSEED'], file=sys.stderr)", heard)
    monkeypatch.setenv("PYTHONHASHSEED", "5")
    failure(monkeypatch, "print(os.environ['PYTHONHASHSEED'], file=sys.stderr)", heard)
    assert heard.lines == ["0", "5"]


def assert_gone(file: Path) -> None:
    processes = [int(pid) for pid in file.read_text().split()]
    for _ in range(100):
        if not any(map(alive, processes)):
            return
        time.sleep(0.05)
    raise AssertionError(f"left running: {processes}")


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be collected does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except ProcessLookupError:
        return False
    except OSError:
        return not Path("/proc/self").exists()
