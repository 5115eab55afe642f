"""``gradcheck explain CODE`` and ``gradcheck rules``: the manual, read from the rules themselves."""

from __future__ import annotations

import difflib
import inspect
from typing import Annotated

import typer

from gradcheck_cli.errors import UsageError


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
    write(f"{rule.code} {rule.name} ({rule.verdict.value})\n\n{inspect.cleandoc(rule.__doc__ or '')}\n")
    return 0


def rules() -> int:
    """List all rules."""
    from gradcheck_cli.cli.output import write
    from gradcheck_cli.rules import RULES

    width = max((len(rule.name) for rule in RULES), default=0)
    lines = [f"{rule.code}  {rule.verdict.value:9}  {rule.name:{width}}  {_first_line(rule.__doc__)}" for rule in RULES]
    write("".join(f"{line.rstrip()}\n" for line in lines))
    return 0


def _first_line(manual: str | None) -> str:
    return inspect.cleandoc(manual or "").partition("\n")[0]
