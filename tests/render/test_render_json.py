"""The JSON report against the json module, the records and the JSON Schema that ships with it."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from invented_diagnoses import HOSTILE_NAMES, INVENTED
from made_diagnoses import DIAGNOSES

from gradcheck_cli import compare, records
from gradcheck_cli.errors import GradcheckError, ModelError
from gradcheck_cli.records import Diagnosis
from gradcheck_cli.render import comparison_json, json_v1

SCHEMA: dict[str, Any] = json.loads(json_v1.schema())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
RECORDS: dict[str, type[msgspec.Struct]] = {
    "report": records.Diagnosis,
    "model": records.ModelFacts,
    "sample": records.SampleFacts,
    "layer": records.LayerReport,
    "readings": records.LayerReadings,
    "finding": records.Finding,
    "remedy": records.Remedy,
    "not_measured": records.NotMeasured,
    "series": records.SeriesFacts,
    "layer_trace": records.LayerTrace,
    "initialisation": records.InitialisationFacts,
    "rehearsal": records.RehearsalFacts,
    "layer_course": records.LayerCourse,
    "ignored": records.Ignored,
    "gradients": records.GradientFacts,
    "spread": records.Spread,
    "time_course": records.TimeCourse,
    "unit_facts": records.UnitFacts,
}
COMPARED = {
    "comparison": compare.Comparison,
    "side": compare.Side,
    "change": compare.LayerChange,
    "reading": compare.ReadingChange,
}
"""What a report tells of its baseline; the same as a comparison's own schema has it."""
many = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@given(DIAGNOSES)
@many
def test_render_undoes_parse(diagnosis: Diagnosis) -> None:
    text = json_v1.render(diagnosis)
    assert json_v1.render(json_v1.parse(text)) == text


@given(DIAGNOSES)
@many
def test_report_validates_and_is_plain_ascii(diagnosis: Diagnosis) -> None:
    text = json_v1.render(diagnosis)
    VALIDATOR.validate(json.loads(text, parse_constant=pytest.fail))
    assert re.fullmatch(r"[ -~\n]+", text)
    assert text.endswith("}\n")


@given(DIAGNOSES)
@many
def test_parse_gives_back_the_records(diagnosis: Diagnosis) -> None:
    # Evidence is apart: a text there is as good as a number, so that "nan" stays a text.
    assert _same(_without_evidence(json_v1.parse(json_v1.render(diagnosis))), _without_evidence(diagnosis))


def _without_evidence(diagnosis: Diagnosis) -> Diagnosis:
    findings = tuple(msgspec.structs.replace(finding, evidence={}) for finding in diagnosis.findings)
    return msgspec.structs.replace(diagnosis, findings=findings)


def _same(one: object, other: object) -> bool:
    """Equal, where a nan equals a nan."""
    if isinstance(one, msgspec.Struct) and isinstance(other, msgspec.Struct):
        return type(one) is type(other) and _same(msgspec.structs.astuple(one), msgspec.structs.astuple(other))
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return one == other


def test_non_finite_numbers_are_strings() -> None:
    layers = json.loads(json_v1.render(INVENTED["exploding"]()))["layers"]
    assert layers[0]["readings"]["transmission"] == "inf"
    assert json.loads(json_v1.render(INVENTED["not_measured"]()))["sample"]["loss_value"] == "nan"
    report = json.loads(json_v1.render(INVENTED["hostile"]()))
    assert report["sample"]["loss_value"] == "-inf"
    assert [layer["name"] for layer in report["layers"]] == list(HOSTILE_NAMES)


def test_fields_come_in_the_order_of_the_contract() -> None:
    report = json.loads(json_v1.render(INVENTED["dead_relu"]()))
    assert list(report) == [
        *("schema_version", "gradcheck_version", "model", "sample", "verdict", "summary", "culprits"),
        *("layers", "findings", "remedies", "not_measured"),
        *("series", "initialisation", "rehearsal", "ignored", "gradients", "through_time", "units"),
    ]
    assert list(report["layers"][0])[:6] == ["name", "kind", "parameters", "verdict", "notes", "findings"]
    assert list(report["findings"][0])[:5] == ["code", "layer", "verdict", "confidence", "culprit"]


def test_readings_that_do_not_apply_are_absent() -> None:
    report = json.loads(json_v1.render(INVENTED["dead_relu"]()))
    assert report["layers"][0]["readings"] == {"transmission": 0.0, "gain": 0.0}


def test_whole_numbers_read_the_same_from_memory_and_from_a_file() -> None:
    diagnosis = INVENTED["dead_relu"]()
    layer = msgspec.structs.replace(diagnosis.layers[0], readings=records.LayerReadings(transmission=0, gain=2))
    text = json_v1.render(msgspec.structs.replace(diagnosis, layers=(layer,)))
    assert '"transmission": 0.0,' in text
    assert '"gain": 2.0\n' in text


@pytest.mark.parametrize("name", RECORDS)
def test_schema_has_every_field_of_the_record_and_no_other(name: str) -> None:
    fields = {field.encode_name for field in msgspec.structs.fields(RECORDS[name])}
    definition = SCHEMA["$defs"][name]
    assert set(definition["properties"]) == fields | ({"baseline"} if name == "report" else set())
    assert set(definition["required"]) == (set() if name == "readings" else fields)
    assert definition["additionalProperties"] is False


def test_schema_describes_every_field() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    objects = [definition for definition in SCHEMA["$defs"].values() if definition.get("type") == "object"]
    assert len(objects) == len(RECORDS) + len(COMPARED) + 2
    for definition in objects:
        for name, field in definition["properties"].items():
            assert field["description"].endswith("."), name


def test_baseline_is_described_as_in_a_comparison_of_its_own() -> None:
    own = json.loads(comparison_json.schema())["$defs"]
    assert {name: SCHEMA["$defs"][name] for name in COMPARED} == {name: own[name] for name in COMPARED}


def test_schema_knows_the_verdicts() -> None:
    assert SCHEMA["$defs"]["verdict"]["enum"] == [verdict.value for verdict in records.SEVERITY]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("verdict",), "fine"),
        (("extra",), 1),
        (("layers", 0, "readings", "gain"), None),
        (("layers", 0, "readings", "gain"), "infinite"),
        (("model", "parameters"), -1),
        (("findings", 0, "confidence"), 1.5),
        (("findings", 0, "evidence"), {"a": {}}),
        (("schema_version",), 2),
    ],
)
def test_schema_refuses(path: tuple[str | int, ...], value: object) -> None:
    report = json.loads(json_v1.render(INVENTED["dead_relu"]()))
    place: Any = report
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert not VALIDATOR.is_valid(report)


def test_error_is_an_object_of_the_schema() -> None:
    error = ModelError("unsafe-pickle", "it would run\x1b[0m code", hint="use --trust", file="a\u202e.pt")
    text = json_v1.render_error(error)
    assert text.isascii()
    assert "\x1b" not in text
    VALIDATOR.validate(json.loads(text))
    assert json.loads(text) == {
        "schema_version": 1,
        "error": {
            "slug": "unsafe-pickle",
            "file": "a\u202e.pt",
            "message": "it would run\x1b[0m code",
            "hint": "use --trust",
        },
    }


GOOD = json_v1.render(INVENTED["dead_relu"]())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no JSON"),
        (GOOD[: len(GOOD) // 2], "no JSON"),
        ("[" * 100_000, "no JSON"),
        (GOOD.replace("0.31", "NaN"), "no JSON"),
        ("1" * 5_000, "no JSON"),
        ("[]", "no schema_version"),
        ("{}", "no schema_version"),
        ('{"schema_version": true}', "no schema_version"),
        (GOOD.replace('"schema_version": 1', '"schema_version": 2'), "version is 2"),
        (json_v1.render_error(ModelError("broken", "x")), "an error, not a diagnosis"),
        ('{"schema_version": 1}', "gradcheck_version"),
        (GOOD.replace('"verdict": "dead"', '"verdict": "fine"'), "fine"),
        (GOOD.replace('"transmission": 0.31', '"transmission": "much"'), "$.layers"),
    ],
)
def test_parse_refuses_what_is_no_report(text: str, said: str) -> None:
    with pytest.raises(GradcheckError, match=re.escape(said)) as caught:
        json_v1.parse(text)
    assert caught.value.slug == "broken-report"
    assert caught.value.hint


def test_a_newer_report_asks_for_a_newer_gradcheck() -> None:
    with pytest.raises(GradcheckError) as caught:
        json_v1.parse(GOOD.replace('"schema_version": 1', '"schema_version": 2'))
    assert caught.value.hint == "update gradcheck"
