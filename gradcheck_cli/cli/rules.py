"""``gradcheck explain CODE`` and ``gradcheck rules``: the manual, read from the rules themselves."""

from __future__ import annotations

import difflib
import shutil
import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

from gradcheck_cli.errors import UsageError

if TYPE_CHECKING:
    from gradcheck_cli.rules.interface import Rule

LONGEST = 100
"""Characters of a line of prose, where the terminal has room for so many."""


def explain(
    code: Annotated[str, typer.Argument(metavar="CODE", help="A rule's code, as GC101.", show_default=False)],
) -> int:
    """Print the manual of the rule CODE."""
    from gradcheck_cli.cli.output import write
    from gradcheck_cli.rules import RULES

    known = {rule.code: rule for rule in RULES}
    rule = known.get(code.upper())
    if rule is None:
        nearest = difflib.get_close_matches(code.upper(), known, n=1)
        hint = f"did you mean {nearest[0]}?" if nearest else "gradcheck rules lists them"
        raise UsageError("unknown-rule", f"there is no rule {code}", hint=hint)
    write(f"{rule.code} {rule.name} ({rule.verdict.value})\n\n{_manual(rule)}\n")
    return 0


def rules() -> int:
    """List all rules."""
    from gradcheck_cli.cli.output import write
    from gradcheck_cli.rules import RULES
    from gradcheck_cli.rules.manual import first_line

    width = max((len(rule.name) for rule in RULES), default=0)
    lines = [f"{rule.code}  {rule.verdict.value:9}  {rule.name:{width}}  {first_line(rule)}" for rule in RULES]
    write("".join(f"{line.rstrip()}\n" for line in lines))
    return 0


def _manual(rule: Rule) -> str:
    """Prose is filled to the terminal's width; examples stay as they are, indented."""
    from gradcheck_cli.rules.manual import blocks

    width = min(LONGEST, shutil.get_terminal_size().columns)
    return "\n\n".join(
        textwrap.indent(block.text, "    ")
        if block.code
        else textwrap.fill(
            f"{block.section}. {block.text}" if block.named else block.text, width, break_on_hyphens=False
        )
        for block in blocks(rule)
    )
