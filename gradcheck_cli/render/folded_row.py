"""The row that stands for a run of folded layers: how many, of which verdicts, and the range of their transmission."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.text import Text

from gradcheck_cli.records import SEVERITY, LayerReport, Verdict
from gradcheck_cli.render import bar
from gradcheck_cli.render.glyphs import COLOURS, word
from gradcheck_cli.render.numbers import count, span
from gradcheck_cli.render.page import Page

NOTES = 3
"""Kinds of notes that are counted in the row."""


def label(page: Page, layers: Sequence[LayerReport]) -> str:
    """Return ``⋮ 14 healthy layers``, or ``⋮ 14 layers: 10 vanishing, 4 healthy``."""
    verdicts = Counter(layer.verdict for layer in layers)
    ordered = [verdict for verdict in SEVERITY if verdict in verdicts]
    if len(ordered) > 1:
        parts = ", ".join(f"{verdicts[verdict]:,} {word(verdict)}" for verdict in ordered)
        what = f"{count(len(layers), 'layer')}: {parts}"
    elif ordered == [Verdict.NOT_MEASURED]:
        what = f"{count(len(layers), 'layer')} not measured"
    else:
        what = count(len(layers), f"{word(ordered[0])} layer")
    return f"{page.glyphs.fold} {what}"


def line(page: Page, layers: Sequence[LayerReport], indent: int, bar_at: int, bar_width: int) -> Text:
    """Return the row, its bar of `bar_width` cells at cell `bar_at`; no bar where that is 0 or the label too long."""
    worst = min((layer.verdict for layer in layers), key=SEVERITY.index)
    style = "dim" if worst is Verdict.HEALTHY else f"dim {COLOURS[worst]}"
    text = Text.assemble((" " * indent + label(page, layers), style))
    heard = [value for layer in layers if (value := layer.readings.transmission) is not None]
    if bar_width and text.cell_len + 2 <= bar_at:
        text.append(" " * (bar_at - text.cell_len))
        text.append_text(bar.spread(heard, bar_width, page.glyphs, f"dim {COLOURS[worst]}")).append("  ")
        text.append(span(heard) if heard else "", style)
    elif heard:
        text.append(f", T {span(heard)}", style)
    text.append(_notes(page, layers), style)
    return page.cut(text)


def _notes(page: Page, layers: Sequence[LayerReport]) -> str:
    noted = Counter(note for layer in layers for note in layer.notes)
    if not noted:
        return ""
    return f" ({', '.join(f'{amount:,} {page.name(note)}' for note, amount in noted.most_common(NOTES))})"
