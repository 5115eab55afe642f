"""SARIF against the standard's own JSON Schema, and what code-scanning pages need beyond it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jsonschema
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from invented_diagnoses import INVENTED
from made_diagnoses import DIAGNOSES

from gradcheck_cli.records import Diagnosis, Verdict
from gradcheck_cli.render import sarif
from gradcheck_cli.rules import RULES
from gradcheck_cli.rules.manual import examples
from gradcheck_cli.text import plain

SCHEMA = json.loads((Path(__file__).parent / "schemas" / "sarif-2.1.0-rtm.4.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft4Validator(SCHEMA)
few = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
URI = re.compile(r"(file:///)?([A-Za-z0-9._~/-]|%[0-9A-F]{2})*")
"""Of RFC 3986 the part that the model's place may use."""


def run_of(diagnosis: Diagnosis) -> dict[str, Any]:
    """Return the one run of the valid log."""
    text = sarif.render(diagnosis)
    assert text.isascii()
    log = json.loads(text)
    VALIDATOR.validate(log)
    (run,) = log["runs"]
    return dict(run)


@pytest.mark.parametrize("name", INVENTED)
def test_valid_and_every_finding_a_result(name: str) -> None:
    diagnosis = INVENTED[name]()
    run = run_of(diagnosis)
    assert [(result["ruleId"], result["level"]) for result in run["results"]] == [
        (f.code, "note" if f.verdict is Verdict.HEALTHY else "error" if f.culprit else "warning")
        for f in diagnosis.findings
    ]
    for result, finding in zip(run["results"], diagnosis.findings, strict=True):
        if "ruleIndex" in result:
            assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == finding.code
        (location,) = result["locations"]
        assert [place["fullyQualifiedName"] for place in location["logicalLocations"]] == [plain(finding.layer)]
        place = location["physicalLocation"]["artifactLocation"]
        assert place["uri"] == run["artifacts"][place["index"]]["location"]["uri"]
    assert run["artifacts"][0]["hashes"] == {"sha-256": "ab" * 32}


@given(DIAGNOSES)
@few
def test_whatever_the_texts_it_stays_valid(diagnosis: Diagnosis) -> None:
    run = run_of(diagnosis)
    assert URI.fullmatch(run["artifacts"][0]["location"]["uri"])
    for result in run["results"]:
        assert plain(result["message"]["text"]) == result["message"]["text"]


def test_every_rule_with_its_manual() -> None:
    rules = run_of(INVENTED["no_layers"]())["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == [rule.code for rule in RULES]
    for shown, rule in zip(rules, RULES, strict=True):
        assert shown["name"] == rule.name
        assert shown["defaultConfiguration"]["level"] == ("note" if rule.verdict is Verdict.HEALTHY else "error")
        assert "**Source.**" in shown["help"]["markdown"]
        markdown = shown["help"]["markdown"]
        assert [fenced.partition("\n```")[0] for fenced in markdown.split("```python\n")[1:]] == [
            *examples(rule).values()
        ]
        words = re.sub(r"```(python)?|\*\*", "", markdown).replace(f"# {rule.code} {rule.name}", "").split()
        assert words == shown["help"]["text"].split()
        assert shown["shortDescription"]["text"].endswith(".")


def test_fingerprints_are_of_layer_and_rule_and_stay_over_runs() -> None:
    old = INVENTED["deep_sigmoid"]()
    louder = tuple(msgspec.structs.replace(f, message=f"{f.message} Again.", confidence=0.5) for f in old.findings)
    new = msgspec.structs.replace(old, gradcheck_version="9.9", findings=louder)
    one, other = ([r["partialFingerprints"] for r in run_of(d)["results"]] for d in (old, new))
    assert one == other
    assert len({print_["layerAndRule/v1"] for print_ in one}) == len(old.findings)


@pytest.mark.parametrize(
    ("path", "format_", "uri"),
    [
        ("model.pt", "torch-module", "model.pt"),
        ("./runs/../my model#1?.pt", "torch-module", "my%20model%231%3F.pt"),
        ("/data/späte.pt", "torch-module", "file:///data/sp%C3%A4te.pt"),
        ("a:b.pt", "torch-module", "a%3Ab.pt"),
        ("src/nets.py:build", "entry-point", "src/nets.py"),
        ("package.nets:build", "entry-point", "package.nets"),
    ],
)
def test_place_of_the_model(path: str, format_: str, uri: str) -> None:
    diagnosis = INVENTED["healthy_residual"]()
    model = msgspec.structs.replace(diagnosis.model, path=path, format=format_)
    found = run_of(msgspec.structs.replace(diagnosis, model=model))["artifacts"][0]["location"]["uri"]
    assert found == uri
    assert unquote(uri).isprintable()


def test_braces_and_links_in_messages_are_text() -> None:
    diagnosis = INVENTED["dead_relu"]()
    finding = msgspec.structs.replace(diagnosis.findings[0], layer="a{0}", message="see [here](http://x) and [1]")
    run = run_of(msgspec.structs.replace(diagnosis, findings=(finding,)))
    assert run["results"][0]["message"]["text"] == "a{{0}}: see \\[here](http://x) and [1]"


def test_what_was_not_measured_is_told() -> None:
    diagnosis = INVENTED["not_measured"]()
    (invocation,) = run_of(diagnosis)["invocations"]
    assert len(invocation["toolExecutionNotifications"]) == len(diagnosis.not_measured) > 0
    assert run_of(INVENTED["no_layers"]())["invocations"][0]["executionSuccessful"] is False
