"""The CSV table, read back by Python's strict reader and by a reader of RFC 4180 written here."""

from __future__ import annotations

import csv
import io
import math

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from invented_diagnoses import INVENTED
from made_diagnoses import DIAGNOSES

from gradcheck_cli.records import Diagnosis, LayerReadings
from gradcheck_cli.render import csv_table
from gradcheck_cli.text import plain

some = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def rfc4180(text: str) -> list[list[str]]:
    """Read records by the grammar: CRLF ends a record, quotes are doubled within quotes and stand nowhere else."""
    records: list[list[str]] = [[]]
    place = 0
    while place < len(text):
        if text[place] == '"':
            end = place + 1
            while text[end] != '"' or text[end + 1 : end + 2] == '"':
                end += 2 if text[end] == '"' else 1
            field, place = text[place + 1 : end].replace('""', '"'), end + 1
        else:
            end = place
            while text[end] not in ",\r":
                assert text[end] not in '"\n'
                end += 1
            field, place = text[place:end], end
        records[-1].append(field)
        if text[place : place + 2] == "\r\n":
            records.append([])
            place += 2
        else:
            assert text[place] == ","
            place += 1
            if text[place : place + 1] in ("\r", ""):
                records[-1].append("")
                assert text[place : place + 2] == "\r\n"
                records.append([])
                place += 2
    assert records.pop() == []
    return records


@given(DIAGNOSES)
@some
def test_a_row_a_layer_with_all_readings(diagnosis: Diagnosis) -> None:
    text = csv_table.render(diagnosis)
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert rows == rfc4180(text)
    assert len(rows) == 1 + len(diagnosis.layers)
    assert {len(row) for row in rows} == {7 + len(LayerReadings.__struct_fields__)}
    for row, layer in zip(rows[1:], diagnosis.layers, strict=True):
        named = dict(zip(rows[0], row, strict=True))
        assert named["layer"].removeprefix("'") == plain(layer.name).removeprefix("'")
        assert named["verdict"] == layer.verdict.value
        for field in LayerReadings.__struct_fields__:
            value = getattr(layer.readings, field)
            if value is None:
                assert named[field] == ""
            else:
                read = float(named[field])
                assert read == value or (math.isnan(read) and math.isnan(value))


@given(DIAGNOSES)
@some
def test_no_text_is_a_formula_and_every_row_is_one_line(diagnosis: Diagnosis) -> None:
    text = csv_table.render(diagnosis)
    assert text.count("\n") == text.count("\r\n") == 1 + len(diagnosis.layers)
    for row in rfc4180(text)[1:]:
        assert not any(cell.strip().startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row[:7])
    text.encode()


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", '=HYPERLINK("http://x","y")'])
def test_formulas_are_made_texts(name: str) -> None:
    diagnosis = INVENTED["dead_relu"]()
    layer = msgspec.structs.replace(diagnosis.layers[0], name=name)
    (_, row) = rfc4180(csv_table.render(msgspec.structs.replace(diagnosis, layers=(layer,))))
    assert row[0] == f"'{name}"
