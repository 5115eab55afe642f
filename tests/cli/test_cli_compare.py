"""What got worse, and what better: the comparison of two runs, its formats, and a pull request made up in a folder."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from math import inf, nan
from pathlib import Path

import jsonschema
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_runs import REGRESSION, D, E, H, N, V, layer, made, pull_request
from rich.console import Console

from gradcheck_cli import store
from gradcheck_cli.cli.app import run
from gradcheck_cli.compare import Comparison, LayerChange, compare
from gradcheck_cli.records import Diagnosis, Verdict
from gradcheck_cli.render import comparison_json, comparison_markdown, comparison_table, json_v1

VALIDATOR = jsonschema.Draft202012Validator(json.loads(comparison_json.schema()))


def names(changes: Sequence[LayerChange]) -> list[str]:
    return [change.layer for change in changes]


# ------------------------------------------------------------------------------------------------- the comparison itself


@pytest.mark.parametrize("old", [H, N, V, E, D])
@pytest.mark.parametrize("new", [H, N, V, E, D])
def test_order_of_the_verdicts(old: Verdict, new: Verdict) -> None:
    found = compare(made(layer("a", old)), made(layer("a", new)))
    order = ["healthy", "not-measured", "vanishing", "exploding", "dead"]
    step = order.index(new.value) - order.index(old.value)
    assert (bool(found.worse), bool(found.better), found.unchanged) == (step > 0, step < 0, int(step == 0))


def test_new_and_gone() -> None:
    found = compare(made(layer("a"), layer("b", D)), made(layer("a"), layer("c"), layer("d", V)))
    assert (names(found.appeared), names(found.gone), found.unchanged) == (["c", "d"], ["b"], 1)
    assert names(found.failing(frozenset({D, E, V}))) == ["d"]
    assert found.appeared[1].before is None
    assert found.gone[0].after is None


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (1.0, 0.11, False),
        (1.0, 0.1, True),
        (1.0, 10.0, True),
        (1.0, 9.9, False),
        (0.0, 0.0, False),
        (0.0, 1e-30, True),
        (1.0, 0.0, True),
        (1.0, inf, True),
        (inf, inf, False),
        (1.0, nan, True),
        (nan, nan, False),
    ],
)
def test_transmission_by_a_factor_of_ten(before: float, after: float, told: bool) -> None:
    found = compare(made(layer("a", transmission=before)), made(layer("a", transmission=after)))
    assert bool(found.moved) == told == (found.unchanged == 0)
    assert not found.worse
    assert not found.better


@pytest.mark.parametrize(("before", "after", "told"), [(0.0, 0.09, False), (0.3, 0.4, True), (0.5, 0.2, True)])
def test_share_of_dead_units(before: float, after: float, told: bool) -> None:
    found = compare(made(layer("a", dead_units=before)), made(layer("a", dead_units=after)))
    assert bool(found.moved) == told
    if told:
        (reading,) = found.moved[0].readings
        assert (reading.reading, reading.before, reading.after) == ("dead_units", before, after)


def test_a_reading_that_is_missing_on_one_side_is_no_change() -> None:
    assert compare(made(layer("a", transmission=1.0)), made(layer("a"))).unchanged == 1


def test_victim_that_becomes_a_culprit_for_a_reason_of_its_own_is_worse() -> None:
    was = made(layer("a", D, "GC304", culprit=False), layer("b", D))
    own = made(layer("a", D, "GC301", "GC304"), layer("b", D))
    assert names(compare(was, own).worse) == ["a"]
    assert compare(was, own).worse[0].appeared == ("GC301",)
    # Of one decay over depth the blame may pass from layer to layer.
    decay = (made(layer("a", V, culprit=False), layer("b", V)), made(layer("a", V), layer("b", V, culprit=False)))
    assert compare(*decay).worse == ()


def test_fail_on_counts_what_it_names_and_what_cannot_be_measured_any_more() -> None:
    found = compare(made(layer("a"), layer("b"), layer("c")), made(layer("a", V), layer("b", D), layer("c", N)))
    assert names(found.failing(frozenset({D, E, V}))) == ["b", "a", "c"]
    assert names(found.failing(frozenset({D}))) == ["b", "c"]
    assert names(found.failing(frozenset())) == []


def test_what_makes_two_runs_hard_to_compare_is_remarked() -> None:
    assert compare(made(layer("a")), made(layer("a"))).remarks == ()
    found = compare(made(layer("a")), made(layer("b"), samples=64))
    assert [remark.partition(":")[0] for remark in found.remarks] == [
        "measured with different samples",
        "no layer has the same name in both",
    ]


LAYERS = st.builds(
    layer,
    st.sampled_from(["a", "b", "c", "d"]),
    st.sampled_from([H, N, V, E, D]),
    culprit=st.booleans(),
    transmission=st.floats(),
    dead_units=st.floats(0, 1),
)
RUNS = st.lists(LAYERS, max_size=4, unique_by=lambda each: each.name).map(lambda layers: made(*layers))


@given(RUNS, RUNS)
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_layer_is_somewhere_and_the_way_back_is_the_opposite(old: Diagnosis, new: Diagnosis) -> None:
    found, back = compare(old, new), compare(new, old)
    kinds = (found.worse, found.better, found.moved, found.appeared)
    assert sum(map(len, kinds)) + found.unchanged == len(new.layers)
    assert names(found.gone) == names(back.appeared)
    by_verdict = [change.layer for change in found.worse if change.before is not change.after]
    assert sorted(by_verdict) == sorted(names(back.better))
    same = compare(old, old)
    assert (same.worse, same.better, same.moved, same.appeared, same.gone) == ((), (), (), (), ())
    text = comparison_json.render(found)
    VALIDATOR.validate(json.loads(text, parse_constant=pytest.fail))
    assert text.isascii()


def test_schema_has_every_field_of_the_records_and_no_other() -> None:
    definitions = json.loads(comparison_json.schema())["$defs"]
    for name, record in (("comparison", Comparison), ("change", LayerChange)):
        fields = {field.encode_name for field in msgspec.structs.fields(record)}
        assert set(definitions[name]["properties"]) == set(definitions[name]["required"]) == fields


def test_tables_say_what_matters_and_names_stay_names() -> None:
    hostile = "x\x1b[31m|<b>`"
    found = compare(made(layer("a"), layer(hostile)), made(layer("a", transmission=1.0), layer(hostile, D)))
    table, page = comparison_table.render(found), comparison_markdown.render(found)
    assert "x\\x1b[31m|<b>`  healthy → dead" in table
    assert "1 layer unchanged." in table
    assert "| <code>x&#92;x1b&#91;31m&#124;&#60;b&#62;&#96;</code> | healthy → dead |" in page
    assert "\x1b" not in table + page


def test_summary_names_the_worst() -> None:
    old = made(layer("a"), layer("b"), layer("c", D))
    found = compare(old, made(layer("a", V), layer("b", D), layer("c"), layer("d")))
    assert found.summary == (
        "b and 1 more got worse: healthy → dead; c got better: dead → healthy; 1 new, 0 of them ill"
    )
    assert compare(old, old).summary == "no layer got worse or better"


# ------------------------------------------------------------------------------------------------------ the command line


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    pull_request(tmp_path, monkeypatch)
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ["compare", "old.json", "new.json"],
        ["compare", "old.pt", "new.pt"],
        ["compare", "old.json", "new.pt"],
        ["compare", "--baseline", "old.json", "new.pt"],
        ["diagnose", "new.pt", "--baseline", "old.json"],
        ["report", "new.pt", "--baseline", "old.json"],
    ],
)
def test_a_regression_fails_and_is_named(
    folder: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*arguments, "--github"]) == 1
    stdout, stderr = capsys.readouterr()
    (annotation,) = stdout.splitlines()
    assert annotation == (
        "::error title=gradcheck%3A healthy → dead,file=new.pt::head: head is dead by GC301; new: GC301"
    )
    assert stderr == ""
    assert run([*arguments]) == 1
    assert "head  healthy → dead" in capsys.readouterr().out
    assert run([*arguments, "--markdown"]) == 1
    assert "| `head` | healthy → dead |" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["compare", "old.json", "old.json"],
        ["compare", "new.json", "old.json"],
        ["compare", "--baseline", "old.json", "old.pt"],
        ["diagnose", "old.pt", "--baseline", "old.json"],
        ["diagnose", "new.pt", "--baseline", "new.json"],
        ["diagnose", "new.pt", "--baseline", "old.json", "--fail-on", "exploding"],
        ["diagnose", "new.pt", "--baseline", "old.json", "--fail-on", "none"],
    ],
)
def test_what_was_ill_before_does_not_fail(folder: Path, arguments: list[str]) -> None:
    assert run([*arguments, "--quiet"]) == 0


def test_without_a_baseline_an_ill_layer_fails(folder: Path) -> None:
    assert run(["diagnose", "old.pt", "--quiet"]) == 1


def test_last_run_against_a_baseline(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store.keep(REGRESSION)
    assert run(["compare", "--baseline", "old.json", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    VALIDATOR.validate(found)
    assert [change["layer"] for change in found["worse"]] == ["head"]
    assert (found["old"]["model"], found["new"]["model"]) == ("model.pt", "new.pt")
    assert run(["report", "--baseline", "old.json", "--quiet"]) == 1
    assert run(["report", "--baseline", ".gradcheck/last.json", "--quiet"]) == 0


def test_several_formats_at_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", "old.json", "new.json", "--github", "--output", "c.json", "--output", "c.md"]) == 1
    VALIDATOR.validate(json.loads((folder / "c.json").read_text()))
    assert (folder / "c.md").read_text(encoding="utf-8").startswith("## ✖ gradcheck: `model.pt` (vanishing) → `new.pt`")
    assert capsys.readouterr().out.startswith("::error ")
    assert run(["compare", "old.json", "new.json", "--output", "c.txt"]) == 1
    assert "head  healthy → dead" in (folder / "c.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "slug", "words"),
    [
        (["compare", "old.json", "new.json", "--sarif"], "unknown-format", "cannot be written as sarif"),
        (["compare", "old.json", "new.json", "--output", "r.csv"], "unknown-format", "csv"),
        (["compare", "old.json", "new.json", "--batches", "2"], "usage", "--batches"),
        (["diagnose", "old.pt", "--baseline", "nowhere.json"], "no-such-run", "nowhere.json"),
        (["diagnose", "old.pt", "--baseline", "old.pt"], "broken-report", "old.pt"),
    ],
)
def test_unusable(
    folder: Path, arguments: list[str], slug: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    stdout, stderr = capsys.readouterr()
    assert stderr.startswith(f"gradcheck: error[{slug}]: ")
    assert words in stderr
    assert stdout == ""


def test_new_run_of_which_nothing_was_measured_is_not_fine(folder: Path) -> None:
    (folder / "nothing.json").write_text(json_v1.render(made()))
    assert run(["compare", "old.json", "nothing.json", "--quiet"]) == 3


def test_forty_columns_without_utf8() -> None:
    class Ascii(io.StringIO):
        encoding = "ascii"

    page = Ascii()
    found = compare(made(layer("Schicht.ä" * 6)), made(layer("Schicht.ä" * 6, D, transmission=1.0)))
    comparison_table.write(found, Console(file=page, width=40, _environ={}))
    assert page.getvalue().isascii()
    assert "healthy -> dead" in " ".join(page.getvalue().split())
    assert max(map(len, page.getvalue().splitlines())) <= 40
