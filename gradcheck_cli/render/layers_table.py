"""The table of layers: one line a layer in forward order, columns chosen by the width, never a wrapped cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from gradcheck_cli.records import Diagnosis, LayerReport
from gradcheck_cli.render import bar, folded_row
from gradcheck_cli.render.fold import rows
from gradcheck_cli.render.glyphs import COLOURS, word
from gradcheck_cli.render.layer_notes import Notes
from gradcheck_cli.render.numbers import number, share
from gradcheck_cli.render.page import Page

WIDEST = 150
"""Cells; the table does not spread over more."""
GAP = 2
GUTTER = 2
"""Cells before the first column, for the mark of a culprit."""
NARROWEST_NAME = 12
NARROWEST_NOTES = 7
LONGEST_KIND = 18
BAR_ROOM = dict(zip(bar.WIDTHS, (124, 108, 70), strict=True))
"""Width of a bar → cells that the table must have for it."""
KIND_AND_GAIN_ROOM = 94
DEAD_ROOM = 56


@dataclass(frozen=True)
class Column:
    """One column: its title, its cells' width, and how a layer fills it."""

    title: str
    width: int
    cell: Callable[[LayerReport], Text]
    right: bool = False

    def fit(self, text: Text) -> Text:
        """Return `text` padded to the column's width."""
        padding = " " * (self.width - text.cell_len)
        return Text(padding).append_text(text) if self.right else text.append(padding)


def write(page: Page, diagnosis: Diagnosis, *, verbose: bool = False) -> bool:
    """Write the table under its heading; return whether layers were folded."""
    groups = [[diagnosis.layers[index] for index in row] for row in rows(diagnosis.layers, verbose=verbose)]
    columns, track = _columns(page, groups, Notes(page, diagnosis))
    if track:
        page.heading("Layers", f"input first; the bar is the transmission T, {page.glyphs.band * 3} its usual range")
    else:
        page.heading("Layers", "input first; T: transmission")
    header = Text(" " * GAP).join(column.fit(Text(column.title, "dim")) for column in columns)
    page.line(Text(" " * GUTTER).append_text(header))
    bar_at, bar_width = _place(columns, track) if track else (0, 0)
    for group in groups:
        one = len(group) == 1
        page.line(_line(page, columns, group[0]) if one else folded_row.line(page, group, GUTTER, bar_at, bar_width))
    return len(groups) < len(diagnosis.layers)


def _line(page: Page, columns: Sequence[Column], layer: LayerReport) -> Text:
    mark = page.glyphs.culprit if layer.culprit else " "
    gutter = Text.assemble((f"{mark} ", f"bold {COLOURS[layer.verdict]}"))
    return gutter.append_text(Text(" " * GAP).join(column.fit(column.cell(layer)) for column in columns))


def _place(columns: Sequence[Column], track: Column) -> tuple[int, int]:
    """Return the cell at which the bars start, and their width."""
    return GUTTER + sum(column.width + GAP for column in columns[: columns.index(track)]), track.width


def _columns(page: Page, groups: Sequence[Sequence[LayerReport]], notes: Notes) -> tuple[list[Column], Column | None]:
    """Return the columns that fit, and which of them is the bar's: verdict, layer and T always stay."""
    layers = [group[0] for group in groups if len(group) == 1]
    width = min(page.width, WIDEST) - GUTTER
    verdict = _column("verdict", layers, lambda layer: _verdict(page, layer))
    figure = _column("T", layers, lambda layer: _figure(page, number(layer.readings.transmission)), right=True)
    track = _bar(page, layers, width)
    kind = gain = dead = None
    if width >= KIND_AND_GAIN_ROOM:
        kind = _column("kind", layers, lambda layer: Text(page.elide(page.name(layer.kind), LONGEST_KIND), "dim"))
        gain = _column("gain", layers, lambda layer: _figure(page, number(layer.readings.gain)), right=True)
    if width >= DEAD_ROOM and any(layer.readings.dead_units for layer in layers):
        dead = _column("dead", layers, lambda layer: _dead(page, layer), right=True)
    before = sum(column.width + GAP for column in (verdict, kind) if column)
    room = width - before - sum(column.width + GAP for column in (track, figure, gain, dead) if column)
    labels = [cell_len(folded_row.label(page, group)) - before for group in groups if track and len(group) > 1]
    name, note = _name_and_notes(page, layers, notes, room, max(labels, default=0))
    return [column for column in (verdict, name, kind, track, figure, gain, dead, note) if column], track


def _name_and_notes(
    page: Page, layers: Sequence[LayerReport], notes: Notes, room: int, label: int
) -> tuple[Column, Column | None]:
    """Share `room` cells between names and notes; notes go first where there is no room for both."""
    names = max(cell_len("layer"), *(cell_len(page.layer(layer.name)) for layer in layers))
    wish = max(names, min(label, room // 2))
    longest = max(notes.wish(layer) for layer in layers)
    notes_wish = max(longest, cell_len("notes")) if longest else 0
    notes_width = min(notes_wish, max(room - GAP - wish, (room - GAP) * 2 // 5))
    width = max(min(wish, room - GAP - notes_width), min(names, NARROWEST_NAME))
    if notes_wish == 0 or notes_width < min(NARROWEST_NOTES, notes_wish) or width + GAP + notes_width > room:
        return _name(page, max(min(wish, room), 1)), None
    return _name(page, width), Column("notes", notes_width, lambda layer: notes.cell(layer, notes_width))


def _name(page: Page, width: int) -> Column:
    def cell(layer: LayerReport) -> Text:
        return Text(page.elide(page.layer(layer.name), width), "bold" if layer.culprit else "")

    return Column(page.elide("layer", width), width, cell)


def _bar(page: Page, layers: Sequence[LayerReport], room: int) -> Column | None:
    width = next((width for width, least in BAR_ROOM.items() if room >= least), None)
    if width is None or all(layer.readings.transmission is None for layer in layers):
        return None

    def cell(layer: LayerReport) -> Text:
        return bar.bar(layer.readings.transmission, width, page.glyphs, COLOURS[layer.verdict])

    return Column(bar.axis(width), width, cell)


def _column(
    title: str, layers: Sequence[LayerReport], cell: Callable[[LayerReport], Text], *, right: bool = False
) -> Column:
    return Column(title, max(cell_len(title), *(cell(layer).cell_len for layer in layers)), cell, right)


def _verdict(page: Page, layer: LayerReport) -> Text:
    style = COLOURS[layer.verdict] + (" bold" if layer.culprit else "")
    return Text(f"{page.symbol(layer.verdict)} {word(layer.verdict)}", style)


def _figure(page: Page, figure: str) -> Text:
    return Text(page.prose(figure), "" if figure[0].isdigit() else "dim")


def _dead(page: Page, layer: LayerReport) -> Text:
    dead = layer.readings.dead_units
    return Text(page.prose(share(dead, layer.readings.units)), "" if dead else "dim")
