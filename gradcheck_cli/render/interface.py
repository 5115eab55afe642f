"""The formats that a diagnosis can be written in: one protocol, one table."""

from __future__ import annotations

import importlib
from typing import Protocol, cast

from gradcheck_cli.errors import UsageError
from gradcheck_cli.records import Diagnosis


class Renderer(Protocol):
    """What the module of a format offers."""

    def render(self, diagnosis: Diagnosis) -> str:
        """Return the whole report as text with a final newline; the same diagnosis gives the same text."""


FORMATS: dict[str, str] = {
    "json": "gradcheck_cli.render.json_v1",
    "text": "gradcheck_cli.render.plain_text",
}
"""Name of a format → the module that renders it; imported on use, so that no format pays for another."""


def renderer(name: str) -> Renderer:
    """Return the renderer called `name`; raises `UsageError` of slug ``unknown-format`` where there is none."""
    if name not in FORMATS:
        hint = f"use one of: {', '.join(FORMATS)}"
        raise UsageError("unknown-format", f"there is no report format {name!r}", hint=hint)
    return cast(Renderer, importlib.import_module(FORMATS[name]))
