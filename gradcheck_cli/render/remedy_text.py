"""What to do: numbered, each with its reason and its code."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from gradcheck_cli.records import Remedy
from gradcheck_cli.render.page import Page

FIRST = 3
"""Remedies that are shown; they come best first."""
INDENT = 3
CODE_INDENT = 5
CONTINUED = 4
"""Cells by which the rest of a line of code too wide for the page is indented further."""


def write(page: Page, remedies: Sequence[Remedy], *, verbose: bool = False) -> bool:
    """Write the remedies; return whether some were only counted."""
    shown = remedies if verbose else remedies[:FIRST]
    if shown:
        page.heading("Remedies", "best first" if len(shown) > 1 else "")
    for place, remedy in enumerate(shown, start=1):
        if place > 1:
            page.line()
        _write_remedy(page, place, remedy, verbose)
    rest = remedies[len(shown) :]
    if rest:
        page.line()
        titles = "; ".join(page.prose(remedy.title) for remedy in rest)
        page.paragraph(f"{page.glyphs.ellipsis} and {len(rest):,} more: {titles}", indent=INDENT, style="dim")
    return bool(rest)


def _write_remedy(page: Page, place: int, remedy: Remedy, verbose: bool) -> None:
    page.paragraph(Text(f"{place}. {page.prose(remedy.title)}", "bold"), hang=INDENT)
    if remedy.layers:
        names = page.names(remedy.layers, len(remedy.layers) if verbose else 3)
        page.paragraph(f"for {names}", indent=INDENT, style="dim")
    page.paragraph(page.prose(remedy.why), indent=INDENT)
    for line in _code(page, remedy.how):
        _write_code(page, line)
    if verbose and remedy.source:
        page.paragraph(page.prose(remedy.source), indent=INDENT, style="dim")


def _write_code(page: Page, line: Text) -> None:
    """Write one line of code; where it is too wide, what follows is indented below it."""
    lead = len(line.plain) - len(line.plain.lstrip(" "))
    indent = CODE_INDENT + min(lead, page.width // 3)
    fits = indent + line[lead:].cell_len <= page.width
    for row, part in enumerate(page.wrapped(line[lead:], page.width - indent - (0 if fits else CONTINUED))):
        page.line(Text(" " * (indent + (CONTINUED if row else 0))).append_text(part))


def _code(page: Page, source: str) -> list[Text]:
    """Return the lines of code, highlighted where the console has colours."""
    lines = [page.code(line) for line in source.strip("\n").expandtabs(4).split("\n")]
    if not page.coloured:
        return [Text(line) for line in lines]
    from rich.syntax import Syntax

    highlighted = Syntax("", "python", theme="ansi_dark").highlight("\n".join(lines))
    highlighted.rstrip()
    return list(highlighted.split("\n", allow_blank=True))
