"""The worker process: takes one order, measures, answers on a descriptor that the model does not know of, ends."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from gradcheck_cli.errors import ModelError
from gradcheck_cli.records import Diagnosis, Request
from gradcheck_cli.worker import failures, limits, wire

PAUSE = 0.05
"""Seconds between two messages on the same stage: a terminal shows no more."""


def main() -> NoReturn:
    """Do what the order on stdin asks for, and answer on what is stdout at the start."""
    lifeline, answers = _take_over_streams()
    order = wire.read_order(lifeline)
    threading.Thread(target=_end_with_parent, args=(lifeline,), daemon=True).start()
    channel = _Channel(answers, order.request.model)
    try:
        channel.send(_inspect(order) if order.inspect else wire.Done(_measure(order, channel)))
    except BaseException as error:  # the model's own code runs in here: SystemExit, KeyboardInterrupt, anything
        if order.debug:
            traceback.print_exception(error)
        channel.send(_failed(error, order.request.model))
    # No tear-down of the interpreter: what crashes or hangs there would only spoil a result that is already sent.
    os._exit(0)


def _take_over_streams() -> tuple[int, int]:
    """Move the two pipes to the parent out of reach: stdin becomes empty, and what is printed goes to stderr."""
    lifeline, answers = os.dup(0), os.dup(1)  # not inherited by programs that the model starts
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Line by line, so that what was printed before a crash is seen.
            stream.reconfigure(line_buffering=True, encoding="utf-8", errors="backslashreplace")
    return lifeline, answers


def _end_with_parent(lifeline: int) -> None:
    """Wait for the end of the parent, which holds the other end open; then end all that we started."""
    while os.read(lifeline, 4096):
        pass
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


def _measure(order: wire.Order, channel: _Channel) -> Diagnosis:
    channel.progress("starting torch", 0, 0)
    runs_code = _runs_user_code(order.request)
    sys.dont_write_bytecode = True  # beside the user's own code neither
    limits.forbid_core_dumps_and_files(may_write=runs_code)
    import torch

    if not _on_accelerator(order.request.device, cuda=torch.cuda.is_available()):
        limits.limit_memory(order.memory_limit)
    if runs_code:
        # Last, so that a file of the working directory takes the place of no module of torch's.
        sys.path.insert(0, str(Path.cwd()))
    if _is(Path.is_dir, order.request.model):
        # A directory is all that there is to its model; transformers reads these when it is imported.
        os.environ.update(dict.fromkeys(("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"), "1"))
    from gradcheck_cli import pipeline

    return pipeline.run(order.request, channel.progress)


def _inspect(order: wire.Order) -> wire.Inspected:
    sys.dont_write_bytecode = True
    limits.forbid_core_dumps_and_files(may_write=False)
    import torch  # noqa: F401 - before the limit, as it maps several GB

    limits.limit_memory(order.memory_limit)
    from gradcheck_cli.loaders import inspect

    return wire.Inspected(inspect(order.request.model))


def _runs_user_code(request: Request) -> bool:
    """Whether the user named Python code of their own, or trusts the code in the file."""
    named = (request.model, *request.earlier, request.data, request.target, request.loss, request.arch)
    return request.trust or any(":" in name and not _is(Path.exists, name) for name in named if name)


def _is(kind: Callable[[Path], bool], name: str) -> bool:
    try:
        return kind(Path(name))
    except (OSError, ValueError):  # longer than a name may be, or with a NUL byte
        return False


def _on_accelerator(device: str | None, *, cuda: bool) -> bool:
    """Whether a driver will reserve address space far beyond what it uses, so that limiting it means nothing."""
    return cuda if device is None else not device.startswith("cpu")


def _failed(error: BaseException, model: str) -> wire.Failed:
    told = failures.explain(error, model=model)
    texts = (told.slug, told.message, told.hint, told.file)
    # An exception of the model's can carry text that is no UTF-8.
    slug, message, hint, file = (text.encode("utf-8", "backslashreplace").decode() for text in texts)
    return wire.Failed(slug, message, hint, file, int(told.status))


class _Channel:
    """The way to the parent, for this process only: a child that the model forks inherits it and must not answer."""

    def __init__(self, descriptor: int, model: str) -> None:
        self._descriptor, self._model = descriptor, model
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._stage, self._next = "", 0.0

    def progress(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if stage == self._stage and done != total and now < self._next:
            return
        self._stage, self._next = stage, now + PAUSE
        self._write(wire.Progress(stage, done, total))

    def send(self, outcome: wire.Done | wire.Inspected | wire.Failed) -> None:
        """Give the outcome, after everything that was printed before it.

        Raises `ModelError` (``not-unicode``) for a name of the model's that no report can hold.
        """
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:  # the model may have put anything in its place
                continue
        try:
            self._write(outcome)
        except UnicodeEncodeError as error:
            message = f"a name in it is not valid Unicode: {error.object[:80]!a}"
            raise ModelError("not-unicode", message, hint="rename the layer", file=self._model) from error

    def _write(self, message: wire.Message) -> None:
        if os.getpid() != self._owner:
            os._exit(1)
        with self._lock:
            wire.write_all(self._descriptor, wire.frame(message))


if __name__ == "__main__":
    main()
