"""Workflow commands of GitHub Actions: an annotation a finding, culprits first.

Source: https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands (message and property escapes).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from gradcheck_cli.errors import GradcheckError
from gradcheck_cli.records import SEVERITY, Diagnosis, Finding, Verdict
from gradcheck_cli.render.by_layer import said
from gradcheck_cli.text import plain

MOST = 10
"""Annotations of one level that GitHub keeps of a step; it drops the rest."""

Level = Literal["error", "warning", "notice"]
LEVELS: tuple[Level, ...] = ("error", "warning", "notice")


@dataclass(frozen=True)
class Annotation:
    """One line on the page of a run; the texts as they are, neither made plain nor escaped."""

    level: Level
    title: str
    message: str
    file: str = ""


def render(diagnosis: Diagnosis) -> str:
    """Return an error a culprit, a warning a victim, a notice a note; one notice where nothing is ill."""
    ordered = sorted(diagnosis.findings, key=lambda f: (SEVERITY.index(f.verdict), not f.culprit))
    told = [_annotation(finding) for finding in ordered]
    if not any(finding.verdict is not Verdict.HEALTHY for finding in ordered):
        level: Level = "notice" if diagnosis.verdict is Verdict.HEALTHY else "warning"
        told.insert(0, Annotation(level, f"gradcheck: {diagnosis.verdict.value}", diagnosis.summary))
    return commands(replace(annotation, file=diagnosis.model.path) for annotation in told)


def render_error(error: GradcheckError) -> str:
    """Return the annotation that stands in place of a report when there is none."""
    hint = f"; {error.hint}" if error.hint else ""
    return commands([Annotation("error", f"gradcheck: {error.slug}", f"{error.message}{hint}", error.file)])


def commands(annotations: Iterable[Annotation]) -> str:
    """Return a line an annotation, errors first, and a last one that counts those that GitHub would drop."""
    given = list(annotations)
    kept, dropped = [], []
    for level in LEVELS:
        alike = [annotation for annotation in given if annotation.level == level]
        room = MOST - 1 if level == "notice" else MOST  # the count is a notice too
        kept += alike[:room]
        if len(alike) > room:
            dropped.append(f"{len(alike) - room:,} more {level}{'s' if len(alike) - room > 1 else ''}")
    if dropped:
        kept.append(Annotation("notice", "gradcheck", f"{_listed(dropped)} in the full report"))
    return "".join(f"{_command(annotation)}\n" for annotation in kept)


def _annotation(finding: Finding) -> Annotation:
    note = finding.verdict is Verdict.HEALTHY
    level: Level = "notice" if note else "error" if finding.culprit else "warning"
    title = f"gradcheck {finding.code}: {'note' if note else finding.verdict.value}"
    return Annotation(level, title, f"{finding.layer}: {said(finding)}")


def _command(annotation: Annotation) -> str:
    properties = {"title": annotation.title, "file": annotation.file}
    given = ",".join(f"{name}={_property(value)}" for name, value in properties.items() if value)
    return f"::{annotation.level} {given}::{_message(annotation.message)}"


def _message(text: str) -> str:
    # `plain` leaves no line break; they are escaped all the same, since a new line would start a new command.
    return plain(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
