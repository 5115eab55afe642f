"""The labelled set itself: its labels, its halves, and, on a part of it that builds fast, what gradcheck says."""

from __future__ import annotations

import zlib
from functools import cache

import labelled_path  # noqa: F401
import pytest
from accuracy import figures
from accuracy.asking import Outcome, all_of, ask
from accuracy.cases import HEALTHY, Case
from accuracy.families import FAMILIES, chosen

SLOW_TO_BUILD = ("trained", "course", "architectures")


@cache
def cases() -> tuple[Case, ...]:
    return tuple(chosen())


@cache
def fast() -> tuple[Outcome, ...]:
    """Every seventh case of the families that build at once, by a hash of its name."""
    quick = [case for case in cases() if case.family not in SLOW_TO_BUILD]
    return tuple(ask(case, steps=5) for case in quick if zlib.crc32(case.name.encode()) // 2 % 7 == 0)


def test_it_is_large_and_from_four_kinds_of_truth() -> None:
    assert len(cases()) >= 300
    assert {case.family for case in cases()} == set(FAMILIES)
    healthy = [case for case in cases() if case.verdict == HEALTHY]
    assert 0.3 < len(healthy) / len(cases()) < 0.75
    assert all(case.why for case in cases())
    assert sum(case.family == "architectures" for case in cases()) >= 60


def test_names_split_it_in_two_halves() -> None:
    held_out = sum(case.held_out for case in cases())
    assert 0.45 < held_out / len(cases()) < 0.55


def test_a_case_is_the_same_at_every_build() -> None:
    case = next(case for case in cases() if case.name.startswith("theory/"))
    first, second = case.problem(), case.problem()
    for a, b in zip(first.module.parameters(), second.module.parameters(), strict=True):
        assert a.equal(b)
    assert first.batches[0][0].equal(second.batches[0][0])


@pytest.mark.parametrize("held_out", [False, True])
def test_a_part_of_it_is_told_right(held_out: bool) -> None:
    part = [outcome for outcome in fast() if outcome.held_out is held_out]
    accuracy = figures.balanced(part)
    assert len(part) > 20
    assert accuracy is not None
    assert accuracy >= 0.97
    assert [o.name for o in part if o.verdict == HEALTHY and o.said != HEALTHY] == []
    right, of = figures.culprits(part)
    assert right >= 0.9 * of > 0  # of some twenty, so two may be wrong


@pytest.mark.slow
def test_all_of_it_is_told_right() -> None:
    outcomes = all_of(cases(), ask, 2, "asking")
    held_out = figures.halves(outcomes)["held out"]
    accuracy = figures.balanced(held_out)
    assert accuracy is not None
    assert accuracy >= 0.97
    assert figures.alarms(held_out)[0] == 0
    for figure in (figures.kinds, figures.layers, figures.culprits):
        right, of = figure(held_out)
        assert right >= 0.95 * of > 0
