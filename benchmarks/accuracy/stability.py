"""How often a verdict stays when the seed, the sample and its size change.

    python benchmarks/accuracy/stability.py [--every 5] [--seeds 10] [--rehearse N] [--processes N] [--json FILE]

Each case is built once and asked again: with other cotangents on another draw of the sample (one for each seed), on half of
the sample, and on twice the sample. A case without targets gets fresh inputs, drawn as its own were; where there are
targets, the data belongs to the net, and a draw is a bootstrap of its rows. Inputs whose first axes differ, and cases
whose name says how many samples they have, keep their sample.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch  # the path above makes the imports below possible
from torch import Tensor

from accuracy.asking import all_of, diagnosed
from accuracy.cases import Case, Problem
from accuracy.families import chosen
from gradcheck_cli.errors import GradcheckError

Batch = tuple[tuple[Any, ...], Any]
"""Inputs and target."""


@dataclass(frozen=True)
class Repeats:
    """What was said of one case."""

    name: str
    first: str
    """On its own sample, with seed 0."""
    seeds: tuple[str, ...]
    half: str | None
    """None where the sample has no half that the model itself can run."""
    double: str | None


def rows_of(batch: Batch) -> int | None:
    """Rows that all tensors of a batch share; None where they do not agree."""
    inputs, target = batch
    sizes = {len(t) for t in (*inputs, target) if isinstance(t, Tensor) and t.ndim}
    return sizes.pop() if len(sizes) == 1 and all(isinstance(i, Tensor) for i in inputs) else None


def _each(batch: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    inputs, target = batch
    return tuple(change(x) for x in inputs), change(target) if isinstance(target, Tensor) else target


def _pairs(problem: Problem) -> list[Batch]:
    return list(zip(problem.batches, problem.targets or [None] * len(problem.batches), strict=True))


def _with(problem: Problem, batches: Sequence[Batch]) -> Problem:
    targets = None if problem.targets is None else [target for _, target in batches]
    return replace(problem, batches=[inputs for inputs, _ in batches], targets=targets)


def redrawn(case: Case, problem: Problem, seed: int) -> Problem:
    """The same net on another draw of its sample."""
    batches = _pairs(problem)
    if "samples" in case.name or any(rows_of(batch) is None for batch in batches):
        return problem
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if problem.targets is None:
            return _with(problem, _pairs(case.build()))
        drawn = []
        for batch in batches:
            rows = rows_of(batch) or 1
            chosen_rows = torch.randint(rows, (rows,))
            drawn.append(_each(batch, lambda t, r=chosen_rows: t[r]))  # type: ignore[misc]
        return _with(problem, drawn)


def halved(problem: Problem) -> Problem | None:
    """Every other row of each batch; None where one has too few."""
    batches = _pairs(problem)
    if any((rows_of(batch) or 1) < 4 for batch in batches):
        return None
    return _with(problem, [_each(batch, lambda t: t[::2]) for batch in batches])


def doubled(case: Case, problem: Problem) -> Problem | None:
    """Its own batches and another draw of them."""
    other = redrawn(case, problem, 2)
    return None if other is problem else _with(problem, [*_pairs(problem), *_pairs(other)])


def say(problem: Problem, steps: int, seed: int = 0) -> str:
    """The verdict, or ``error``."""
    try:
        return diagnosed(problem, steps=steps, seed=seed).verdict.value
    except GradcheckError:
        return "error"


def runs(problem: Problem) -> bool:
    """The model runs on this sample: half of a graph's rows is no graph."""
    try:
        with torch.no_grad():
            copy.deepcopy(problem.module)(*problem.batches[0])
    except (RuntimeError, IndexError, ValueError):
        return False
    return True


def repeat(case: Case, seeds: int, steps: int) -> Repeats:
    """Ask about one case again and again."""
    problem = replace(case.problem(), saved=None)  # the module itself, with other samples than are in its file
    half, double = halved(problem), doubled(case, problem)
    return Repeats(
        name=case.name,
        first=say(problem, steps),
        seeds=tuple(say(redrawn(case, problem, seed), steps, seed) for seed in range(1, seeds + 1)),
        half=say(half, steps) if half is not None and runs(half) else None,
        double=say(double, steps) if double is not None and runs(double) else None,
    )


def report(found: Sequence[Repeats], seconds: float) -> str:
    """Shares, and every case that flips."""
    lines = [f"{len(found)} cases in {seconds:.0f} s"]
    for title, pairs in {
        "other seeds": [(r.first, said) for r in found for said in r.seeds],
        "half the sample": [(r.first, r.half) for r in found if r.half is not None],
        "twice the sample": [(r.first, r.double) for r in found if r.double is not None],
    }.items():
        stay = sum(first == said for first, said in pairs)
        lines.append(f"{title:17} {100 * stay / max(1, len(pairs)):.2f} % of verdicts stay ({stay}/{len(pairs)})")
    lines += ["", "flips:"]
    for r in found:
        others = Counter(said for said in (*r.seeds, r.half, r.double) if said is not None and said != r.first)
        if others:
            kinds = ", ".join(f"{said} {count}×" for said, count in others.items())
            lines.append(f"- {r.name}: {r.first}; also {kinds}" + (f" (half: {r.half})" if r.half != r.first else ""))
    return "\n".join(lines)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--every", type=int, default=5, metavar="N", help="every N-th case of each family")
    parser.add_argument("--family", action="append", default=[])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--rehearse", type=int, default=20, metavar="N")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    torch.set_num_threads(1)
    cases = chosen(given.family)[:: given.every]
    start = time.perf_counter()
    found = all_of(cases, partial(repeat, seeds=given.seeds, steps=given.rehearse), given.processes, "stability")
    print(report(found, time.perf_counter() - start))
    if given.json:
        given.json.write_text(json.dumps([asdict(each) for each in found], indent=1) + "\n")


if __name__ == "__main__":
    main()
