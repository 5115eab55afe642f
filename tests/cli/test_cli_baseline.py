"""One pull request, one story in every format: what got worse fails and is named, what was ill before is known."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from lxml import etree
from made_runs import BEFORE, REGRESSION, D, E, H, N, V, layer, made, pull_request

from gradcheck_cli.cli.app import run
from gradcheck_cli.records import Diagnosis, Ignored, Verdict
from gradcheck_cli.render import csv_table, json_v1, junit, sarif

SCHEMAS = Path(__file__).resolve().parents[1] / "render" / "schemas"
JSON = jsonschema.Draft202012Validator(json.loads(json_v1.schema()))
SARIF = jsonschema.Draft4Validator(json.loads((SCHEMAS / "sarif-2.1.0-rtm.4.json").read_text(encoding="utf-8")))
JUNIT = etree.XMLSchema(etree.parse(SCHEMAS / "junit-10.xsd"))
FORMATS = ("json", "junit", "sarif", "csv", "text", "markdown", "github")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    pull_request(tmp_path, monkeypatch)
    return tmp_path


def reports(folder: Path, model: str, *more: str) -> tuple[int, dict[str, str]]:
    """Return the exit status of one measurement against the baseline, and its report in every format."""
    outputs = [part for name in FORMATS for part in ("--output", f"{name}:r.{name}")]
    status = run(["diagnose", model, "--baseline", "old.json", *outputs, *more])
    return status, {name: (folder / f"r.{name}").read_text(encoding="utf-8") for name in FORMATS}


def outcomes(text: str) -> dict[str, tuple[str, str]]:
    """Return test case → (passed, failure or skipped; its message)."""
    suites = etree.fromstring(text.encode())
    JUNIT.assertValid(suites)
    found = {}
    for case in suites.iter("testcase"):
        told = [each for each in case if each.tag in ("failure", "skipped")]
        assert len(told) <= 1
        found[str(case.get("name"))] = (str(told[0].tag), str(told[0].get("message"))) if told else ("passed", "")
    return found


def results(text: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Return (rule, layer) → the result of a valid log."""
    log = json.loads(text)
    SARIF.validate(log)
    found = log["runs"][0]["results"]
    named = {(r["ruleId"], r["locations"][0]["logicalLocations"][0]["fullyQualifiedName"]): r for r in found}
    assert len(named) == len(found)
    return named


def states(text: str) -> dict[tuple[str, str], str]:
    return {name: result["baselineState"] for name, result in results(text).items()}


def changes(text: str) -> dict[str, str]:
    return {row["layer"]: row["change"] for row in csv.DictReader(io.StringIO(text, newline=""), strict=True)}


def test_a_regression_in_every_format(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, told = reports(folder, "new.pt")
    assert status == 1
    assert capsys.readouterr() == ("", "gradcheck: worse than the baseline: head\n")
    assert outcomes(told["junit"]) == {
        "stem": ("passed", ""),
        "body": ("skipped", "known: in the baseline: body is vanishing by GC101"),
        "head": ("failure", "healthy → dead: culprit: head is dead by GC301"),
    }
    assert states(told["sarif"]) == {("GC101", "body"): "unchanged", ("GC301", "head"): "new"}
    report = json.loads(told["json"])
    JSON.validate(report)
    assert report["verdict"] == "dead"
    assert [change["layer"] for change in report["baseline"]["worse"]] == ["head"]
    assert json_v1.parse(told["json"]) == REGRESSION
    assert changes(told["csv"]) == {"stem": "unchanged", "body": "unchanged", "head": "worse"}
    assert "head  healthy → dead" in told["text"]
    assert "| `head` | healthy → dead |" in told["markdown"]
    (annotation,) = told["github"].splitlines()
    assert annotation.startswith("::error ")
    assert "::head: " in annotation


def test_an_unchanged_ill_baseline_in_every_format(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, told = reports(folder, "old.pt")
    assert status == 0
    assert capsys.readouterr() == ("", "")
    assert {kind for kind, _ in outcomes(told["junit"]).values()} == {"passed", "skipped"}
    assert states(told["sarif"]) == {("GC101", "body"): "unchanged"}
    report = json.loads(told["json"])
    JSON.validate(report)
    assert (report["baseline"]["worse"], report["baseline"]["unchanged"]) == ([], 3)
    assert set(changes(told["csv"]).values()) == {"unchanged"}
    assert "::error" not in told["github"]


def test_a_report_with_a_baseline_serves_as_a_baseline(folder: Path) -> None:
    _, told = reports(folder, "new.pt")
    (folder / "old.json").write_text(told["json"])
    assert reports(folder, "new.pt")[0] == 0


@pytest.mark.parametrize("flag", ["junit", "github", "markdown"])
def test_stderr_does_not_repeat_what_the_report_on_stdout_names(
    folder: Path, flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["diagnose", "new.pt", "--baseline", "old.json", f"--{flag}"]) == 1
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("was", "is_", "outcome", "change"),
    [
        (H, H, "passed", "unchanged"),
        (H, V, "failure", "worse"),
        (V, E, "failure", "worse"),
        (D, V, "skipped", "better"),
        (D, D, "skipped", "unchanged"),
        (V, H, "passed", "better"),
        (H, N, "failure", "worse"),
        (N, N, "skipped", "unchanged"),
        (V, N, "skipped", "better"),
    ],
)
def test_what_becomes_of_a_layer(was: Verdict, is_: Verdict, outcome: str, change: str) -> None:
    old, new = made(layer("a", was), layer("b")), made(layer("a", is_), layer("b"))
    assert outcomes(junit.render(new, old))["a"][0] == outcome
    assert changes(csv_table.render(new, old))["a"] == change


def test_new_layers_and_gone_ones() -> None:
    old = made(layer("a"), layer("ill before", V), layer("gone", D))
    new = made(layer("a"), layer("ill before", V), layer("new", D), layer("new too"))
    assert {name: kind for name, (kind, _) in outcomes(junit.render(new, old)).items()} == {
        **{"a": "passed", "ill before": "skipped", "new": "failure", "new too": "passed"}
    }
    assert changes(csv_table.render(new, old)) == {
        **{"a": "unchanged", "ill before": "unchanged", "new": "new", "new too": "new", "gone": "gone"}
    }
    assert states(sarif.render(new, old)) == {
        **{("GC101", "ill before"): "unchanged", ("GC301", "new"): "new", ("GC301", "gone"): "absent"}
    }


@pytest.mark.parametrize(
    ("before", "after", "state"),
    [
        ({"transmission": 1e-6}, {"transmission": 2e-6}, "unchanged"),
        ({"transmission": 1e-6}, {"transmission": 1e-9}, "updated"),
        ({"culprit": False}, {"culprit": True}, "updated"),
    ],
)
def test_a_finding_is_updated_by_more_than_noise(before: dict[str, Any], after: dict[str, Any], state: str) -> None:
    old, new = made(layer("a", V, **before)), made(layer("a", V, **after))
    assert states(sarif.render(new, old)) == {("GC101", "a"): state}


def test_without_a_baseline_nothing_is_said_of_one() -> None:
    assert "baseline" not in json.loads(json_v1.render(REGRESSION))
    assert all("baselineState" not in result for result in results(sarif.render(REGRESSION)).values())
    assert csv_table.render(REGRESSION).splitlines()[0].endswith(",moved")
    assert [kind for kind, _ in outcomes(junit.render(REGRESSION)).values()] == ["passed", "failure", "failure"]


def test_ignored_against_a_baseline() -> None:
    def hushed(run: Diagnosis) -> Diagnosis:
        ignored = [f for f in run.findings if f.layer == "body"]
        return msgspec.structs.replace(
            run,
            findings=tuple(f for f in run.findings if f.layer != "body"),
            ignored=tuple(
                Ignored(code=f.code, layer=f.layer, verdict=f.verdict, culprit=f.culprit, message=f.message, reason="r")
                for f in ignored
            ),
        )

    key = ("GC101", "body")
    assert states(sarif.render(hushed(BEFORE), BEFORE))[key] == "unchanged"
    assert states(sarif.render(hushed(BEFORE), hushed(BEFORE)))[key] == "unchanged"
    assert states(sarif.render(BEFORE, hushed(BEFORE)))[key] == "new"
