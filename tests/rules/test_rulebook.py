"""The rulebook polices itself: every rule has a code, a manual with its sections, and remedies that exist."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from gradcheck_cli.records import Verdict
from gradcheck_cli.remedies import remedies_for
from gradcheck_cli.rules import RULES
from gradcheck_cli.rules.interface import Rule

FAMILIES = {"vanishing": "GC1", "exploding": "GC2", "dead": "GC3", "notes": "GC9"}
NAMES = [rule.code for rule in RULES]


def test_codes_and_names_are_unique_and_in_order() -> None:
    assert sorted(set(NAMES)) == NAMES
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_every_file_is_in_the_book() -> None:
    root = Path(inspect.getfile(type(RULES[0]))).parents[1]
    files = {path for family in FAMILIES for path in (root / family).glob("*.py") if path.name != "__init__.py"}
    assert files == {Path(inspect.getfile(type(rule))) for rule in RULES}


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_family_code_and_verdict_agree(rule: Rule) -> None:
    family = type(rule).__module__.split(".")[2]
    assert rule.code.startswith(FAMILIES[family])
    assert rule.verdict == (Verdict.HEALTHY if family == "notes" else Verdict(family))


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_manual_has_its_sections(rule: Rule) -> None:
    manual = inspect.getdoc(rule) or ""
    sections = (
        ["Source."]
        if rule.verdict is Verdict.HEALTHY
        else ["What it measures.", "Why it matters.", "Remedy.", "Source."]
    )
    assert [section for section in sections if section not in manual] == []
    assert len(manual.splitlines()[0]) <= 120


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_illnesses_have_remedies_and_notes_have_none_or_mild_ones(rule: Rule) -> None:
    found = remedies_for(rule.code)
    assert found if rule.verdict is not Verdict.HEALTHY else set(found) <= {"leaky-activation"}


def test_the_book_opens_without_torch() -> None:
    code = "import sys, gradcheck_cli.rules, gradcheck_cli.judge; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
