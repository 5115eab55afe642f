"""The formats that a comparison can be written in."""

from __future__ import annotations

import importlib
from typing import Protocol, cast

from gradcheck_cli.compare import Comparison
from gradcheck_cli.errors import UsageError


class ComparisonRenderer(Protocol):
    """What the module of a format offers."""

    def render(self, comparison: Comparison) -> str:
        """Return the whole comparison as text with a final newline; the same runs give the same text."""


FORMATS: dict[str, str] = {
    "json": "gradcheck_cli.render.comparison_json",
    "text": "gradcheck_cli.render.comparison_table",
    "markdown": "gradcheck_cli.render.comparison_markdown",
    "github": "gradcheck_cli.render.comparison_github",
}
"""Name of a format → the module that renders it; imported on use."""


def renderer(name: str) -> ComparisonRenderer:
    """Return the renderer called `name`; raises `UsageError` of slug ``unknown-format`` where there is none."""
    if name not in FORMATS:
        hint = f"use one of: {', '.join(FORMATS)}"
        raise UsageError("unknown-format", f"a comparison cannot be written as {name}", hint=hint)
    return cast(ComparisonRenderer, importlib.import_module(FORMATS[name]))
