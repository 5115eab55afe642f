"""Text from models in Markdown: it reads as it is, and is neither Markdown, nor HTML, nor a link, nor a mention."""

from __future__ import annotations

import re

from gradcheck_cli.text import plain

_ORDINARY = re.compile(r"[A-Za-z0-9_./-]+")
_SPECIAL = re.compile(r"[!#$&*+<>@\[\\\]_`{|}~]|:(?=\S)|(?<=www)\.|^[-=]|\A\d+[.)](?=\s|\Z)", re.IGNORECASE)


def code(text: str) -> str:
    """Return a name as code; one with unusual characters as an element of HTML, in which nothing can close it."""
    shown = plain(text)
    if _ORDINARY.fullmatch(shown):
        return f"`{shown}`"
    return f"<code>{prose(shown)}</code>" if shown else "(no name)"


def prose(text: str) -> str:
    """Return a sentence on one line: what Markdown, HTML or a forge might take for its own stands as a reference."""
    return _SPECIAL.sub(_reference, plain(text))


def block(source: str) -> str:
    """Return lines of Python as a fenced block; the fence is longer than any run of backticks in them."""
    lines = [plain(line) for line in source.strip("\n").expandtabs(4).split("\n")]
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}python", *lines, fence])


def _reference(match: re.Match[str]) -> str:
    before, char = match[0][:-1], match[0][-1]
    # A forge looks for @people and #issues in the text once it is rendered; an empty comment parts it.
    return f"{before}&#{ord(char)};" + ("<!-- -->" if char in "@#" else "")
