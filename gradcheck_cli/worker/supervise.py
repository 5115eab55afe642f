"""The parent's side: starts the worker, listens to it, and turns whatever happens to it into a diagnosis or one error.

Imports no torch. POSIX: the worker leads a process group of its own, so that it and all that it started end together.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gradcheck_cli.errors import ExitStatus, GradcheckError, InternalError, NotCompleted, UsageError
from gradcheck_cli.loaders.facts import FileFacts
from gradcheck_cli.records import Diagnosis
from gradcheck_cli.worker import wire
from gradcheck_cli.worker.failures import exited, memory_limit
from gradcheck_cli.worker.relay import Lines

_PACKAGE_PARENT = str(Path(__file__).resolve().parents[2])
# Not `-m`, which puts the working directory first on the path: a `torch.py` that lies beside a model must not run.
_START = """
import sys
sys.path[:] = [*filter(None, sys.path), sys.argv.pop()]
from gradcheck_cli.worker.__main__ import main
main()
"""
_KINDS: dict[int, type[GradcheckError]] = {ExitStatus.NOT_COMPLETED: NotCompleted, ExitStatus.INTERNAL: InternalError}
_ENVIRONMENT = {
    # The order of a set of strings must not change from run to run: the same seed gives the same bytes.
    "PYTHONHASHSEED": "0",
    # glibc cannot use the hole that a freed gradient leaves for the next one of the same size; mapped, it leaves none.
    "MALLOC_MMAP_THRESHOLD_": str(1 << 20),
}
_CHUNK = 65536
_TICK = 0.1
"""Seconds between two looks at whether the worker lives: a process that it started may hold its pipes open."""


@dataclass(frozen=True)
class Listener:
    """Who is told while the worker works."""

    progress: Callable[[str, int, int], None]
    """``progress(stage, done, total)``."""
    line: Callable[[str], None]
    """A line that the model, or a library, printed; without its newline, not yet made `plain`."""


def measure(order: wire.Order, listener: Listener, *, time_limit: float = 0.0) -> Diagnosis:
    """Run `order` in a worker and return its diagnosis; `time_limit` in seconds, 0 for none.

    Raises the `GradcheckError` that the worker reports, or `NotCompleted` (``time-limit``, ``memory-limit``,
    ``worker-killed``, ``model-exited``, ``worker-garbled``) where it ends without a word. No process outlives the call.
    """
    final = _outcome(order, listener, time_limit)
    if not isinstance(final, wire.Done):
        raise _garbled(order.request.model)
    return final.diagnosis


def inspect(order: wire.Order, listener: Listener, *, time_limit: float = 0.0) -> FileFacts:
    """Let a worker look at the file of `order` and return what it found; raises as `measure` does."""
    final = _outcome(order, listener, time_limit)
    if not isinstance(final, wire.Inspected):
        raise _garbled(order.request.model)
    return final.facts


def _outcome(order: wire.Order, listener: Listener, time_limit: float) -> wire.Done | wire.Inspected:
    worker = _start(order)
    try:
        return _Watch(worker, order.request.model, listener, time_limit).outcome()
    finally:
        _end(worker)


def _start(order: wire.Order) -> subprocess.Popen[bytes]:
    try:
        sent = wire.frame(order)
    except UnicodeEncodeError as error:
        raise UsageError(
            "usage", f"a name is not valid UTF-8: {error.object!a}", hint="rename the file", file=order.request.model
        ) from error
    environment = _ENVIRONMENT | os.environ
    pipe = subprocess.PIPE
    worker = subprocess.Popen(
        [sys.executable, "-c", _START, _PACKAGE_PARENT],
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        bufsize=0,
        env=environment,
        start_new_session=True,
    )
    assert worker.stdin is not None
    try:
        # Never closed here: its end tells the worker that we are gone.
        wire.write_all(worker.stdin.fileno(), sent)
    except BrokenPipeError:
        pass  # it is dead already; its exit status says how
    except BaseException:
        _end(worker)
        raise
    return worker


def _end(worker: subprocess.Popen[bytes]) -> None:
    """Leave nothing of the worker behind."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # the whole group is gone
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    for stream in (worker.stdin, worker.stdout, worker.stderr):
        if stream is not None:
            stream.close()


class _Watch:
    """Listens to one worker until it has answered, has died, or has used up its time."""

    def __init__(self, worker: subprocess.Popen[bytes], model: str, listener: Listener, time_limit: float) -> None:
        self._worker, self._model, self._listener, self._time_limit = worker, model, listener, time_limit
        self._deadline = time.monotonic() + time_limit if time_limit else float("inf")
        self._frames, self._lines = wire.Frames(), Lines()
        self._final: wire.Done | wire.Inspected | wire.Failed | None = None

    def outcome(self) -> wire.Done | wire.Inspected:
        """Wait for the answer and return it, or raise the error that it is, or that its absence means."""
        try:
            self._listen()
        except wire.GarbledError as error:
            raise _garbled(self._model) from error
        if isinstance(self._final, (wire.Done, wire.Inspected)):
            return self._final
        raise _reported(self._final) if self._final else self._silent_end()

    def _listen(self) -> None:
        assert self._worker.stdout is not None
        assert self._worker.stderr is not None
        with selectors.DefaultSelector() as pipes:
            pipes.register(self._worker.stdout, selectors.EVENT_READ, self._hear)
            pipes.register(self._worker.stderr, selectors.EVENT_READ, self._relay)
            while self._final is None and self._worker.poll() is None:
                left = self._deadline - time.monotonic()
                if left <= 0:
                    raise _time_limit(self._model, self._time_limit)
                _read(pipes, min(_TICK, left))
            _read(pipes, 0)  # what it wrote last is still in the pipes, and fits one read
        for line in self._lines.end():
            self._listener.line(line)

    def _hear(self, chunk: bytes) -> None:
        for body in self._frames.feed(chunk):
            message = wire.message_of(body)
            if isinstance(message, wire.Progress):
                self._listener.progress(message.stage, message.done, message.total)
            else:
                self._final = self._final or message

    def _relay(self, chunk: bytes) -> None:
        for line in self._lines.feed(chunk):
            self._listener.line(line)

    def _silent_end(self) -> GradcheckError:
        code = self._worker.wait()
        if code >= 0:
            return exited(f"ended the process with status {code}", self._model)
        if -code == signal.SIGABRT and b"bad_alloc" in self._lines.tail:
            return memory_limit(self._model)
        return _killed(self._model, -code)


def _read(pipes: selectors.BaseSelector, wait: float) -> None:
    """Hand on what comes within `wait` seconds, at most one chunk of each pipe."""
    for key, _ in pipes.select(wait):
        chunk = os.read(key.fd, _CHUNK)
        if chunk:
            key.data(chunk)
        else:
            pipes.unregister(key.fileobj)


def _reported(failed: wire.Failed) -> GradcheckError:
    kind = _KINDS.get(failed.status, GradcheckError)
    return kind(failed.slug, failed.message, hint=failed.hint, file=failed.file)


def _time_limit(model: str, seconds: float) -> NotCompleted:
    return NotCompleted(
        "time-limit",
        f"the measurement was not done after {seconds:g} s",
        hint="lower --batches or --batch-size, or raise --time-limit",
        file=model,
    )


def _killed(model: str, number: int) -> NotCompleted:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    why = " (probably out of memory)" if name == "SIGKILL" else ""
    hint = (
        "lower --batch-size or the model's size" if why else "run its forward on its own, with python -X faulthandler"
    )
    return NotCompleted("worker-killed", f"the measuring process was killed by {name}{why}", hint=hint, file=model)


def _garbled(model: str) -> NotCompleted:
    return NotCompleted(
        "worker-garbled",
        "the measuring process answered with something that is no result",
        hint="if the model's own code does not write to descriptors it did not open, please report this",
        file=model,
    )
