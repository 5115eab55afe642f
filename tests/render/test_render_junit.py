"""JUnit XML against Jenkins' own schema and an independent parser."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from invented_diagnoses import HOSTILE_NAMES, INVENTED
from lxml import etree
from made_diagnoses import DIAGNOSES

from gradcheck_cli.records import Diagnosis, Verdict
from gradcheck_cli.render import junit
from gradcheck_cli.text import plain

SCHEMA = etree.XMLSchema(etree.parse(Path(__file__).parent / "schemas" / "junit-10.xsd"))
some = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def suite_of(diagnosis: Diagnosis) -> etree._Element:
    """Return the one suite of the valid document."""
    tree = etree.fromstring(junit.render(diagnosis).encode("ascii"))
    SCHEMA.assertValid(tree)
    (suite,) = tree
    return suite


@pytest.mark.parametrize("name", INVENTED)
def test_valid_and_the_counts_add_up(name: str) -> None:
    diagnosis = INVENTED[name]()
    suite = suite_of(diagnosis)
    cases = suite.findall("testcase")
    ill = [layer for layer in diagnosis.layers if layer.verdict not in (Verdict.HEALTHY, Verdict.NOT_MEASURED)]
    unknown = [layer for layer in diagnosis.layers if layer.verdict is Verdict.NOT_MEASURED]
    assert int(suite.get("tests", "")) == len(cases)
    assert int(suite.get("failures", "")) == len(ill) == len(suite.findall(".//failure"))
    assert [case.get("name") for case in cases if case.find("failure") is not None] == [plain(x.name) for x in ill]
    if diagnosis.layers:
        assert len(cases) == len(diagnosis.layers)
        assert int(suite.get("skipped", "")) == len(unknown) == len(suite.findall(".//skipped"))


@given(DIAGNOSES)
@some
def test_whatever_the_texts_it_stays_valid(diagnosis: Diagnosis) -> None:
    cases = suite_of(diagnosis).findall("testcase")
    assert [case.get("name") for case in cases][: len(diagnosis.layers)] == [plain(x.name) for x in diagnosis.layers]


def test_hostile_names_are_only_names() -> None:
    suite = suite_of(INVENTED["hostile"]())
    assert {each.tag for each in suite.iter()} == {
        *("testsuite", "properties", "property", "testcase", "failure", "system-out")
    }
    assert [case.get("name") for case in suite.findall("testcase")] == [plain(name) for name in HOSTILE_NAMES]


def test_culprits_victims_and_remedies_are_told() -> None:
    suite = suite_of(INVENTED["dead_relu"]())
    told = {case.get("name"): case.find("failure") for case in suite.findall("testcase")}
    culprit, victim = told["net.3"], told["net.0"]
    assert culprit is not None
    assert victim is not None
    assert culprit.get("type") == "dead"
    assert (culprit.get("message") or "").startswith("culprit: 64 of 64 units never fire")
    assert "Remedy: Use a leaky activation" in (culprit.text or "")
    assert (victim.get("message") or "").startswith("victim of net.3: ")
    assert told["net.7"] is None


def test_nothing_measured_is_no_empty_suite() -> None:
    suite = suite_of(INVENTED["no_layers"]())
    (case,) = suite.findall("testcase")
    assert case.find("skipped") is not None
    assert suite.get("skipped") == "1"
