"""What is decided before anything is measured: options, settings, and the errors about them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from command_line import troublesome

from gradcheck_cli import __version__
from gradcheck_cli.cli import measure as measuring
from gradcheck_cli.cli.app import run
from gradcheck_cli.cli.options import Options, parse_size
from gradcheck_cli.errors import UsageError
from gradcheck_cli.records import Diagnosis, Request, Verdict
from gradcheck_cli.worker import supervise, wire


@pytest.fixture
def diagnosis() -> Diagnosis:
    return troublesome()


@pytest.fixture
def orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, diagnosis: Diagnosis) -> list[Any]:
    """The orders that a worker would get, with its time limits; it answers with `diagnosis`."""
    given: list[Any] = []

    def measured(order: wire.Order, listener: supervise.Listener, *, time_limit: float) -> Diagnosis:
        given.append((order, time_limit))
        return diagnosis

    monkeypatch.setattr(supervise, "measure", measured)
    monkeypatch.chdir(tmp_path)
    return given


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no command"),
        (["cure"], "no such command 'cure'"),
        (["diagnose"], "MODEL"),
        (["diagnose", "a.pt", "--dta", "x"], "--dta"),
        (["diagnose", "a.pt", "--rehearse", "-1"], "--rehearse"),
        (["diagnose", "a.pt", "--csv", "--sarif"], "--sarif and --csv"),
        (["diagnose", "a.pt", "--output", "a.json", "--output", "csv:a.json"], "a.json"),
        (["diagnose", "a.pt", "--output", "csv:"], "names no file"),
        (["diagnose", "a.pt", "--output", "-", "--output", "csv:-"], "two reports would be written to stdout"),
        (["diagnose", "a.pt", "--sarif", "--output", "csv:-"], "stdout, one by --sarif"),
        (["compare", "a.json"], "OLD and NEW"),
        (["compare", "a.json", "b.json", "c.json"], "not 3"),
        (["compare", "a.json", "b.json", "--baseline", "c.json"], "--baseline and NEW"),
        (["schema", "all"], "'report', 'comparison'"),
        (["diagnose", "a.pt", "--batch-size", "0"], "--batch-size"),
        (["diagnose", "a.pt", "--batches", "many"], "--batches"),
        (["diagnose", "a.pt", "--mode", "test"], "'train', 'eval'"),
        (["diagnose", "a.pt", "--lr", "-1"], "-1"),
        (["diagnose", "a.pt", "--lr", "nan"], "nan"),
        (["diagnose", "a.pt", "--dtype", "int8"], "int8"),
        (["diagnose", "a.pt", "--fail-on", "dead,sick"], "'sick'"),
        (["diagnose", "a.pt", "--fail-on", "none,dead"], "'none'"),
        (["diagnose", "a.pt", "--memory-limit", "much"], "'much'"),
        (["diagnose", "a.pt", "--time-limit", "-1"], "--time-limit"),
        (["report", "--data", "x.npz"], "--data"),
        (["explain"], "CODE"),
    ],
)
def test_unusable_command_line(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*arguments]) == 2
    stdout, stderr = capsys.readouterr()
    (line,) = stderr.splitlines()
    assert line.startswith("gradcheck: error[usage]: ")
    assert words in line
    assert stdout == ""


def test_error_is_an_object_too_with_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["diagnose", "a.pt", "--json", "--mode", "x\x1b[31m"]) == 2
    stdout, stderr = capsys.readouterr()
    error = json.loads(stdout)
    assert error["schema_version"] == 1
    assert error["error"]["slug"] == "usage"
    assert "\\x1b[31m" in stderr
    assert "\x1b" not in stderr


def test_name_that_is_no_utf8(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["diagnose", "model\udcff.pt"]) == 2
    assert "UTF-8" in capsys.readouterr().err


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"gradcheck {__version__}\n"
    for arguments in (["-h"], ["diagnose", "--help"]):
        assert run(arguments) == 0
        assert "diagnose" in capsys.readouterr().out


def test_defaults_are_those_of_the_request(orders: list[Any]) -> None:
    run(["diagnose", "model.pt", "--quiet"])
    ((order, time_limit),) = orders
    assert order == wire.Order(request=Request(model="model.pt"))
    assert time_limit == 600


def test_every_option_arrives(orders: list[Any]) -> None:
    line = (
        "diagnose step_1.pt m:net --data d.npz --target y --loss mse --arch a:b --trust --batch-size 8 --batches 2 --mode eval "
        "--optimizer adamw --lr 1e-3 --dtype float64 --device cpu --seed 7 --select GC101,GC2 --select GC3 "
        "--ignore GC9:head* --input-shape 3,4 --rehearse 5 --reinit 3 --no-parity --precision fp16 --time-limit 5.5 "
        "--memory-limit 1.5G --debug --quiet"
    )
    run(line.split())
    request = Request(
        model="m:net",
        data="d.npz",
        target="y",
        loss="mse",
        arch="a:b",
        trust=True,
        batch_size=8,
        batches=2,
        mode="eval",
        optimizer="adamw",
        lr=1e-3,
        dtype="float64",
        device="cpu",
        seed=7,
        select=("GC101", "GC2", "GC3"),
        ignore=("GC9:head*",),
        input_shape=("3,4",),
        rehearse=5,
        reinit=3,
        precision="fp16",
        parity=False,
    )
    request = msgspec.structs.replace(request, earlier=("step_1.pt",))
    assert not set(msgspec.structs.asdict(Request(model="")).items()) & set(msgspec.structs.asdict(request).items())
    assert orders == [(wire.Order(request=request, memory_limit=3 * 2**29, debug=True), 5.5)]


@pytest.mark.parametrize(
    ("text", "size"),
    [("8G", 8 * 2**30), ("500m", 500 * 2**20), ("1.5GiB", 3 * 2**29), ("0", 0), ("2KB", 2048), ("7", 7)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


def test_flag_over_file_over_default(orders: list[Any]) -> None:
    Path("pyproject.toml").write_text(
        '[tool.gradcheck]\nbatch-size = 8\nmode = "eval"\nlr = 0.5\nignore = ["GC901", "GC902"]\n'
        'select = "GC1"\nquiet = true\n'
    )
    run(["diagnose", "m", "--batch-size", "4"])
    request = orders[0][0].request
    assert (request.batch_size, request.mode, request.batches, request.lr) == (4, "eval", 4, 0.5)
    assert (request.ignore, request.select) == (("GC901", "GC902"), ("GC1",))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("[tool.gradcheck]\nbatch_size = 8", "batch-size"),
        ("[tool.gradcheck]\nmood = 'eval'", "did you mean mode?"),
        ("[tool.gradcheck]\ntrust = true", "--trust"),
        ("[tool.gradcheck]\noutput = 'x'", "--output"),
        ("[tool.gradcheck]\nbatch-size = 'x'", "--batch-size"),
        ("[tool.gradcheck]\nlr = [1]", "lr"),
        ("[tool.gradcheck]\nselect = [1]", "select"),
        ("[tool.gradcheck]\nselect = [{code = 'GC1', reason = 'x'}]", "select"),
        ("[tool.gradcheck]\nignore = [{code = 'GC1', reson = 'x'}]", "did you mean reason?"),
        ("[tool.gradcheck]\nignore = [{layer = 'head.*', reason = 'x'}]", "code"),
        ("[tool.gradcheck]\nignore = [{code = 'GC1', layer = 'head'}]", "reason"),
        ("[tool.gradcheck]\nignore = [{code = 'GC1', reason = ' '}]", "reason"),
        ("[tool.gradcheck]\nignore = [{code = 1, reason = 'x'}]", "code"),
        ("[tool.gradcheck]\nignore = [{code = 'GC1', layer = 'a,b', reason = 'x'}]", "comma"),
        ("[tool]\ngradcheck = 3", "table"),
        ("[tool.gradcheck", "cannot be read"),
    ],
)
def test_unusable_settings(orders: list[Any], settings: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("pyproject.toml").write_text(settings)
    assert run(["diagnose", "m"]) == 2
    assert orders == []
    (line,) = capsys.readouterr().err.splitlines()
    assert ": pyproject.toml: " in line
    assert words in line


def test_ignores_with_a_reason_beside_plain_ones(orders: list[Any]) -> None:
    Path("pyproject.toml").write_text(
        "[tool.gradcheck]\nignore = ['GC9', {layer = 'head.*', code = 'GC101', reason = 'small by design'}, "
        "{code = 'GC2', reason = 'no sample yet'}]\n"
    )
    run(["diagnose", "m", "--quiet"])
    assert orders[0][0].request.ignore == (*("GC9", "GC101:head.* # small by design", "GC2 # no sample yet"),)


def test_reason_of_an_ignore_on_the_command_line(orders: list[Any]) -> None:
    run(["diagnose", "m", "--quiet", "--ignore", "GC101:head.*,GC2 # small, by design", "--ignore", "GC9"])
    assert orders[0][0].request.ignore == (*("GC101:head.* # small, by design", "GC2 # small, by design", "GC9"),)


def test_format_flag_over_the_format_of_the_settings(orders: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    Path("pyproject.toml").write_text("[tool.gradcheck]\njson = true\n")
    run(["diagnose", "m", "--csv"])
    assert capsys.readouterr().out.startswith("layer,kind,verdict,")


def test_settings_do_not_count_as_measuring_options_of_report(
    orders: list[Any], diagnosis: Diagnosis, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["diagnose", "m", "--quiet"])
    Path("pyproject.toml").write_text("[tool.gradcheck]\nbatches = 8\njson = true\n")
    assert run(["report"]) == 1
    assert json.loads(capsys.readouterr().out)["verdict"] == "vanishing"


@pytest.mark.parametrize(
    ("fail_on", "status"), [(None, 1), ("none", 0), ("dead", 0), ("dead,vanishing", 1), ("exploding", 0)]
)
def test_exit_status_by_fail_on(orders: list[Any], fail_on: str | None, status: int) -> None:
    more = ["--fail-on", fail_on] if fail_on else []
    assert run(["diagnose", "m", "--quiet", *more]) == status
    assert run(["report", "--quiet", *more]) == status


def test_nothing_measured_is_not_healthy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, diagnosis: Diagnosis, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    nothing = msgspec.structs.replace(diagnosis, verdict=Verdict.NOT_MEASURED, layers=(), findings=())
    monkeypatch.setattr(measuring, "measure", lambda model, options: nothing)
    assert run(["diagnose", "m", "--json"]) == 3
    stdout, stderr = capsys.readouterr()
    assert json.loads(stdout)["verdict"] == "not-measured"
    assert stderr.startswith("gradcheck: error[nothing-measured]: ")


def test_fault_in_the_command_line_is_70(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fault(model: str, options: Options) -> Diagnosis:
        raise KeyError("oh")

    monkeypatch.setattr(measuring, "measure", fault)
    assert run(["diagnose", "m"]) == 70
    (line,) = capsys.readouterr().err.splitlines()
    assert "KeyError" in line
    assert run(["diagnose", "m", "--debug"]) == 70
    assert "Traceback" in capsys.readouterr().err


class Decay:
    """T falls with depth.

    The manual's second paragraph.
    """

    code, name, verdict = "GC101", "decay-over-depth", Verdict.VANISHING


def test_explain_and_rules(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("gradcheck_cli.rules.RULES", (Decay(),), raising=False)
    assert run(["explain", "gc101"]) == 0
    assert capsys.readouterr().out == (
        "GC101 decay-over-depth (vanishing)\n\nT falls with depth.\n\nThe manual's second paragraph.\n"
    )
    assert run(["rules"]) == 0
    assert capsys.readouterr().out == "GC101  vanishing  decay-over-depth  T falls with depth.\n"
    assert run(["explain", "GC110"]) == 2
    assert "did you mean GC101?" in capsys.readouterr().err


def test_usage_error_is_what_stages_raise_too() -> None:
    assert str(UsageError("s", "m", hint="h", file="f")) == "f: m; h"
