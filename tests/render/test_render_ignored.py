"""What the user ignores, with the reason, in every format: said where it would have been told, counted nowhere."""

from __future__ import annotations

import io
import json
from pathlib import Path

import jsonschema
import msgspec
import pytest
from invented_diagnoses import INVENTED
from lxml import etree
from rich.console import Console

from gradcheck_cli.records import Diagnosis, Ignored, Verdict
from gradcheck_cli.render import json_v1, junit, markdown, plain_text, sarif, table

SCHEMAS = Path(__file__).parent / "schemas"
SARIF = jsonschema.Draft4Validator(json.loads((SCHEMAS / "sarif-2.1.0-rtm.4.json").read_text(encoding="utf-8")))
JUNIT = etree.XMLSchema(etree.parse(SCHEMAS / "junit-10.xsd"))


def ignored(layer: str, reason: str = "starts small by design", verdict: Verdict = Verdict.VANISHING) -> Ignored:
    code = "GC907" if verdict is Verdict.HEALTHY else "GC101"
    return Ignored(code=code, layer=layer, verdict=verdict, culprit=True, message="T falls to 1e-9", reason=reason)


def with_ignored(*given: Ignored) -> Diagnosis:
    """Return a healthy diagnosis from which findings were left out."""
    return msgspec.structs.replace(INVENTED["healthy_residual"](), ignored=given)


@pytest.fixture
def layer() -> str:
    return INVENTED["healthy_residual"]().layers[1].name


def test_table(layer: str) -> None:
    page = plain_text.render(with_ignored(ignored(layer)))
    assert f"ignored: GC101 at {layer}: starts small by design\n" in page
    assert "Findings" in page
    assert "HEALTHY" in page


def test_table_groups_by_rule_and_reason() -> None:
    many = [ignored(f"net.{place}") for place in range(6)]
    page = plain_text.render(with_ignored(*many, ignored("head", "another")))
    assert "ignored: GC101 at net.0, net.1, net.2 and 3 more: starts small by design" in page
    assert "ignored: GC101 at head: another" in page
    assert "--verbose shows everything" in page
    verbose = plain_text.render(with_ignored(*many), verbose=True)
    assert "net.3, net.4 and net.5: starts small by design" in " ".join(verbose.split())


@pytest.mark.parametrize(("reason", "told"), [("it is meant", True), ("", False)])
def test_an_ignored_note_is_told_only_with_its_reason(layer: str, reason: str, told: bool) -> None:
    page = plain_text.render(with_ignored(ignored(layer, reason, Verdict.HEALTHY)))
    assert ("ignored: GC907" in page) is told


def test_an_ignored_illness_is_never_silent(layer: str) -> None:
    assert f"ignored: GC101 at {layer}: no reason given" in plain_text.render(with_ignored(ignored(layer, "")))


def test_forty_columns_without_utf8() -> None:
    class Ascii(io.StringIO):
        encoding = "ascii"

    page = Ascii()
    console = Console(file=page, width=40, _environ={})
    table.render(with_ignored(ignored("a\x1b[31mä", "ein Grund mit ü, \x1b[31m und [bold]Klammern[/]")), console)
    assert page.getvalue().isascii()
    assert "\x1b" not in page.getvalue()
    assert "[bold]Klammern[/]" in " ".join(page.getvalue().split())
    assert max(map(len, page.getvalue().splitlines())) <= 40


def test_markdown(layer: str) -> None:
    page = markdown.render(with_ignored(ignored(layer, "small | by <b>design</b>")))
    (line,) = [line for line in page.splitlines() if line.startswith("- ignored: ")]
    assert line.startswith(f"- ignored: `GC101` at `{layer}`: small ")
    assert "<b>" not in line
    assert "|" not in line
    assert "1 finding ignored" in page


def test_json(layer: str) -> None:
    report = json.loads(json_v1.render(with_ignored(ignored(layer))))
    jsonschema.Draft202012Validator(json.loads(json_v1.schema())).validate(report)
    assert report["ignored"] == [
        {
            "code": "GC101",
            "layer": layer,
            "verdict": "vanishing",
            "culprit": True,
            "message": "T falls to 1e-9",
            "reason": "starts small by design",
        }
    ]


def test_sarif(layer: str) -> None:
    diagnosis = with_ignored(ignored(layer), ignored("x", ""))
    log = json.loads(sarif.render(diagnosis))
    SARIF.validate(log)
    *told, one, other = log["runs"][0]["results"]
    assert len(told) == len(diagnosis.findings)
    assert all("suppressions" not in result for result in told)
    assert one["ruleId"] == "GC101"
    assert one["suppressions"] == [{"kind": "external", "justification": "starts small by design"}]
    assert other["suppressions"] == [{"kind": "external", "justification": "no reason given"}]


def test_junit(layer: str) -> None:
    suites = etree.fromstring(junit.render(with_ignored(ignored(layer))).encode())
    JUNIT.assertValid(suites)
    told = {case.get("name"): case.find("skipped") for case in suites.iter("testcase")}
    skipped = told.pop(layer)
    assert skipped is not None
    assert skipped.get("message") == "ignored: GC101: starts small by design"
    assert not any(each is not None for each in told.values())
    assert (suites[0].get("skipped"), suites[0].get("failures")) == ("1", "0")


def test_junit_of_a_layer_that_is_ill_all_the_same() -> None:
    diagnosis = INVENTED["dead_relu"]()
    diagnosis = msgspec.structs.replace(diagnosis, ignored=(ignored("net.3"),))
    suites = etree.fromstring(junit.render(diagnosis).encode())
    JUNIT.assertValid(suites)
    (case,) = [case for case in suites.iter("testcase") if case.get("name") == "net.3"]
    assert case.find("failure") is not None
    assert case.find("skipped") is None
    assert case.findtext("system-out") == "ignored: GC101: starts small by design"
