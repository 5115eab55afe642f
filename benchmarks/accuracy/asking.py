"""Ask gradcheck about one case, or about many in a few processes."""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import torch

from gradcheck_cli import diagnose
from gradcheck_cli.errors import GradcheckError
from gradcheck_cli.judge import Judgement, judge
from gradcheck_cli.probe import look, settle_zeros
from gradcheck_cli.records import Batch, Diagnosis, Sample, Subject
from gradcheck_cli.rehearsal import rehearse

from .cases import DEAD, EXPLODING, VANISHING, Case, Problem
from .families import chosen

T = TypeVar("T")
ILL = (DEAD, EXPLODING, VANISHING)


@dataclass(frozen=True)
class Outcome:
    """What was said of one case."""

    name: str
    truth: str
    held_out: bool
    verdict: str
    """The label."""
    said: str
    """A verdict, ``not-measured`` or ``error``."""
    culprits: tuple[str, ...]
    culprit_right: bool | None
    """The first culprit is one of the case's; an ill case that was missed counts as wrong. None where the case names none."""
    layers_named: int
    """How many layers the case has a verdict for."""
    layers_wrong: tuple[str, ...]
    summary: str
    seconds: float

    @property
    def right(self) -> bool:
        """The exact verdict."""
        return self.said == self.verdict


def diagnosed(problem: Problem, name: str = "", *, steps: int = 20, seed: int = 0) -> Judgement | Diagnosis:
    """Measure, rehearse, judge. Raises GradcheckError where that cannot be done."""
    if problem.saved is not None:
        with TemporaryDirectory() as folder:
            model, options = problem.saved(Path(folder))
            return diagnose(model, **{"rehearse": steps, "seed": seed, **options})
    targets = problem.targets or [None] * len(problem.batches)
    batches = tuple(
        Batch(args=tuple(inputs), target=target, size=len(inputs[0]))
        for inputs, target in zip(problem.batches, targets, strict=True)
    )
    sample = Sample(batches=batches, source="benchmark", loss_name=problem.loss_name, loss=problem.loss)
    subject = Subject(path=name, format="in-memory", module=problem.module)
    readings = look(subject, sample, mode=problem.mode, lr=problem.lr, optimizer=problem.optimizer, seed=seed)
    readings = settle_zeros(subject, sample, readings, seed=seed)
    return judge(rehearse(subject, sample, readings, steps=steps, seed=seed))


def ask(case: Case, steps: int = 20) -> Outcome:
    """Build the case and ask gradcheck."""
    start = time.perf_counter()
    said, summary = "error", ""
    culprits: tuple[str, ...] = ()
    wrong: tuple[str, ...] = tuple(case.layer_verdicts)
    try:
        found = diagnosed(case.problem(), case.name, steps=steps)
        said, culprits, summary = found.verdict.value, found.culprits, found.summary
        verdicts = {layer.name: layer.verdict.value for layer in found.layers}
        wrong = tuple(
            f"{n}: {verdicts.get(n)}" for n, v in case.layer_verdicts.items() if verdicts.get(n) not in v.split("|")
        )
    except GradcheckError as error:
        summary = f"{error.slug}: {error}"
    except AssertionError as error:  # the case cannot be built as its label says
        summary = str(error)
    return Outcome(
        name=case.name,
        truth=case.truth,
        held_out=case.held_out,
        verdict=case.verdict,
        said=said,
        culprits=culprits,
        culprit_right=bool(culprits) and culprits[0] in case.culprits if case.culprits else None,
        layers_named=len(case.layer_verdicts),
        layers_wrong=wrong,
        summary=summary,
        seconds=time.perf_counter() - start,
    )


# -------------------------------------------------------------------------------------------------- several processes

_known: dict[str, Case] = {}


def _by_name(name: str, work: Callable[[Case], T]) -> T:
    """Cases hold functions that do not travel between processes, so their names do."""
    if not _known:
        torch.set_num_threads(1)
        _known.update((case.name, case) for case in chosen())
    return work(_known[name])


def everywhere(cases: Sequence[Case], work: Callable[[Case], T], processes: int) -> Iterator[T]:
    """`work` of each case, in order; `work` is a function of a module, or a `functools.partial` of one."""
    names = [case.name for case in cases]
    if processes < 2:
        yield from (_by_name(name, work) for name in names)
        return
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(partial(_by_name, work=work), names, chunksize=2)


def all_of(cases: Sequence[Case], work: Callable[[Case], T], processes: int, what: str) -> list[T]:
    """`work` of every case, in order; says on stderr how far it is."""
    results = []
    for case, result in zip(cases, everywhere(cases, work, processes), strict=True):
        results.append(result)
        print(f"\r{what} {len(results)}/{len(cases)} {case.name:70.70}", end="", file=sys.stderr, flush=True)
    print("\r" + " " * 100 + "\r", end="", file=sys.stderr)
    return results
