"""What is expected of any command-line tool: pipes, streams, locales, help, completion."""

from __future__ import annotations

import subprocess
from pathlib import Path

import msgspec
import pytest
from command_line import CommandLine, on_terminal, troublesome

from gradcheck_cli import __version__, store
from gradcheck_cli.records import Diagnosis
from gradcheck_cli.render.interface import FORMATS

COMMANDS = ("diagnose", "report", "compare", "inspect", "explain", "rules", "schema")
UMLAUT = "späte.schicht"


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """A folder in which the last run has a layer whose name is not ASCII."""
    gradcheck = CommandLine(tmp_path)
    monkeypatch.chdir(gradcheck.folder)
    store.keep(named(UMLAUT))
    return gradcheck


def named(name: str) -> Diagnosis:
    diagnosis = troublesome()
    layer = msgspec.structs.replace(diagnosis.layers[0], name=name)
    finding = msgspec.structs.replace(diagnosis.findings[0], layer=name)
    return msgspec.structs.replace(diagnosis, layers=(layer,), findings=(finding,), culprits=(name,))


@pytest.mark.parametrize("arguments", [["report"], ["report", "--json"], ["--help"], ["diagnose", "--help"], ["rules"]])
def test_reader_that_takes_one_line(kept: CommandLine, arguments: list[str]) -> None:
    command = 'set -o pipefail; "$@" | head -n 1; echo "${PIPESTATUS[0]}"'
    ran = subprocess.run(
        ["bash", "-c", command, "bash", *kept.command, *arguments],
        cwd=kept.folder,
        env=kept.environment,
        capture_output=True,
        text=True,
    )
    *_, status = ran.stdout.splitlines()
    assert int(status) in (0, 1, 141)
    assert ran.stderr == ""


def test_dash_is_stdout(kept: CommandLine) -> None:
    assert kept("report", "--output", "-").stdout == kept("report").stdout
    assert kept("report", "--output", "json:-").stdout == kept("report", "--json").stdout
    assert kept("report", "--csv", "--output", "-").stdout == kept("report", "--csv").stdout
    assert not (kept.folder / "-").exists()


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LANG": "C", "LC_ALL": "C"},
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "cp1252"},
    ],
)
def test_locale_changes_no_file_and_no_redirected_report(kept: CommandLine, environment: dict[str, str]) -> None:
    names = [name for name in FORMATS if name not in ("text", "github")]
    for name in names:
        kept("report", "--output", f"{name}:plain.{name}")
    kept.environment |= environment
    for name in names:
        place = kept.folder / f"redirected.{name}"
        with place.open("wb") as file:
            ran = kept("report", f"--{name}", stdout=file)
        assert (ran.returncode, ran.stderr) == (1, "")
        assert place.read_bytes() == (kept.folder / f"plain.{name}").read_bytes(), name


def test_text_stays_within_the_locale(kept: CommandLine) -> None:
    kept.environment |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ran = kept("report")
    assert ran.stdout.isascii()
    assert "sp\\xe4te" in ran.stdout
    assert "v VANISHING" in ran.stdout or "VANISHING" in ran.stdout


def test_no_color_wins_over_force_color(kept: CommandLine) -> None:
    kept.environment |= {"FORCE_COLOR": "1", "NO_COLOR": "1", "TERM": "xterm-256color"}
    assert "\x1b[3" not in kept("report").stdout
    kept.environment.pop("NO_COLOR")
    assert "\x1b[" in kept("report").stdout
    assert "\x1b" not in kept("report", "--no-color").stdout
    assert b"\x1b" not in on_terminal(kept, "--no-color")


@pytest.mark.parametrize("columns", [40, 60, 200])
def test_no_line_is_wider_than_the_terminal(kept: CommandLine, columns: int) -> None:
    store.keep(named("a_very_long_name_of_a_module." * 8 + "weight"))
    kept.environment |= {"COLUMNS": str(columns)}
    for arguments in (["report"], ["report", "--verbose"], ["report", "--baseline", str(store.LAST)]):
        assert max(map(len, kept(*arguments).stdout.splitlines())) <= columns


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_short_and_long_help(kept: CommandLine, command: str) -> None:
    short, long = kept(command, "-h"), kept(command, "--help")
    assert (short.returncode, short.stdout, short.stderr) == (0, long.stdout, "")
    assert f"gradcheck {command}" in short.stdout


def test_version_on_one_line(kept: CommandLine) -> None:
    ran = kept("--version")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"gradcheck {__version__}\n", "")


@pytest.mark.parametrize(
    ("shell", "words"),
    [("bash", "complete -o default"), ("zsh", "#compdef gradcheck"), ("fish", "complete --command gradcheck")],
)
def test_completion_scripts(kept: CommandLine, shell: str, words: str) -> None:
    # What shell runs is not asked: none of a person's does here.
    kept.environment |= {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    ran = kept("--show-completion", shell)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert words in ran.stdout
    assert "_GRADCHECK_COMPLETE" in ran.stdout
    if shell == "bash":
        checked = subprocess.run(["bash", "-n"], input=ran.stdout, text=True, capture_output=True)
        assert (checked.returncode, checked.stderr) == (0, "")


def test_bash_completes_commands_and_options(kept: CommandLine) -> None:
    script = 'complete_it() { eval "$(cat completion)"; COMP_WORDS=(gradcheck diagnose --base); COMP_CWORD=2; ' + (
        '_gradcheck_completion "$0"; printf "%s\\n" "${COMPREPLY[@]}"; }; complete_it'
    )
    kept.environment |= {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    (kept.folder / "completion").write_text(kept("--show-completion", "bash").stdout)
    tool = kept.folder / "gradcheck"
    tool.write_text(f'#!/bin/sh\nexec {" ".join(kept.command)} "$@"\n')
    tool.chmod(0o755)
    ran = subprocess.run(
        ["bash", "-c", script, "./gradcheck"], cwd=kept.folder, env=kept.environment, capture_output=True, text=True
    )
    assert "--baseline" in ran.stdout.split(), ran.stderr
