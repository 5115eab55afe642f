"""What every threshold was set from: how far it could move, alone, before a labelled case is told otherwise.

    python benchmarks/thresholds.py [--write] [--processes N]

Over the calibration half of the labelled set. Each case is measured once; then one threshold at a time is moved away from
its value and the rules that read it are asked again, until they hit a healthy case, or no longer hit an ill one that they
were the reason for. The value at which that happens is the number that the rule compares with the threshold, with all other
conditions of the rule met. ``--write`` puts the figures into the docstrings of gradcheck_cli/config.py. The examination
(family ``unseen``) sets nothing; it has columns of its own.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent))

import msgspec  # the path above makes the imports of the set possible
import torch

from accuracy import asking
from accuracy.cases import HEALTHY, Case
from accuracy.families import chosen
from accuracy.markdown import table
from gradcheck_cli.config import Thresholds
from gradcheck_cli.errors import GradcheckError
from gradcheck_cli.judge import Judgement, judge
from gradcheck_cli.readings import Readings
from gradcheck_cli.rules import RULES
from gradcheck_cli.rules.interface import Hit, Rule
from gradcheck_cli.rules.view import View
from gradcheck_cli.rules.wording import number

UP, DOWN = 1, -1
FACTORS = (1.01, 1.05, 1.2, 1.5, 2.0, 4.0, 10.0, 100.0, 1e3, 1e4, 1e6, 1e9, 1e12, 1e20)
"""How far a threshold is moved, before the place of a change is narrowed down to 1 %."""
NARROW = 2.0
"""A margin below this factor is said."""


@dataclass(frozen=True)
class Measured:
    """How the cases bear on one threshold."""

    rules: tuple[str, ...]
    """Codes of the rules that read it."""
    stricter: int
    """The direction in which more is ill."""
    rather: tuple[str, ...] = ()
    """Instead of healthy cases: ill ones that only these rules hit, as it decides between two explanations of the same ill."""
    most: float = math.inf
    """It can be no larger …"""
    least: float = 0.0
    """… and no smaller."""


FADING, GROWING = ("GC101", "GC102"), ("GC201", "GC202")
SINGLE, SHARED = ("GC102", "GC202"), ("GC101", "GC201")
OVER_STEPS = ("GC108", "GC109", "GC110", "GC209", "GC210", "GC211", "GC305")
MEASURED = {
    "dead_share": Measured(("GC301", "GC305"), DOWN, most=1.0),
    "saturated_share": Measured(("GC103",), DOWN, most=1.0),
    "evidence": Measured(("GC103", "GC301"), DOWN),
    "chance": Measured(("GC301",), UP, most=0.5, least=1e-12),
    "vanishing": Measured(FADING, UP),
    "branch": Measured(FADING, UP),
    "deaf_weights": Measured(("GC107",), UP),
    "exploding": Measured(GROWING, DOWN),
    "bottleneck": Measured((*FADING, "GC106"), UP),
    "burst": Measured(GROWING, DOWN),
    "abrupt": Measured((*FADING, *GROWING), DOWN),
    "temperature": Measured(GROWING, DOWN),
    "underflow": Measured(("GC304",), DOWN, rather=FADING),
    "outlier": Measured(SINGLE, DOWN, rather=SHARED),
    "outlier_share": Measured(SINGLE, DOWN, rather=SHARED, most=1.0),
    "time_reach": Measured(("GC104",), UP),
    "gated_time_gain": Measured(("GC104",), UP),
    "time_explosion": Measured(("GC203",), DOWN),
    "zero_weight": Measured(("GC106",), UP),
    "relative_update": Measured(("GC208",), DOWN),
    "converged": Measured(OVER_STEPS, DOWN),
    "divergence": Measured(("GC209",), DOWN),
    "jump": Measured(("GC210",), DOWN),
    "jump_share": Measured(("GC210",), DOWN, most=1.0),
    "comparisons": Measured(("GC210",), DOWN),
    "weight_growth": Measured(("GC211",), DOWN),
    "weight_shrinkage": Measured(("GC110",), UP),
    "wrong": Measured(("GC103",), DOWN),
    "still": Measured(("GC108",), UP),
    "still_ratio": Measured(("GC108",), DOWN),
    "slow": Measured(("GC103", "GC109"), UP),
}
DEFINED = {
    "half_underflow": "float16's smallest subnormal number, 2^-24",
    "lost_share": "the method's 'most of': at least half",
    "learning_rate": "the contract's default",
    "born_dead": "more often than not",
    "still_growing": "a tenth of `weight_growth`",
    "still_shrinking": "",
    "run_still": "",
    "run_moved": "",
}
"""Thresholds that no case of the set can bear on (a property of a dtype, a series of checkpoints, other draws), and what defines them."""


# ------------------------------------------------------------------------------------------------------------ measuring


@dataclass(frozen=True)
class Found:
    """One case's label and readings."""

    name: str
    label: str
    readings: Readings


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
    return Found(case.name, case.verdict, taken[0])


# ------------------------------------------------------------------------------------------------------------- the flip


def flip(changes: Callable[[float], bool], start: float, direction: int, most: float = math.inf, least: float = 0.0) -> float | None:
    """The first value, from `start` up or down, at which `changes` becomes true, to 1 %; None where there is none."""
    inside = outside = start
    for factor in FACTORS:
        inside, outside = outside, max(least, min(most, start * factor**direction))
        if changes(outside):
            break
        if outside in (least, most):
            return None
    else:
        return None
    while max(outside / inside, inside / outside) > 1.01:
        middle = math.sqrt(inside * outside)
        inside, outside = (inside, middle) if changes(middle) else (middle, outside)
    return outside


def hits(readings: Readings, thresholds: Thresholds, codes: Sequence[str]) -> list[tuple[Rule, Hit]]:
    """What these rules say."""
    view = View(readings, thresholds)
    return [(rule, hit) for rule in RULES if rule.code in codes for hit in rule.check(view)]


@dataclass(frozen=True)
class Side:
    """The cases on one side of a threshold: how many, and where it would begin to tell them otherwise."""

    cases: int
    flips: tuple[tuple[float, str], ...]
    """(value, case), the nearest first; cases that no value of this threshold tells otherwise are absent."""

    @property
    def nearest(self) -> tuple[float, str] | None:
        return self.flips[0] if self.flips else None


def sides(name: str, found: Sequence[Found]) -> tuple[Side, Side]:
    """(cases that must not be hit, ill ones that must) of the threshold of this name."""
    spec, present = MEASURED[name], Thresholds()
    start = getattr(present, name)

    def at(value: float) -> Thresholds:
        return msgspec.structs.replace(present, **{name: value})

    spared, caught = [], []
    for case in found:
        now = hits(case.readings, present, spec.rules)
        if _spared(case, spec, now):
            spared.append((flip(lambda v: bool(hits(case.readings, at(v), spec.rules)), start, spec.stricter, spec.most, spec.least), case.name))
        elif any(hit.culprit and rule.verdict == case.label for rule, hit in now):
            kept = lambda v: any(hit.culprit and rule.verdict == case.label for rule, hit in hits(case.readings, at(v), spec.rules))
            caught.append((flip(lambda v: not kept(v), start, -spec.stricter, spec.most, spec.least), case.name))
    return _side(spared, start), _side(caught, start)


def _spared(case, spec, now):
    if now:
        return False
    if spec.rather:
        return case.label != HEALTHY and bool(hits(case.readings, Thresholds(), spec.rather))
    return case.label == HEALTHY


def _side(values, start):
    near = sorted((abs(math.log(v / start)), v, n) for v, n in values if v is not None)
    return Side(len(values), tuple((v, n) for _, v, n in near))
