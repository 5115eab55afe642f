"""The formats that a diagnosis can be written in: one protocol, one table."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Protocol, cast

from gradcheck_cli.errors import UsageError
from gradcheck_cli.records import Diagnosis


class Renderer(Protocol):
    """What the module of a format offers."""

    def render(self, diagnosis: Diagnosis) -> str:
        """Return the whole report as text with a final newline; the same diagnosis gives the same text."""


@dataclass(frozen=True)
class Format:
    """One row of the table."""

    module: str
    """Renders a diagnosis; imported on use, so that no format pays for another."""
    extensions: tuple[str, ...] = ()
    """Ends of a file's name that stand for the format, in lower case."""


FORMATS: dict[str, Format] = {
    "json": Format("gradcheck_cli.render.json_v1", (".json",)),
    "text": Format("gradcheck_cli.render.plain_text", (".txt",)),
    "markdown": Format("gradcheck_cli.render.markdown", (".md",)),
    "junit": Format("gradcheck_cli.render.junit", (".xml",)),
    "sarif": Format("gradcheck_cli.render.sarif", (".sarif", ".sarif.json")),
    "github": Format("gradcheck_cli.render.github"),
    "csv": Format("gradcheck_cli.render.csv_table", (".csv",)),
    "html": Format("gradcheck_cli.render.html", (".html", ".htm")),
}
"""Name of a format → how it is written; every name but ``text`` is a flag of the command line."""


def renderer(name: str) -> Renderer:
    """Return the renderer called `name`; raises `UsageError` of slug ``unknown-format`` where there is none."""
    if name not in FORMATS:
        hint = f"use one of: {', '.join(FORMATS)}"
        raise UsageError("unknown-format", f"there is no report format {name!r}", hint=hint)
    return cast(Renderer, importlib.import_module(FORMATS[name].module))


def format_of(path: str) -> str | None:
    """Return the format that the end of a file's name stands for; None where it says nothing."""
    ends = {end: name for name, known in FORMATS.items() for end in known.extensions}
    longest = max((end for end in ends if path.lower().endswith(end)), key=len, default=None)
    return ends[longest] if longest else None
