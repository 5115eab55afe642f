"""A warm process that runs the command line many times: everything was imported once, and each worker is a fork of it.

What runs is the real thing, from the arguments to the exit status; `hostile.serve` is the process, `Server` its client.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
"""One thread each: no pool of threads may be there to be lost in a fork."""


@dataclass(frozen=True)
class Job:
    """One command line."""

    folder: str
    """Its working directory."""
    arguments: tuple[str, ...]
    runs_code: bool = False
    """Code of the user's own runs too, so that what it does is no news."""


@dataclass(frozen=True)
class Result:
    """What came of a job."""

    status: int
    """Of the exit."""
    stdout: str
    stderr: str
    cpu: float = 0.0
    """Seconds that the worker computed; 0 where none was started."""
    grown: int = 0
    """Bytes of resident memory that the worker had at most, beyond what it had when it began."""
    events: tuple[str, ...] = ()
    """What it did and no file may cause: see `forked.WATCHED`."""


@dataclass(frozen=True)
class Mutations:
    """Mutations of one honest file, by number; each is a function of the seed and its number alone."""

    form: str
    """A key of `mutate.FORMS`."""
    folder: str
    """Where the honest file is, and the mutated one will be."""
    seed: int
    begin: int
    end: int


@dataclass(frozen=True)
class Outcome:
    """What the command line made of one mutation."""

    index: int
    status: int
    slug: str
    """Of the refusal; ``measured`` where there was none."""
    stderr: str


class Server:
    """Starts the process; a context manager. Its methods raise `RuntimeError` where it has died."""

    def __init__(self, scratch: Path) -> None:
        environment = {**os.environ, **THREADS, "COLUMNS": "200", "PYTHONDONTWRITEBYTECODE": "1"}
        environment["PYTHONPATH"] = os.pathsep.join((str(TESTS), str(TESTS.parent)))
        self._log = (scratch / "server.log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "hostile.serve", str(scratch)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._log.close()

    def run(self, jobs: Sequence[Job]) -> list[Result]:
        """Run each job with a worker of its own."""
        answers = self._ask("run", [asdict(job) for job in jobs])
        return [Result(**{**fields, "events": tuple(fields["events"])}) for fields in answers]

    def run_inside(self, jobs: Sequence[Job]) -> list[Result]:
        """Run all jobs in one fork that is the command line and its worker at once: faster, and tells less."""
        return [Result(**fields) for fields in self._ask("run_inside", [asdict(job) for job in jobs])]

    def fuzz(self, mutations: Mutations) -> list[Outcome]:
        """Run `mutations`, in one fork as `run_inside`, as far as one kills it: the outcome of that one is the last."""
        return [Outcome(**fields) for fields in self._ask("fuzz", asdict(mutations))]

    def _ask(self, what: str, content: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([what, content]).encode() + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the warm process has died; see {self._log.name}")
        return json.loads(line)
