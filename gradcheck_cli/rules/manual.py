"""A rule's manual, read from its docstring: a first sentence, sections, and two examples that run as tests.

A section is a paragraph that begins with its name and a full stop. Indented lines are code without empty lines, kept to the
letter.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator

import msgspec

from gradcheck_cli.rules.interface import Rule

SECTIONS = (
    "What it measures",
    "What to do",
    "Why it matters",
    "Remedy",
    "Source",
    "Ill",
    "Healthy",
    "Said",
    "Not said",
)
"""What a paragraph may begin with; the last four are followed by an example."""

EXAMPLES = {False: ("Ill", "Healthy"), True: ("Said", "Not said")}
"""Is it a note → the sections of its two examples: one where the rule hits, and its nearest twin where it does not."""

_NAME = re.compile(rf"({'|'.join(SECTIONS)})\.(?=\s|$)")


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """One paragraph, or one piece of code."""

    section: str
    """The name that it begins with, or that of what is in front of it; empty in front of the first."""
    text: str
    """Without the section's name; code without its indent."""
    named: bool = False
    """It is the paragraph that begins with the name."""
    code: bool = False


def manual(rule: Rule) -> str:
    """The docstring as its author wrote it, without the indent of the class."""
    return inspect.cleandoc(rule.__doc__ or "")


def first_line(rule: Rule) -> str:
    """The manual in one sentence."""
    return manual(rule).partition("\n")[0]


def blocks(rule: Rule) -> Iterator[Block]:
    """Its paragraphs and pieces of code, in order."""
    section = ""
    for text in manual(rule).split("\n\n"):
        if text.startswith("    "):
            yield Block(section=section, text=textwrap.dedent(text), code=True)
            continue
        named = _NAME.match(text)
        section = named[1] if named else section
        yield Block(section=section, text=text[named.end() :].strip() if named else text, named=bool(named))


def examples(rule: Rule) -> dict[str, str]:
    """Section of an example → its code."""
    return {block.section: block.text for block in blocks(rule) if block.code}
