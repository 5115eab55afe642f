"""The labelled set itself: its labels, its halves, and, on a part of it that builds fast, what gradcheck says."""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import replace
from functools import cache
from pathlib import Path

import labelled_path  # noqa: F401
import pytest
from accuracy import figures, unseen_files
from accuracy.asking import Outcome, all_of, ask, diagnosed
from accuracy.cases import HEALTHY, Case
from accuracy.families import FAMILIES, chosen
from accuracy.unseen import CASES
from accuracy.unseen import Case as Unseen
from accuracy.unseen.case import prove
from accuracy.unseen_files.instruments import Asserted
from accuracy.unseen_files.instruments import Case as File

from gradcheck_cli.records import Diagnosis

SLOW_TO_BUILD = ("trained", "course", "architectures", "unseen-files")
EVERY, EVERY_UNSEEN = 7, 21
"""Of how many cases one is asked; the families that build at once, and the two examinations, most of which do."""

EXAMINERS = "480ec1bfdb58e6f83254d78bc98c081135bb1c538a04646149ffdd22e56599f7"
"""The digest of all labels, culprits and layers of the examination as they came."""

EXAMINERS_FILES = "b32494cc757d138f68fa262ae2878b1d13cc105d36d15c32ebeb4da6c147550e"
"""That of the second examination."""


KNOWN = {"unseen-files/ne_rec_van_llin_S41_178"}
"""A share of the gradient between 1e-10 and 1e-8 that reaches the first step is called healthy."""


@cache
def cases() -> tuple[Case, ...]:
    return tuple(chosen())


@cache
def fast() -> tuple[Outcome, ...]:
    """A fixed share of the cases that build at once, by a hash of their names."""
    quick = [case for case in cases() if case.family not in SLOW_TO_BUILD and "/trained/" not in case.name]
    return tuple(
        ask(case, steps=5) for case in quick if drawn(case.name, EVERY_UNSEEN if case.family == "unseen" else EVERY)
    )


def drawn(name: str, every: int) -> bool:
    return zlib.crc32(name.encode()) // 2 % every == 0


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


def test_files_are_told_right_but_for_what_is_known() -> None:
    quick = [c for c in cases() if c.family == "unseen-files" and not c.name.startswith("unseen-files/tr_")]
    outcomes = [ask(case, steps=5) for case in quick if drawn(case.name, EVERY_UNSEEN)]
    assert len(outcomes) == 18
    assert {o.name for o in outcomes if not o.right} == KNOWN
    assert {o.name for o in outcomes if o.layers_wrong or o.culprit_right is False} == KNOWN


def test_the_truths_of_the_examination_are_the_examiners() -> None:
    truths = sorted([case.name, case.label, list(case.culprits), sorted(case.layers.items())] for case in CASES)
    assert len(truths) == 440
    assert hashlib.sha256(json.dumps(truths).encode()).hexdigest() == EXAMINERS


def test_the_truths_of_the_second_examination_are_the_examiners() -> None:
    files = unseen_files.CASES
    truths = sorted([case.name, case.verdict, list(case.culprits), sorted(case.layers.items())] for case in files)
    assert len(truths) == 589
    assert hashlib.sha256(json.dumps(truths).encode()).hexdigest() == EXAMINERS_FILES


@pytest.mark.parametrize(
    "case",
    [case for case in unseen_files.CASES if drawn(case.name, 40) and not isinstance(case.proof, Asserted)],
    ids=lambda case: case.name,
)
def test_labels_of_the_second_examination_hold_in_plain_torch(case: File) -> None:
    holds, evidence = case.proof(case)
    assert holds, evidence


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("in_ok_lstm2", "state-dict"),
        ("in_unused", "entry-point"),
        ("in_sat_tanh_pt2", "exported-program"),
        ("in_kill30_first", "onnx"),
        ("ex_onnx2_kill60", "onnx"),
        ("ex_onnxeval_kill60", "onnx"),
        ("in_bias100_mlp", "torch-module"),
    ],
)
def test_a_file_is_asked_about_and_gone_afterwards(name: str, form: str) -> None:
    case = next(case for case in unseen_files.CASES if case.name == name)
    found = diagnosed(unseen_files.labelled_case(case).problem(), steps=0)
    assert isinstance(found, Diagnosis)
    assert found.model.format == form
    assert (found.sample.source == "synthetic") is (case.data is None)
    assert found.verdict.value == case.verdict
    assert not Path(found.model.path).exists()


@pytest.mark.parametrize("case", [case for case in CASES if drawn(case.name, 40)], ids=lambda case: case.name)
def test_labels_of_the_examination_hold_in_plain_torch(case: Unseen) -> None:
    assert prove(case)


def test_a_label_that_does_not_hold_is_not_proven() -> None:
    by_name = {case.name: case for case in CASES}
    ill, well = by_name["other/dense-dead-one"], by_name["other/dense"]
    with pytest.raises(AssertionError):
        prove(replace(well, proof=ill.proof))
    with pytest.raises(AssertionError):
        prove(replace(ill, proof=well.proof))
    with pytest.raises(AssertionError, match="no layer nowhere"):
        prove(replace(well, layers={"nowhere": "healthy"}))


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
