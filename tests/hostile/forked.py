"""The command line in the warm process, and its worker as a fork of it instead of a new interpreter."""

from __future__ import annotations

import os
import resource
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

from hostile import memory
from hostile.warm import Job, Result

WATCHED = frozenset(
    {
        *("socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen", "os.system", "os.exec", "os.fork"),
        *("os.posix_spawn", "os.remove", "os.rename", "os.mkdir", "os.chmod", "shutil.rmtree", "pty.spawn"),
    }
)
"""Audit events that no file may cause in the worker."""
CPU_LIMIT = 40
"""Seconds after which a worker hangs for sure: an order of magnitude over what any file takes."""


def run(job: Job, scratch: Path) -> Result:
    """Run `job` in this process, which opens no file of the case: that is for the worker."""
    from gradcheck_cli.cli import app
    from gradcheck_cli.worker import supervise

    workers: list[_ForkedWorker] = []

    def start(*_: object, **__: object) -> _ForkedWorker:
        workers.append(_ForkedWorker(watch=not job.runs_code))
        return workers[-1]

    replaced: Any = supervise
    replaced.subprocess = SimpleNamespace(PIPE=None, Popen=start)
    with captured(scratch) as texts:
        os.chdir(job.folder)
        status = app.run(job.arguments)
    if not workers:
        return Result(status, texts[0], texts[1])
    cost = workers[0]
    return Result(status, texts[0], texts[1], cost.cpu, cost.grown, tuple(cost.events))


@contextmanager
def captured(scratch: Path) -> Iterator[list[str]]:
    """Take what is written to the descriptors 1 and 2; the two texts are in the list when it is over."""
    texts: list[str] = []
    paths = (scratch / "stdout", scratch / "stderr")
    before = [os.dup(descriptor) for descriptor in (1, 2)]
    try:
        for path, descriptor in zip(paths, (1, 2), strict=True):
            opened = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC)
            os.dup2(opened, descriptor)
            os.close(opened)
        yield texts
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for old, descriptor in zip(before, (1, 2), strict=True):
            os.dup2(old, descriptor)
            os.close(old)
        texts += [path.read_bytes().decode("utf-8", "surrogateescape") for path in paths]


class _ForkedWorker:
    """What `supervise` uses of a `subprocess.Popen`; and what the worker took, once it has ended."""

    def __init__(self, *, watch: bool) -> None:
        self.cpu, self.grown = 0.0, 0
        self.events: list[str] = []
        self._status: int | None = None
        pipes = [os.pipe() for _ in range(4)]
        self.pid = os.fork()
        if not self.pid:
            _worker(pipes, watch=watch)
        for theirs in (pipes[0][0], *(pipe[1] for pipe in pipes[1:])):
            os.close(theirs)
        self.stdin = os.fdopen(pipes[0][1], "wb", 0)
        self.stdout, self.stderr = (os.fdopen(pipe[0], "rb", 0) for pipe in pipes[1:3])
        self._told = pipes[3][0]

    def poll(self) -> int | None:
        return self._reap(os.WNOHANG)

    def wait(self) -> int:
        status = self._reap(0)
        assert status is not None
        return status

    def _reap(self, options: int) -> int | None:
        if self._status is None:
            pid, status, usage = os.wait4(self.pid, options)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
                began, *self.events = self._read_told()
                self.cpu, self.grown = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 - int(began)
        return self._status

    def _read_told(self) -> list[str]:
        os.set_blocking(self._told, False)  # what the worker started may still hold the other end
        try:
            return os.read(self._told, 65536).decode().splitlines()
        finally:
            os.close(self._told)


def _worker(pipes: list[tuple[int, int]], *, watch: bool) -> NoReturn:
    try:
        os.setsid()
        told = os.dup(pipes[3][1])
        for descriptor, end in ((0, pipes[0][0]), (1, pipes[1][1]), (2, pipes[2][1])):
            os.dup2(end, descriptor)
        for pair in pipes:
            for end in pair:
                os.close(end)
        sys.stdout, sys.stderr = (os.fdopen(descriptor, "w", closefd=False) for descriptor in (1, 2))
        os.write(told, b"%d\n" % memory.resident())
        if watch:
            _watch(told)
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT, CPU_LIMIT))
        from gradcheck_cli.worker.__main__ import main as work

        work()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(99)


def _watch(told: int) -> None:
    """Report the first events to the pipe `told`: the worker may not write to a file."""
    left = [20]

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in WATCHED and left[0]:
            left[0] -= 1
            os.write(told, f"{event} {arguments!a}"[:300].encode() + b"\n")

    sys.addaudithook(hook)
