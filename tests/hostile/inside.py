"""Many command lines in one fork of the warm process, each with what its worker would do: no process for each file."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hostile import forked, memory, mutate
from hostile.checks import MEMORY, MEMORY_OF_FILE
from hostile.warm import Job, Mutations, Outcome, Result

HANG = 30
"""Seconds after which one file hangs for sure."""

EVENTS: list[str] = []
"""What the command line that runs has done of `forked.WATCHED`."""
WATCHING = [False]


def run(jobs: list[Job], scratch: Path) -> list[Result]:
    """What came of `jobs`; where one kills the fork, its result has the status of the signal, and the rest is run in another."""
    done: list[Result] = []
    while len(done) < len(jobs):
        left = jobs[len(done) :]
        lines, status = _in_fork(lambda left=left: (asdict(_run(job, scratch)) for job in left), scratch)  # type: ignore[misc]
        done += [Result(**line) for line in lines]
        if len(lines) < len(left):
            done.append(Result(status, "", "", events=()))
    return done


def fuzz(mutations: Mutations, scratch: Path) -> list[Outcome]:
    """What came of `mutations`, up to the one that killed the fork, if one did."""
    lines, status = _in_fork(lambda: map(asdict, _fuzz(mutations, scratch)), scratch)
    done = [Outcome(**line) for line in lines]
    if len(done) < mutations.end - mutations.begin:
        done.append(Outcome(mutations.begin + len(done), status, "killed", (scratch / "fork.log").read_text()[-2000:]))
    return done


def write(mutations: Mutations, index: int) -> None:
    """Put mutation number `index` in place of the honest file."""
    form, folder = mutate.FORMS[mutations.form], Path(mutations.folder)
    rng = random.Random(f"{mutations.form}/{mutations.seed}/{index}")
    path = folder / form.filename
    path.unlink(missing_ok=True)
    path.write_bytes(mutate.mutated((folder / "honest").read_bytes(), rng))


def _fuzz(mutations: Mutations, scratch: Path) -> Iterator[Outcome]:
    arguments = ("diagnose", "--batches=1", "--rehearse=0", *mutate.FORMS[mutations.form].arguments)
    _parse_once(arguments)
    for index in range(mutations.begin, mutations.end):
        write(mutations, index)
        result = _run(Job(mutations.folder, arguments), scratch)
        shutil.rmtree(Path(mutations.folder) / ".gradcheck", ignore_errors=True)
        first = result.stderr.rsplit("gradcheck: error[", 1)
        slug = first[1].partition("]")[0] if len(first) == 2 else "measured"
        yield Outcome(index, result.status, slug, result.stderr[-2000:])


def _run(job: Job, scratch: Path) -> Result:
    from gradcheck_cli.cli import app
    from gradcheck_cli.worker import supervise

    replaced: Any = supervise
    replaced._outcome = _outcome
    signal.alarm(HANG)
    EVENTS.clear()
    _limit(Path(job.folder))
    began, cpu = memory.reset_peak(), time.process_time()
    with forked.captured(scratch) as texts:
        os.chdir(job.folder)
        status = app.run(job.arguments)
    return Result(status, texts[0], texts[1], time.process_time() - cpu, memory.peak() - began, tuple(EVENTS))


def _parse_once(arguments: tuple[str, ...]) -> None:
    """From here on every command line is this one: parsing it takes longer than all that it does."""
    import typer

    from gradcheck_cli.cli import app

    commands: Any = typer.main.get_command(app.app)
    command = commands.commands[arguments[0]]
    context = command.make_context(arguments[0], list(arguments[1:]))
    replaced: Any = app
    replaced._run = lambda _: int(command.invoke(context) or 0)


def _outcome(order: Any, listener: Any, _: float) -> Any:
    """As `supervise._outcome`, without the process."""
    from gradcheck_cli import pipeline
    from gradcheck_cli.loaders import inspect
    from gradcheck_cli.worker import __main__ as worker
    from gradcheck_cli.worker import supervise, wire

    try:
        with _watched():
            if order.inspect:
                return wire.Inspected(inspect(order.request.model))
            return wire.Done(pipeline.run(order.request, listener.progress))
    except BaseException as error:
        raise supervise._reported(worker._failed(error, order.request.model)) from error


@contextmanager
def _watched() -> Iterator[None]:
    WATCHING[0] = True
    try:
        yield
    finally:
        WATCHING[0] = False


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if WATCHING[0] and event in forked.WATCHED:
        EVENTS.append(f"{event} {arguments!a}"[:300])


def _in_fork(work: Callable[[], Iterable[dict[str, Any]]], scratch: Path) -> tuple[list[dict[str, Any]], int]:
    """The lines that `work` gave in a fork until it ended, and the status that it ended with."""
    lines = scratch / "lines"
    child = os.fork()
    if not child:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            sys.addaudithook(_hook)
            log = os.open(scratch / "fork.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 2)
            with lines.open("w") as stream:
                for line in work():
                    stream.write(json.dumps(line) + "\n")
                    stream.flush()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(99)
    _, status = os.waitpid(child, 0)
    return [json.loads(line) for line in lines.read_text().splitlines()], os.waitstatus_to_exitcode(status)


def _limit(folder: Path) -> None:
    size = max((entry.lstat().st_size for entry in folder.rglob("*") if not entry.is_symlink()), default=0)
    room = memory.mapped() + MEMORY + MEMORY_OF_FILE * size
    resource.setrlimit(resource.RLIMIT_AS, (room, resource.RLIM_INFINITY))
