"""The report of `gradcheck_cli.render.table` as plain text for a file: no colour, no escape codes, a fixed width."""

from __future__ import annotations

import io

from gradcheck_cli.records import Diagnosis

WIDTH = 100
"""Columns, where nobody's terminal says how wide the page is."""


def render(diagnosis: Diagnosis, *, width: int = WIDTH, verbose: bool = False) -> str:
    """Return the report as text of at most `width` columns with a final newline."""
    from rich.console import Console

    from gradcheck_cli.render import table

    page = io.StringIO()
    console = Console(file=page, width=width, color_system=None, force_terminal=False, force_jupyter=False, _environ={})
    table.render(diagnosis, console, verbose=verbose)
    return page.getvalue()
