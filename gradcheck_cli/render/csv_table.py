"""One row a layer with all its readings, as RFC 4180 has it, for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io

from gradcheck_cli.compare import compare
from gradcheck_cli.records import Diagnosis, LayerReadings, LayerReport
from gradcheck_cli.text import plain

TEXTS = ("layer", "kind", "verdict", "culprit", "findings", "notes", "parameters")
"""Columns before the readings; what there are several of is joined by spaces."""
UNCHANGED = "unchanged"
FORMULAS = ("=", "+", "-", "@")
"""A cell that begins so is run as a formula by spreadsheets."""


def render(diagnosis: Diagnosis, baseline: Diagnosis | None = None) -> str:
    """Return a header and a row a layer, in forward order; a reading that was not taken is an empty cell.

    Against a baseline, a last column ``change`` says what became of the layer, and layers that are gone come last.
    """
    header = (*TEXTS, *LayerReadings.__struct_fields__)
    rows = [_row(layer) for layer in diagnosis.layers]
    if baseline is not None:
        comparison = compare(baseline, diagnosis)
        kinds = comparison.kinds()
        rows = [[*row, kinds.get(layer.name, UNCHANGED)] for row, layer in zip(rows, diagnosis.layers, strict=True)]
        empty = [""] * (len(header) - 1)
        rows += [[_harmless(change.layer), *empty, kinds[change.layer]] for change in comparison.gone]
        header = (*header, "change")
    page = io.StringIO()
    writer = csv.writer(page, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows(rows)
    return page.getvalue()


def _row(layer: LayerReport) -> list[str]:
    texts = (
        layer.name,
        layer.kind,
        layer.verdict.value,
        "yes" if layer.culprit else "no",
        " ".join(layer.findings),
        " ".join(layer.notes),
        " ".join(layer.parameters),
    )
    readings = (getattr(layer.readings, field) for field in LayerReadings.__struct_fields__)
    return [*map(_harmless, texts), *("" if value is None else repr(value) for value in readings)]


def _harmless(text: str) -> str:
    """Return `text` on one line; an apostrophe in front tells spreadsheets that it is no formula."""
    shown = plain(text)
    return f"'{shown}" if shown.lstrip(" ").startswith(FORMULAS) else shown
