"""A comparison as Markdown, for job summaries and comments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gradcheck_cli.compare import Comparison, LayerChange, Side
from gradcheck_cli.render.comparison_words import step, told
from gradcheck_cli.render.glyphs import word
from gradcheck_cli.render.markdown_text import code, prose
from gradcheck_cli.render.numbers import count

MOST = 50
"""Rows of one table."""


def render(comparison: Comparison) -> str:
    """Return the page with a final newline: what got worse first."""
    return "\n\n".join(_parts(comparison)) + "\n"


def _parts(comparison: Comparison) -> Iterator[str]:
    symbol = "✖" if comparison.worse else "✔"
    yield f"## {symbol} gradcheck: {_side(comparison.old)} → {_side(comparison.new)}"
    yield f"**Compared:** {prose(comparison.summary)}."
    for title, changes in (
        ("Worse", comparison.worse),
        ("Better", comparison.better),
        ("New", comparison.appeared),
        ("Gone", comparison.gone),
        ("Same verdict, other readings", comparison.moved),
    ):
        if changes:
            yield f"### {title}\n\n{_table(changes)}"
    yield f"{count(comparison.unchanged, 'layer')} unchanged."
    if comparison.remarks:
        yield "\n".join(f"- {prose(remark)}" for remark in comparison.remarks)


def _side(side: Side) -> str:
    return f"{code(side.model)} ({word(side.verdict)})"


def _table(changes: Sequence[LayerChange]) -> str:
    rows = ["| layer | verdict | why |", "|---|---|---|"]
    rows += [f"| {code(change.layer)} | {step(change)} | {prose(told(change))} |" for change in changes[:MOST]]
    if len(changes) > MOST:
        rows.append(f"| {count(len(changes) - MOST, 'more layer')} | | |")
    return "\n".join(rows)
