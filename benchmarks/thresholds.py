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
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
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

    def keep(readings: Readings) -> Judgement:
        taken.append(readings)
        return judge(readings)

    try:
        with mock.patch.object(asking, "judge", keep):
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
    """Another rule keeps the verdict of the model right."""


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


def names_culprit(readings: Readings, thresholds: Thresholds, codes: Sequence[str], verdict: str) -> bool:
    """One of the rules with these codes and this verdict names a culprit."""
    view = View(readings, thresholds)
    rules = (rule for rule in RULES if rule.code in codes and verdict in (rule.verdict.value, HEALTHY))
    return any(hit.culprit or verdict == HEALTHY for rule in rules for hit in rule.check(view))


def sides(name: str, found: Sequence[Found]) -> tuple[Side, Side]:
    """(cases that must not be hit, ill ones that must be) of the threshold of this name."""
    use, present = USES[name], Thresholds()
    start = float(getattr(present, name))
    spared: list[tuple[Found, float | None]] = []
    caught: list[tuple[Found, float | None]] = []
    for case in found:
        readings = case.run if use.series else case.readings
        if readings is None:
            continue

        def hit(value: float, case: Found = case, readings: Readings = readings) -> bool:
            return names_culprit(readings, moved(name, value), use.rules, case.label)

        if hit(start):
            if case.label != HEALTHY:
                caught.append((case, flip(lambda value, hit=hit: not hit(value), start, -use.stricter, use)))  # type: ignore[misc]
        elif names_culprit(readings, present, use.rather, case.label) if use.rather else case.label == HEALTHY:
            spared.append((case, flip(hit, start, use.stricter, use)))
    return _side(name, spared), _side(name, caught)
