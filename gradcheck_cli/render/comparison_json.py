"""A comparison as JSON, in pure ASCII, the same bytes for the same two runs."""

from __future__ import annotations

from importlib import resources

import msgspec

from gradcheck_cli.compare import Comparison
from gradcheck_cli.render import json_v1


def render(comparison: Comparison) -> str:
    """Return the comparison, field by field, with a final newline."""
    return json_v1.dump(msgspec.to_builtins(comparison))


def schema() -> str:
    """Return the JSON Schema (2020-12) of what `render` writes."""
    return resources.files(__package__).joinpath("comparison.schema.json").read_text(encoding="utf-8")
