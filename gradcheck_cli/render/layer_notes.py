"""The last column of the table of layers: what is worth knowing beside the verdict, the weightiest first."""

from __future__ import annotations

from rich.cells import cell_len
from rich.text import Text

from gradcheck_cli.records import Diagnosis, LayerReport, Verdict
from gradcheck_cli.render.numbers import number, percent
from gradcheck_cli.render.page import Page

WORTH_A_NOTE = 0.05
"""Share of saturated units below which a layer's note does not mention them."""


class Notes:
    """Words the notes of every layer of one diagnosis."""

    def __init__(self, page: Page, diagnosis: Diagnosis) -> None:
        self._page = page
        self._ill = {(f.layer, f.code) for f in diagnosis.findings if f.verdict is not Verdict.HEALTHY}

    def wish(self, layer: LayerReport) -> int:
        """Return the cells that all notes of `layer` would take."""
        return cell_len(", ".join(self._items(layer)))

    def cell(self, layer: LayerReport, width: int) -> Text:
        """Return as many notes as fit in `width` cells; an ellipsis says that there are more."""
        items = self._items(layer)
        text = ", ".join(items)
        if cell_len(text) > width:
            text = self._shortened(items, width)
        return Text(text, "bold" if layer.culprit else "dim")

    def _shortened(self, items: list[str], width: int) -> str:
        more = " " + self._page.glyphs.ellipsis
        while len(items) > 1:
            items = items[:-1]
            text = ", ".join(items) + more
            if cell_len(text) <= width:
                return text
        return self._page.elide(items[0], width)

    def _items(self, layer: LayerReport) -> list[str]:
        readings = layer.readings
        items = ["culprit"] if layer.culprit else []
        items += [self._page.name(code) for code in layer.findings if (layer.name, code) in self._ill]
        if readings.saturated is not None and readings.saturated >= WORTH_A_NOTE:
            items.append(f"{percent(readings.saturated)} saturated")
        if readings.time_gain is not None:
            items.append(f"{self._page.prose(f'×{number(readings.time_gain)}')} per time step")
        return items + [self._page.name(note) for note in layer.notes]
