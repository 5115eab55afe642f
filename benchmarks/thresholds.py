"""What every threshold was set from: how far it can move, alone, before a labelled case is told otherwise.

    python benchmarks/thresholds.py [--write] [--processes N]

Over the calibration half of the labelled set. Each case is measured once; then one threshold at a time is moved away from
its value and the rules that read it are asked again, until they hit a healthy case, or no longer hit an ill one whose
culprit they name. Where that happens is the number that a rule compares with the threshold while all its other conditions
are met. ``--write`` puts the figures into the docstrings of gradcheck_cli/config.py. The examination (family ``unseen``)
sets nothing; it has columns of its own.
"""

from __future__ import annotations

import argparse
import ast
import copy
import math
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent))

import msgspec  # the path above makes the imports of the set possible
import torch
from accuracy import asking, course
from accuracy.cases import HEALTHY, Case, Problem
from accuracy.families import chosen
from accuracy.markdown import table

from gradcheck_cli import config
from gradcheck_cli.checkpoints import follow
from gradcheck_cli.config import Thresholds
from gradcheck_cli.errors import GradcheckError
from gradcheck_cli.judge import Judgement, judge
from gradcheck_cli.probe import look
from gradcheck_cli.readings import Readings
from gradcheck_cli.records import Batch, Sample, Subject
from gradcheck_cli.rules import RULES
from gradcheck_cli.rules.view import View
from gradcheck_cli.rules.wording import number

UP, DOWN = 1, -1
FACTORS = (1.01, 1.05, 1.2, 1.5, 2.0, 4.0, 10.0, 100.0, 1e3, 1e4, 1e6, 1e9, 1e12, 1e20)
"""How far a threshold is moved, before the place of a change is narrowed down to 1 %."""
NEAR = 2.0
"""Margins below this factor are listed."""
PAGE, INDENT, WIDTH = Path(config.__file__), " " * 4, 124
CHECKPOINTS, STEPS = 5, 25
"""A case of the family ``course``, whose label is proven by a run of 100 steps, is run again and kept every 25 steps."""


@dataclass(frozen=True)
class Use:
    """How the rules use one threshold."""

    rules: tuple[str, ...]
    """Codes of those that read it."""
    stricter: int
    """The direction in which more is ill."""
    rather: tuple[str, ...] = ()
    """Where it decides between two explanations of the same ill: the other one's codes. Cases whose culprit these name take
    the place of the healthy ones."""
    along: str = ""
    """A threshold that is never less strict than it, and moves along where it is overtaken."""
    most: float = math.inf
    """It can be no larger …"""
    least: float = 0.0
    """… and no smaller."""
    series: bool = False
    """It is about the checkpoints of a run."""


FADING, GROWING = ("GC101", "GC102"), ("GC201", "GC202")
SINGLE, SHARED = ("GC102", "GC202"), ("GC101", "GC201")
OVER_STEPS = ("GC108", "GC109", "GC110", "GC209", "GC210", "GC211", "GC305")
USES = {
    "dead_share": Use(("GC301", "GC305"), DOWN, most=1.0),
    "saturated_share": Use(("GC103",), DOWN, most=1.0),
    "evidence": Use(("GC103", "GC301"), DOWN),
    "chance": Use(("GC301",), UP, most=0.5, least=1e-12),
    "vanishing": Use(FADING, UP, along="bottleneck"),
    "branch": Use(FADING, UP),
    "deaf_weights": Use(("GC107",), UP),
    "exploding": Use(GROWING, DOWN, along="burst"),
    "bottleneck": Use((*FADING, "GC106"), UP),
    "burst": Use(GROWING, DOWN),
    "abrupt": Use((*FADING, *GROWING), DOWN),
    "temperature": Use(GROWING, DOWN),
    "underflow": Use(("GC304",), DOWN, rather=FADING),
    "outlier": Use(SINGLE, DOWN, rather=SHARED),
    "outlier_share": Use(SINGLE, DOWN, rather=SHARED, most=1.0),
    "time_reach": Use(("GC104",), UP),
    "gated_time_gain": Use(("GC104",), UP),
    "time_explosion": Use(("GC203",), DOWN),
    "zero_weight": Use(("GC106",), UP),
    "relative_update": Use(("GC208",), DOWN),
    "converged": Use(OVER_STEPS, DOWN),
    "divergence": Use(("GC209",), DOWN),
    "jump": Use(("GC210",), DOWN),
    "jump_share": Use(("GC210",), DOWN, most=1.0),
    "comparisons": Use(("GC210",), DOWN),
    "weight_growth": Use(("GC211",), DOWN),
    "weight_shrinkage": Use(("GC110",), UP),
    "wrong": Use(("GC103",), DOWN),
    "still": Use(("GC108",), UP),
    "still_ratio": Use(("GC108",), DOWN),
    "slow": Use(("GC103", "GC109"), UP),
    "still_growing": Use(("GC213",), DOWN, series=True),
    "still_shrinking": Use(("GC111",), UP, series=True),
    "run_still": Use(("GC112",), UP, series=True),
    "run_moved": Use(("GC112",), DOWN, series=True),
}
"""A threshold that is not here is a definition, and its docstring says whose."""


# ------------------------------------------------------------------------------------------------------------ measuring


@dataclass(frozen=True)
class Found:
    """What was measured of one case."""

    name: str
    label: str
    readings: Readings
    run: Readings | None
    """Of the checkpoints of a run; None outside the family ``course``."""


def measured(case: Case) -> Found | None:
    """The readings that the benchmark judges; None where the case cannot be measured."""
    taken: list[Readings] = []

    def keep(readings: Readings, **selection: Any) -> Judgement:
        taken.append(readings)
        return judge(readings, **selection)

    try:
        with mock.patch.object(asking, "judge", keep), mock.patch("gradcheck_cli.judge.judge", keep):
            asking.diagnosed(case.problem(), case.name)
    except (GradcheckError, AssertionError):
        return None
    return Found(case.name, case.verdict, taken[0], series(case.problem()) if case.family == "course" else None)


def series(problem: Problem) -> Readings:
    """Train it, and read the checkpoints; the optimiser begins anew at each."""
    nets = [copy.deepcopy(problem.module)]
    for _ in range(CHECKPOINTS - 1):
        nets.append(course.run(replace(problem, module=nets[-1]), STEPS).net)
    batches = zip(problem.batches, problem.targets or (), strict=True)
    sample = Sample(
        batches=tuple(Batch(args=tuple(inputs), target=target, size=len(inputs[0])) for inputs, target in batches),
        source="benchmark",
        loss_name=problem.loss_name,
        loss=problem.loss,
    )
    *earlier, last = (Subject(path=f"{place}", format="in-memory", module=net) for place, net in enumerate(nets))
    readings = look(last, sample, mode=problem.mode, lr=problem.lr, optimizer=problem.optimizer)
    return follow(last, [partial(_itself, subject) for subject in earlier], sample, readings)


def _itself(subject: Subject) -> Subject:
    return subject


# ------------------------------------------------------------------------------------------------------------- the flip


@dataclass(frozen=True)
class Flip:
    """Where a threshold would tell a case otherwise."""

    value: float
    case: str
    told: bool
    """Another rule keeps the verdict of the model right; not asked where only the explanation is at stake."""


@dataclass(frozen=True)
class Side:
    """The cases on one side of a threshold."""

    cases: int
    flips: tuple[Flip, ...]
    """The nearest first; a case that no value of the threshold tells otherwise has none."""


def flip(changes: Callable[[float], bool], start: float, direction: int, use: Use) -> float | None:
    """The first value, from `start` up or down, at which `changes` becomes true, to 1 %; None where there is none."""
    inside = outside = start
    for factor in FACTORS:
        inside, outside = outside, max(use.least, min(use.most, start * factor**direction))
        if changes(outside):
            break
        if outside in (use.least, use.most):
            return None
    else:
        return None
    while max(outside / inside, inside / outside) > 1.01:
        middle = math.sqrt(inside * outside)
        inside, outside = (inside, middle) if changes(middle) else (middle, outside)
    return outside


def moved(name: str, value: float) -> Thresholds:
    """All thresholds as they are but this one, and what moves along with it."""
    use, present = USES[name], Thresholds()
    changed = {name: value}
    if use.along:
        changed[use.along] = (max if use.stricter == UP else min)(value, getattr(present, use.along))
    return msgspec.structs.replace(present, **changed)


def hit(readings: Readings, thresholds: Thresholds, codes: Sequence[str], verdict: str) -> bool:
    """Rules with these codes name a culprit of this verdict; for ``healthy``: they hit anything."""
    view = View(readings, thresholds)
    rules = (rule for rule in RULES if rule.code in codes and verdict in (rule.verdict.value, HEALTHY))
    return any(found.culprit or verdict == HEALTHY for rule in rules for found in rule.check(view))


def sides(name: str, found: Sequence[Found]) -> tuple[Side, Side]:
    """(cases that must not be hit, ill ones that must) of the threshold of this name."""
    use, present = USES[name], Thresholds()
    spared: list[Flip | None] = []
    caught: list[Flip | None] = []
    for case in found:
        readings = case.run if use.series else case.readings
        if readings is None:
            continue
        if case.label != HEALTHY and hit(readings, present, use.rules, case.label):
            caught.append(_flipped(name, case, readings, -use.stricter, case.label))
        elif hit(readings, present, use.rather, case.label) if use.rather else case.label == HEALTHY:
            spared.append(_flipped(name, case, readings, use.stricter, HEALTHY))
    return _side(name, spared), _side(name, caught)


def _flipped(name: str, case: Found, readings: Readings, direction: int, verdict: str) -> Flip | None:
    def changes(value: float) -> bool:
        return hit(readings, moved(name, value), USES[name].rules, verdict) is (verdict == HEALTHY)

    value = flip(changes, float(getattr(Thresholds(), name)), direction, USES[name])
    if value is None:
        return None
    after = judge(readings, thresholds=moved(name, value)).verdict.value
    return Flip(value, case.name, told=not USES[name].rather and after == case.label)


def _side(name: str, flips: Sequence[Flip | None]) -> Side:
    start = getattr(Thresholds(), name)
    near = [each for each in flips if each is not None]
    return Side(len(flips), tuple(sorted(near, key=lambda each: abs(math.log(each.value / start)))))


# ------------------------------------------------------------------------------------------------------------- the words


def margin(name: str, value: float) -> str:
    """``×2.5`` or ``÷870``: how far `value` is from the threshold."""
    start = getattr(Thresholds(), name)
    return f"×{number(value / start)}" if value >= start else f"÷{number(start / value)}"


def sentence(name: str, spared: Side, caught: Side) -> str:
    """What a docstring says."""
    use = USES[name]
    cases = f"cases that {' or '.join(use.rather)} explain" if use.rather else "healthy cases"
    runs = "the runs of " if use.series else ""
    free = f"of {runs}{spared.cases} {cases} {_first(name, spared, 'hit')}"
    if caught.cases == 1:
        return f"Measured: {free}; the only ill one {_where(name, caught, 'lost')}."
    return f"Measured: {free}; " + (
        f"of {caught.cases} ill ones {_first(name, caught, 'lost')}." if caught.cases else "no ill one rests on it."
    )


def _first(name: str, side: Side, verb: str) -> str:
    return f"{'the first' if side.flips else 'none'} {_where(name, side, verb)}"


def _where(name: str, side: Side, verb: str) -> str:
    if not side.flips:
        return f"is {verb} at any value" if side.cases != 1 else f"is {verb} at no value"
    near = side.flips[0]
    others = ", where another rule tells it" if near.told else ""
    return f"is {verb} at {number(near.value)} ({margin(name, near.value)}, {near.case}){others}"


def cell(name: str, side: Side) -> str:
    """The same in a table."""
    if not side.flips:
        return f"– ({side.cases})"
    near = side.flips[0]
    told = ", told by another rule" if near.told else ""
    return f"{number(near.value)}, {margin(name, near.value)} ({len(side.flips)} of {side.cases}; {near.case}{told})"


def docstrings(page: Path = PAGE) -> dict[str, tuple[ast.Expr, str]]:
    """Threshold → (the expression below it, its text in one line)."""
    classes = (node for node in ast.parse(page.read_text()).body if isinstance(node, ast.ClassDef))
    body = next(each for each in classes if each.name == "Thresholds").body
    found = {}
    for field, below in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            found[ast.unparse(field.target)] = (below, " ".join(str(below.value.value).split()))
    return found


def write(sentences: Mapping[str, str], page: Path = PAGE) -> None:
    """Put the sentences at the end of the docstrings, in place of those of the last time."""
    lines = page.read_text().splitlines()
    for name, (below, text) in reversed(docstrings(page).items()):
        if name in sentences:
            kept = text.partition("Measured: ")[0].strip()
            new = f'"""{kept} {sentences[name]}"""'
            wrapped = textwrap.wrap(new, WIDTH, initial_indent=INDENT, subsequent_indent=INDENT, break_on_hyphens=False)
            lines[below.lineno - 1 : below.end_lineno] = wrapped
    page.write_text("\n".join(lines) + "\n")


def near(name: str, mine: tuple[Side, Side]) -> list[str]:
    """The cases that lie within a factor of `NEAR`."""
    start = getattr(Thresholds(), name)
    return [
        f"- `{name}` {start:g}: {verb} {each.case} at {number(each.value)} ({margin(name, each.value)})"
        + (", told by another rule" if each.told else "")
        for verb, side in zip(("hits", "loses"), mine, strict=True)
        for each in side.flips
        if 1 / NEAR < each.value / start < NEAR
    ]


def report(found: Sequence[Found]) -> tuple[str, dict[str, str]]:
    """(the table and what lies near, a sentence for each threshold that was measured)."""
    parts = [[each for each in found if each.name.startswith("unseen") is seen] for seen in (False, True)]
    cells, close, sentences = [], [], {}
    for name, (_, text) in docstrings().items():
        row = [f"`{name}`", f"{getattr(Thresholds(), name):g}"]
        if name in USES:
            mine, theirs = (sides(name, part) for part in parts)
            sentences[name] = sentence(name, *mine)
            close += near(name, mine)
            cells.append([*row, ", ".join(USES[name].rules), *(cell(name, side) for side in (*mine, *theirs))])
        else:
            cells.append([*row, "definition: " + text.partition("Definition: ")[2], *[""] * 4])
    head = [
        "threshold",
        "value",
        "rules",
        "healthy: first hit at",
        "ill: first lost at",
        "unseen healthy",
        "unseen ill",
    ]
    return "\n".join([table(head, cells), "", f"Within a factor of {NEAR:g}:", *close]), sentences


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--write", action="store_true", help="write the figures into the docstrings of config.py")
    parser.add_argument("--processes", type=int, default=2, metavar="N")
    given = parser.parse_args()
    torch.set_num_threads(1)
    answers = asking.all_of(chosen(half="calibration"), measured, given.processes, "thresholds")
    text, sentences = report([each for each in answers if each is not None])
    print(text)
    if given.write:
        write(sentences)


if __name__ == "__main__":
    main()
