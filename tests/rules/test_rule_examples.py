"""Every rule's manual carries two examples: one where the rule hits, and its nearest twin, where the fault is cured."""

from __future__ import annotations

import difflib
from pathlib import Path
from textwrap import indent

import pytest
import torch
from examples import diagnosed, expected

from gradcheck_cli.cli.app import run
from gradcheck_cli.records import Diagnosis, Verdict
from gradcheck_cli.rules import RULES
from gradcheck_cli.rules.interface import Rule
from gradcheck_cli.rules.manual import EXAMPLES, Block, blocks, examples

INDENT, TERMINAL = " " * 4, 80
EVERY_RULE = pytest.mark.parametrize("rule", RULES, ids=[f"{rule.code}-{rule.name}" for rule in RULES])


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def is_note(rule: Rule) -> bool:
    return rule.verdict is Verdict.HEALTHY


def pair(rule: Rule) -> tuple[str, str]:
    found = examples(rule)
    assert tuple(found) == EXAMPLES[is_note(rule)], "each rule has both of its examples, in this order"
    return found[EXAMPLES[is_note(rule)][0]], found[EXAMPLES[is_note(rule)][1]]


def hits(found: Diagnosis, code: str) -> set[str]:
    return {finding.layer for finding in found.findings if finding.code == code}


@EVERY_RULE
def test_the_ill_example(rule: Rule, tmp_path: Path) -> None:
    ill, _ = pair(rule)
    says = expected(ill)
    assert says is not None
    assert says.code == rule.code
    assert says.verdict is None or is_note(rule)
    found = diagnosed(ill, tmp_path)
    assert says.layer in hits(found, rule.code)
    assert found.verdict is (says.verdict or rule.verdict), found.summary
    layer = next(layer for layer in found.layers if layer.name == says.layer)
    assert rule.code in layer.findings
    assert rule.name in layer.notes or not is_note(rule)


@EVERY_RULE
def test_its_healthy_twin(rule: Rule, tmp_path: Path) -> None:
    _, healthy = pair(rule)
    found = diagnosed(healthy, tmp_path)
    assert hits(found, rule.code) == set()
    assert found.verdict is Verdict.HEALTHY, found.summary


@EVERY_RULE
def test_the_twin_differs_in_one_place(rule: Rule) -> None:
    ill, healthy = pair(rule)
    assert expected(healthy) is None
    before, after = ill.splitlines()[:-1], healthy.splitlines()
    changes = [change for change in difflib.SequenceMatcher(None, before, after).get_opcodes() if change[0] != "equal"]
    assert len(changes) == 1
    _, begin, end, begin_after, end_after = changes[0]
    assert max(end - begin, end_after - begin_after) == 1


@EVERY_RULE
def test_an_example_fits_a_small_terminal(rule: Rule) -> None:
    for example in pair(rule):
        lines = example.splitlines()
        assert 2 <= len(lines) <= 10
        assert [line for line in lines if len(INDENT + line) > TERMINAL - 4] == []


@EVERY_RULE
def test_explain_shows_it_to_the_letter(
    rule: Rule, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(TERMINAL))
    assert run(["explain", rule.code]) == 0
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= TERMINAL
    for example in pair(rule):
        assert "\n\n" + indent(example, INDENT) + "\n" in printed


def test_a_manual_is_taken_apart_without_loss() -> None:
    class Invented:
        """Says something. And more.

        What it measures. One thing,
        and another.

        Not a section. Prose.

        Ill.

            for _ in range(2):
                pass
            # GC999 at 0
        """

    assert list(blocks(Invented())) == [  # type: ignore[arg-type]
        Block(section="", text="Says something. And more."),
        Block(section="What it measures", text="One thing,\nand another.", named=True),
        Block(section="What it measures", text="Not a section. Prose."),
        Block(section="Ill", text="", named=True),
        Block(section="Ill", text="for _ in range(2):\n    pass\n# GC999 at 0", code=True),
    ]


def test_an_expectation() -> None:
    assert expected("x = 1") is None
    says = expected("x = 1\n# GC910 at a.b, in a dead model")
    assert says is not None
    assert (says.code, says.layer, says.verdict) == ("GC910", "a.b", Verdict.DEAD)
