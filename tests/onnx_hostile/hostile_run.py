"""Measures, or inspects, a file in a forked child with limits: what comes of it is a slug, a diagnosis, or a crash by name."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hostile_case import DIAGNOSED

from gradcheck_cli.errors import GradcheckError

SECONDS = 30
"""After which a child is killed; none of them comes near it."""
MEMORY = 1 << 29
"""Bytes that a child may map beyond what it has."""


@dataclass(frozen=True)
class Outcome:
    """What came of a file."""

    what: str
    """`DIAGNOSED`, the slug of an error, or ``crash: …``."""
    status: int
    """Exit status that the command line would have."""
    text: str
    """The error as the user reads it; for a diagnosis its remarks."""
    seconds: float
    """Of processor time."""
    memory: int
    """Peak, in MB, of the child."""


def measured(path: Path, *, parity: bool = True) -> Outcome:
    """What `gradcheck diagnose` makes of the file, in a child of this process; `gradcheck inspect` must bear it, too."""

    def work() -> str:
        with contextlib.suppress(GradcheckError):
            _inspect(path)
        return _measure(path, parity=parity)

    return in_child(work)


def warm_up(path: Path) -> None:
    """Measure an honest file here, so that the children need not import everything, each by itself."""
    import torch

    torch.set_num_threads(1)  # a pool of threads does not survive a fork
    _measure(path, parity=True)
    _inspect(path)


def _measure(path: Path, *, parity: bool) -> str:
    from gradcheck_cli.pipeline import diagnose

    diagnosis = diagnose(path, batch_size=4, batches=1, parity=parity)
    diagnosis.to_json()
    return "\n".join(diagnosis.model.remarks)


def _inspect(path: Path) -> str:
    from gradcheck_cli.loaders import inspect

    facts = inspect(str(path))
    return "\n".join([facts.is_, *facts.remarks, facts.needs, facts.command])


def in_child(work: Callable[[], str]) -> Outcome:
    """What comes of `work`, whose result is the text; in a child of this process with limits."""
    sys.stdout.flush()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            os.close(reading)
            with os.fdopen(writing, "w") as stream:
                json.dump(_limited(work), stream)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as stream:
        said = stream.read()
    _, status, usage = os.wait4(child, 0)
    seconds, memory = usage.ru_utime + usage.ru_stime, usage.ru_maxrss // 1024
    if not said:
        ended = signal.Signals(status & 0x7F).name if status & 0x7F else f"status {status}"
        return Outcome(f"crash: {ended}", -1, "", seconds, memory)
    what, number, text = json.loads(said)
    return Outcome(what, number, text, seconds, memory)


def _limited(work: Callable[[], str]) -> tuple[str, int, str]:
    import torch

    from gradcheck_cli.worker.failures import explain

    torch.set_num_threads(1)
    signal.alarm(SECONDS)  # no handler: it kills
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        return DIAGNOSED, 0, work()
    except BaseException as error:
        told = explain(error, model="model.onnx")  # as the worker does
        detail = "" if told.slug != "internal" else "\n" + "".join(traceback.format_exception(error)[-6:])
        return told.slug, int(told.status), f"{told}{detail}"
