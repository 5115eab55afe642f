"""Workflow commands, read back as the runner of GitHub Actions reads them."""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from invented_diagnoses import HOSTILE_NAMES, INVENTED
from made_diagnoses import DIAGNOSES

from gradcheck_cli.errors import ModelError
from gradcheck_cli.records import Diagnosis, Verdict
from gradcheck_cli.render import github
from gradcheck_cli.text import plain

some = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@dataclass
class Command:
    name: str
    properties: dict[str, str]
    message: str


def unescaped(text: str, *, property_: bool = False) -> str:
    """Undo the escapes in the runner's order (ActionCommand.cs): the percent sign comes last."""
    pairs = [("%0D", "\r"), ("%0A", "\n"), *([("%3A", ":"), ("%2C", ",")] if property_ else []), ("%25", "%")]
    for escape, char in pairs:
        text = text.replace(escape, char)
    return text


def commands(text: str) -> list[Command]:
    """Read lines as the runner does: name and properties up to the next ``::``, then the message."""
    found = []
    for line in text.splitlines():
        assert line.startswith("::")
        head, _, message = line[2:].partition("::")
        name, _, rest = head.partition(" ")
        pairs = [each.partition("=") for each in rest.split(",") if each]
        found.append(Command(name, {k: unescaped(v, property_=True) for k, _, v in pairs}, unescaped(message)))
    return found


def test_a_culprit_is_an_error_a_victim_a_warning_a_note_a_notice() -> None:
    read = commands(github.render(INVENTED["dead_relu"]()))
    assert [(each.name, each.message.partition(":")[0]) for each in read] == [
        ("error", "net.3"),
        ("warning", "net.0"),
        ("warning", "net.1"),
        ("warning", "net.2"),
        ("notice", "net.7"),
    ]
    assert read[0].properties == {"title": "gradcheck GC301: dead", "file": "model.pt"}
    assert read[1].message.startswith("net.0: victim of net.3: ")


def test_github_keeps_ten_and_the_rest_is_counted() -> None:
    read = commands(github.render(INVENTED["thousand_layers"]()))
    assert [each.name for each in read] == ["error"] * 10 + ["notice"]
    assert read[-1].message == "490 more errors in the full report"


@pytest.mark.parametrize(("name", "level"), [("healthy_residual", "notice"), ("no_layers", "warning")])
def test_nothing_ill_is_said_too(name: str, level: str) -> None:
    first = commands(github.render(INVENTED[name]()))[0]
    assert (first.name, first.message) == (level, INVENTED[name]().summary)


def test_error_is_an_annotation() -> None:
    (read,) = commands(github.render_error(ModelError("broken", "cut\n::error::x", hint="save it", file="a,b.pt")))
    assert read == Command("error", {"title": "gradcheck: broken", "file": "a,b.pt"}, r"cut\n::error::x; save it")


@given(DIAGNOSES)
@some
def test_no_text_gets_out_of_its_place(diagnosis: Diagnosis) -> None:
    read = commands(github.render(diagnosis))
    levels = [each.name for each in read]
    assert set(levels) <= {"error", "warning", "notice"}
    assert max(map(levels.count, levels), default=0) <= 10
    for each in read:
        assert set(each.properties) <= {"title", "file"}
        assert each.properties.get("file", plain(diagnosis.model.path)) == plain(diagnosis.model.path)
    if not any(f.verdict is not Verdict.HEALTHY for f in diagnosis.findings):
        assert plain(diagnosis.summary) in {each.message for each in read}


@pytest.mark.parametrize("name", [*HOSTILE_NAMES, "a\n::error::b", "50%25,x:y", "%0A::error::c"])
def test_hostile_names_come_back_as_they_are(name: str) -> None:
    diagnosis = INVENTED["dead_relu"]()
    finding = msgspec.structs.replace(diagnosis.findings[0], layer=name)
    model = msgspec.structs.replace(diagnosis.model, path=name or "m")
    text = github.render(msgspec.structs.replace(diagnosis, findings=(finding,), model=model))
    (read,) = commands(text)
    assert read.message.startswith(f"{plain(name)}: ")
    assert read.properties["file"] == plain(name or "m")
    assert re.fullmatch(r"::error title=[^,:]*,file=[^,:]*::[^\r\n]*\n", text)
