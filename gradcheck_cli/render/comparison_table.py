"""A comparison for a person: at the terminal, in a pipe, or in a file."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from gradcheck_cli.compare import Comparison, LayerChange, Side
from gradcheck_cli.records import Verdict
from gradcheck_cli.render.comparison_words import step, told
from gradcheck_cli.render.glyphs import COLOURS, word
from gradcheck_cli.render.numbers import count
from gradcheck_cli.render.page import Page
from gradcheck_cli.render.plain_text import WIDTH

MOST = 20
"""Layers of one kind that are told one by one, but for ``--verbose``."""
INDENT = 2


def render(comparison: Comparison, *, verbose: bool = False) -> str:
    """Return the comparison as plain text for a file, with a final newline."""
    page = io.StringIO()
    console = Console(file=page, width=WIDTH, color_system=None, force_terminal=False, force_jupyter=False, _environ={})
    write(comparison, console, verbose=verbose)
    return page.getvalue()


def write(comparison: Comparison, console: Console, *, verbose: bool = False) -> None:
    """Write the comparison to `console`, no line wider than it: what got worse first."""
    page = Page(console)
    sides = f"{_side(page, comparison.old)} {page.prose('→')} {_side(page, comparison.new)}"
    page.paragraph(f"Compared: {sides}", hang=INDENT, width=page.width)
    page.paragraph(f"{page.prose(comparison.summary)}.", style="bold")
    for title, changes in (
        ("Worse", comparison.worse),
        ("Better", comparison.better),
        ("New", comparison.appeared),
        ("Gone", comparison.gone),
        ("Same verdict, other readings", comparison.moved),
    ):
        if changes:
            page.heading(title)
            _write_changes(page, changes, len(changes) if verbose else MOST)
    page.line()
    page.paragraph(f"{count(comparison.unchanged, 'layer')} unchanged.", style="dim")
    for remark in comparison.remarks:
        page.paragraph(f"Note: {page.prose(remark)}.", hang=INDENT)


def _write_changes(page: Page, changes: Sequence[LayerChange], most: int) -> None:
    for change in changes[:most]:
        verdict = change.after or change.before or Verdict.NOT_MEASURED
        head = Text.assemble((f"{page.symbol(verdict)} {page.layer(change.layer)}", f"bold {COLOURS[verdict]}"))
        page.paragraph(head.append(f"  {page.prose(step(change))}", "not bold default"), hang=INDENT)
        if told(change):
            page.paragraph(page.prose(told(change)), indent=INDENT, style="dim")
    if len(changes) > most:
        rest = f"{page.glyphs.ellipsis} and {count(len(changes) - most, 'more layer')}; --verbose shows them"
        page.paragraph(rest, indent=INDENT, style="dim")


def _side(page: Page, side: Side) -> str:
    return f"{page.name(side.model)} ({word(side.verdict)})"
