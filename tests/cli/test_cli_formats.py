"""The reports of real models in every format: valid, the same bytes for the same seed, and each where it belongs."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import Any, cast

import jsonschema
import msgspec
import pytest
import torch
from command_line import CommandLine, on_terminal, troublesome
from lxml import etree

from gradcheck_cli import store
from gradcheck_cli.cli.app import run
from gradcheck_cli.cli.options import FLAGS
from gradcheck_cli.cli.showing import AGAINST, ComparingRenderer
from gradcheck_cli.pipeline import diagnose
from gradcheck_cli.records import Diagnosis, Verdict
from gradcheck_cli.render import json_v1, plain_text, tensorboard
from gradcheck_cli.render.interface import FORMATS, format_of, renderer

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "sample_models"
NAMES = list(json.loads((MODELS / "truth.json").read_text()))
SCHEMAS = ROOT / "tests" / "render" / "schemas"
JSON = jsonschema.Draft202012Validator(json.loads(json_v1.schema()))
SARIF = jsonschema.Draft4Validator(json.loads((SCHEMAS / "sarif-2.1.0-rtm.4.json").read_text(encoding="utf-8")))
JUNIT = etree.XMLSchema(etree.parse(SCHEMAS / "junit-10.xsd"))
MACHINE = list(FORMATS)
"""The page has tests of its own."""


@pytest.fixture
def diagnosis() -> Diagnosis:
    return troublesome()


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, diagnosis: Diagnosis) -> CommandLine:
    gradcheck = CommandLine(tmp_path)
    monkeypatch.chdir(gradcheck.folder)
    store.keep(diagnosis)
    return gradcheck


def measured(name: str) -> Diagnosis:
    torch.set_num_threads(1)
    data = MODELS / f"{name.partition(':')[0].rpartition('.')[0]}.npz"
    return diagnose(str(MODELS / name), data=str(data) if data.exists() else None, batches=2, rehearse=3)


@pytest.mark.parametrize("name", NAMES)
def test_sample_models_in_every_format_twice(name: str) -> None:
    one, other = measured(name), measured(name)
    texts = {name: renderer(name).render(one) for name in MACHINE}
    assert texts == {name: renderer(name).render(other) for name in MACHINE}
    assert tensorboard.render(one) == tensorboard.render(other)
    JSON.validate(json.loads(texts["json"]))
    log = json.loads(texts["sarif"])
    SARIF.validate(log)
    suites = etree.fromstring(texts["junit"].encode())
    JUNIT.assertValid(suites)
    rows = list(csv.DictReader(io.StringIO(texts["csv"]), strict=True))
    ill = [layer.name for layer in one.layers if layer.verdict not in (Verdict.HEALTHY, Verdict.NOT_MEASURED)]
    assert [case.get("name") for case in suites.iter("testcase") if case.find("failure") is not None] == ill
    assert [row["layer"] for row in rows if row["verdict"] in ("dead", "exploding", "vanishing")] == ill
    assert len(log["runs"][0]["results"]) == len(one.findings)
    assert ("::error" in texts["github"]) == bool(one.culprits) == ("culprit" in texts["markdown"])
    against = {name: cast(ComparingRenderer, renderer(name)).render(one, other) for name in AGAINST}
    JSON.validate(json.loads(against["json"]))
    log = json.loads(against["sarif"])
    SARIF.validate(log)
    assert {result["baselineState"] for result in log["runs"][0]["results"]} <= {"unchanged"}
    suites = etree.fromstring(against["junit"].encode())
    JUNIT.assertValid(suites)
    assert suites.find(".//failure") is None
    # A report read back is the same report: what is kept tells as much as what was measured.
    again = json_v1.parse(texts["json"])
    assert tensorboard.render(again) == tensorboard.render(one)
    assert {name: renderer(name).render(again) for name in MACHINE} == texts


def test_flags_are_the_formats_but_text() -> None:
    assert {*FLAGS, "text"} == set(FORMATS)


@pytest.mark.parametrize("flag", FLAGS)
def test_flag_writes_its_format_to_stdout(
    kept: CommandLine, flag: str, diagnosis: Diagnosis, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert run(["report", f"--{flag}"]) == 1
    assert capsysbinary.readouterr() == (renderer(flag).render(diagnosis).encode(), b"")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a.json", "json"),
        ("a.MD", "markdown"),
        ("a.xml", "junit"),
        ("a.sarif", "sarif"),
        ("a.sarif.json", "sarif"),
        ("a.csv", "csv"),
        ("a.txt", "text"),
        ("a.pt", None),
        ("json", None),
    ],
)
def test_format_by_the_end_of_the_name(path: str, name: str | None) -> None:
    assert format_of(path) == name


@pytest.mark.parametrize(
    ("arguments", "files", "stdout"),
    [
        (["--output", "r.json"], {"r.json": "json"}, None),
        (["--json", "--output", "r"], {"r": "json"}, None),
        (["--json", "--output", "r.json"], {"r.json": "json"}, None),
        (["--json", "--output", "r.csv"], {"r.csv": "csv"}, "json"),
        (["--output", "r"], {"r": "text"}, None),
        (["--output", "junit:r.out"], {"r.out": "junit"}, None),
        (["--output", "./junk:r.csv"], {"junk:r.csv": "csv"}, None),
        (
            ["--github", "--output", "r.sarif", "--output", "r.xml", "--output", "markdown:m"],
            {"r.sarif": "sarif", "r.xml": "junit", "m": "markdown"},
            "github",
        ),
        (["--quiet", "--csv"], {}, "csv"),
        (["--output", "csv:-", "--output", "r.json"], {"r.json": "json"}, "csv"),
        (["--junit", "--output", "-"], {}, "junit"),
        (["--quiet", "--output", "sarif:-"], {}, "sarif"),
    ],
)
def test_where_reports_go(
    kept: CommandLine,
    arguments: list[str],
    files: dict[str, str],
    stdout: str | None,
    diagnosis: Diagnosis,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    before = {path.name for path in kept.folder.iterdir()}
    assert run(["report", *arguments]) == 1
    written = {path.name: path.read_bytes() for path in kept.folder.iterdir() if path.name not in before}
    assert written == {path: renderer(name).render(diagnosis).encode() for path, name in files.items()}
    assert capsysbinary.readouterr().out == (renderer(stdout).render(diagnosis).encode() if stdout else b"")


def test_nothing_is_written_where_one_report_cannot_be_made(
    kept: CommandLine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fault(diagnosis: Diagnosis) -> str:
        raise ValueError("no")

    monkeypatch.setattr("gradcheck_cli.render.junit.render", fault)
    before = sorted(kept.folder.rglob("*"))
    assert run(["report", "--csv", "--output", "r.json", "--output", "r.xml"]) == 70
    assert sorted(kept.folder.rglob("*")) == before
    assert capsys.readouterr().out == ""


def test_a_closed_pipe_costs_no_file(kept: CommandLine) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ran = kept("report", "--github", "--output", "r.json", stdout=writer)
    os.close(writer)
    assert (ran.returncode, ran.stderr) == (141, "")
    JSON.validate(json.loads((kept.folder / "r.json").read_text()))


@pytest.mark.parametrize(
    ("given", "hint"), [("sarf:r", "did you mean sarif?"), ("yaml:r", "use one of: json"), ("jsn:r.json", "json")]
)
def test_mistyped_format(kept: CommandLine, given: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", "--output", given]) == 2
    stderr = capsys.readouterr().err
    assert stderr.startswith("gradcheck: error[unknown-format]: ")
    assert hint in stderr


def test_destinations_are_checked_before_anything_is_measured(
    kept: CommandLine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("gradcheck_cli.cli.measure.measure", lambda *_: pytest.fail("measured"))
    for wrong in (["--csv", "--github"], ["--output", "sarf:r"], ["--baseline", "nowhere.json"]):
        assert run(["diagnose", "m.pt", *wrong]) == 2
        assert run(["report", "m.pt", *wrong]) == 2


@pytest.mark.parametrize("kind", ["report", "comparison"])
def test_schema_is_printed(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema", kind]) == 0
    schema: dict[str, Any] = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["title"] == f"gradcheck {kind}, version 1"


@pytest.mark.parametrize("kind", [[], ["report"]])
def test_schema_of_the_report_is_the_default(kind: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema", *kind]) == 0
    assert capsys.readouterr().out == json_v1.schema()


# ------------------------------------------------------------------------------------------------ terminals and pipes


def test_terminal_of_40_columns(kept: CommandLine) -> None:
    kept.environment |= {"COLUMNS": "40"}
    lines = kept("report").stdout.splitlines()
    assert max(map(len, lines)) <= 40
    assert lines != kept("report", "--output", "/dev/stdout").stdout.splitlines()


def test_file_does_not_depend_on_the_terminal(kept: CommandLine, diagnosis: Diagnosis) -> None:
    kept.environment |= {"COLUMNS": "40", "FORCE_COLOR": "1"}
    kept("report", "--output", "r.txt")
    assert (kept.folder / "r.txt").read_text(encoding="utf-8") == plain_text.render(diagnosis)


@pytest.mark.parametrize("arguments", [["report"], ["report", "--github"], ["report", "--help"], ["rules"]])
def test_without_utf8(kept: CommandLine, arguments: list[str]) -> None:
    kept.environment |= {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    ran = kept(*arguments)
    assert ran.returncode == (1 if arguments[-1] in ("report", "--github") else 0)
    assert ran.stdout.isascii()
    assert ran.stderr == ""


def test_colours_by_the_environment(kept: CommandLine) -> None:
    kept.environment.pop("NO_COLOR", None)
    assert "\x1b" not in kept("report").stdout
    kept.environment |= {"FORCE_COLOR": "1", "TERM": "xterm-256color"}
    assert "\x1b[" in kept("report").stdout
    assert "\x1b" not in kept("report", "--json").stdout
    kept.environment.pop("FORCE_COLOR")
    kept.environment |= {"NO_COLOR": "1"}
    shown = on_terminal(kept)
    assert b"\x1b[3" not in shown
    assert b"VANISHING" in shown


def without_torch(gradcheck: CommandLine) -> None:
    """Put a torch and a numpy first on the path whose import is the end of the process."""
    for name in ("torch", "numpy"):
        (gradcheck.folder / f"{name}.py").write_text("raise SystemExit(9)")
    gradcheck.environment["PYTHONPATH"] = f"{gradcheck.folder}{os.pathsep}{gradcheck.environment['PYTHONPATH']}"


def test_a_kept_run_in_every_format_needs_no_torch(kept: CommandLine) -> None:
    without_torch(kept)
    outputs = [part for name in MACHINE for part in ("--output", f"{name}:report.{name}")]
    assert kept("report", *outputs).returncode == 1
    assert len(list(kept.folder.glob("report.*"))) == len(MACHINE)
    last = str(store.LAST)
    assert kept("compare", last, last, "--markdown").returncode == 0
    assert kept("report", "--baseline", last).returncode == 0
    assert kept("schema").returncode == 0


@pytest.mark.parametrize(
    ("shell", "words"),
    [
        ("bash", {"COMP_WORDS": "gradcheck re", "COMP_CWORD": "1"}),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "gradcheck re"}),
        ("fish", {"_TYPER_COMPLETE_ARGS": "gradcheck re", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}),
    ],
)
def test_completion(kept: CommandLine, shell: str, words: dict[str, str]) -> None:
    kept.environment |= words | {"_GRADCHECK_COMPLETE": f"complete_{shell}"}
    without_torch(kept)
    ran = kept()
    assert ran.returncode == 0, ran.stderr
    assert "report" in ran.stdout
    assert "diagnose" not in ran.stdout


def test_reports_with_a_layer_without_a_name(kept: CommandLine, diagnosis: Diagnosis) -> None:
    nameless = msgspec.structs.replace(diagnosis.layers[0], name="")
    for name in MACHINE:
        assert renderer(name).render(msgspec.structs.replace(diagnosis, layers=(nameless,)))
