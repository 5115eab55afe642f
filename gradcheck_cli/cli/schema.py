"""``gradcheck schema``."""

from __future__ import annotations

import enum
from typing import Annotated

import typer


class Kind(str, enum.Enum):
    """What is written as JSON."""

    REPORT = "report"
    COMPARISON = "comparison"


def schema(
    kind: Annotated[Kind, typer.Argument(help="Of what: diagnose and report, or compare.")] = Kind.REPORT,
) -> int:
    """Print the JSON Schema of what --json writes."""
    from gradcheck_cli.cli.output import write
    from gradcheck_cli.render import comparison_json, json_v1

    write(json_v1.schema() if kind is Kind.REPORT else comparison_json.schema())
    return 0
