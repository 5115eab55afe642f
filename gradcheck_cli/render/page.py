"""What the report is written on: a console's width and characters, and text that is safe to put there."""

from __future__ import annotations

from collections.abc import Sequence
from unicodedata import combining

from rich.cells import cell_len, chop_cells
from rich.console import Console
from rich.text import Text

from gradcheck_cli.records import Verdict
from gradcheck_cli.render.glyphs import ASCII, UNICODE, spelled
from gradcheck_cli.text import inert

PROSE_WIDTH = 96
"""Sentences wider than this are tiring to read."""
NARROWEST = 20
"""Below this nothing is worth laying out; lines may then be wider than the console."""


class Page:
    """Writes lines on a console, none wider than it is; turns hostile text into text that is only text."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._ascii = console.options.ascii_only
        self.width = max(console.width, NARROWEST)
        self.glyphs = ASCII if self._ascii else UNICODE
        self.coloured = console.color_system is not None

    def name(self, text: str) -> str:
        """Return a name from a file or a model, with everything that does not print, or commands, as its escape."""
        safe = inert(text)
        return safe.encode("ascii", "backslashreplace").decode("ascii") if self._ascii else safe

    def layer(self, name: str) -> str:
        """Return a layer's name; the model itself is the layer without one."""
        return self.name(name) or "(model)"

    def prose(self, text: str) -> str:
        """Return a sentence on one line."""
        return self.code(" ".join(text.split()))

    def code(self, line: str) -> str:
        """Return one line of code; what of it is not ASCII is spelled where the console cannot show it."""
        return self.name(spelled(line) if self._ascii else line)

    def elide(self, text: str, width: int) -> str:
        """Return `text` in at most `width` cells, its middle left out: the end of a name tells more than its start."""
        if cell_len(text) <= width:
            return text
        room = width - cell_len(self.glyphs.ellipsis)
        if room < 2:
            return chop_cells(text, width)[0] if width > 0 else ""
        head = chop_cells(text, max(room // 3, 1))[0]
        tail = chop_cells(text[::-1], room - cell_len(head))[0][::-1]
        # A mark that combines with the letter before it must not combine with the ellipsis.
        return head + self.glyphs.ellipsis + tail.lstrip("".join(char for char in tail if combining(char)))

    def cut(self, text: Text) -> Text:
        """Return `text` with its end left out where it is wider than the page."""
        if text.cell_len > self.width:
            text.truncate(self.width - cell_len(self.glyphs.ellipsis))
            text.append(self.glyphs.ellipsis)
        return text

    def names(self, names: Sequence[str], limit: int, each: int = 40) -> str:
        """Return ``a, b and 12 more``: at most `limit` layers, each in at most `each` cells."""
        shown = [self.elide(self.layer(name), each) for name in names[:limit]]
        more = len(names) - len(shown)
        if more:
            return f"{', '.join(shown)} and {more:,} more"
        return " and ".join(filter(None, [", ".join(shown[:-1]), *shown[-1:]]))

    def symbol(self, verdict: Verdict) -> str:
        """Return the mark of a verdict; always shown beside its word."""
        return self.glyphs.verdicts[verdict]

    def line(self, text: Text | str = "", style: str = "") -> None:
        """Write one line as it is; it must fit."""
        line = Text(text, style) if isinstance(text, str) else text
        line.rstrip()
        self._console.print(line, soft_wrap=True, highlight=False)

    def paragraph(
        self, text: Text | str, *, indent: int = 0, hang: int = 0, style: str = "", width: int = PROSE_WIDTH
    ) -> None:
        """Write `text` wrapped between words, every line after `indent` cells, all but the first after `hang` more."""
        whole = Text(text, style) if isinstance(text, str) else text
        for row, line in enumerate(self.wrapped(whole, min(self.width, width) - indent - hang)):
            self.line(Text(" " * (indent + (hang if row else 0))).append_text(line))

    def wrapped(self, text: Text, width: int) -> list[Text]:
        """Return `text` in lines of at most `width` cells, broken between words where these fit."""
        lines = list(text.wrap(self._console, max(width, 1)))
        for line in lines:
            line.rstrip()
        return lines

    def heading(self, title: str, remark: str = "") -> None:
        """Write a section's title after an empty line, with a dim remark beside it where there is room for it."""
        self.line()
        beside = f"  {self.prose(remark)}" if remark else ""
        fits = len(title) + cell_len(beside) <= self.width
        self.line(Text.assemble((title, "bold"), (beside if fits else "", "dim")))
