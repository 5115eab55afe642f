"""The table of all layers: a row a layer in forward order, with what was found on it to unfold."""

from __future__ import annotations

from collections.abc import Iterator

from gradcheck_cli.compare import Comparison
from gradcheck_cli.records import SEVERITY, Diagnosis, LayerReadings, LayerReport
from gradcheck_cli.render.by_layer import role
from gradcheck_cli.render.glyphs import UNICODE, word
from gradcheck_cli.render.html.change import KINDS
from gradcheck_cli.render.html.details import Details
from gradcheck_cli.render.html.safe import elided, path, prose, text
from gradcheck_cli.render.html.words import READINGS, badge
from gradcheck_cli.render.numbers import count, number, percent


def section(diagnosis: Diagnosis, comparison: Comparison | None = None) -> str:
    """Return the filter and the table; the empty text where the model has no layers."""
    if not diagnosis.layers:
        return ""
    details = Details(diagnosis, comparison)
    rows = "\n".join(_row(place, layer, details) for place, layer in enumerate(diagnosis.layers))
    absent = " ".join(f"no-{column}" for column in _empty(diagnosis))
    return (
        f"{_filter(diagnosis, details)}"
        f'<div class="table"><table class="{absent}" id="layer-table"><caption class="hidden">All layers in forward order</caption>'
        f"<thead><tr>{_heads()}</tr></thead><tbody>\n{rows}\n</tbody></table></div>"
        f'<p class="none" id="none-left" hidden>No layer matches.</p>'
    )


def _empty(diagnosis: Diagnosis) -> list[int]:
    """Columns that would be empty in every row, counted from 1 as style sheets do."""
    cells = [[not cell for cell in _numbers(layer.readings)] for layer in diagnosis.layers]
    return [column for column, empty in enumerate(zip(*cells, strict=True), start=4) if all(empty)]


def _filter(diagnosis: Diagnosis, details: Details) -> str:
    seen = [verdict for verdict in SEVERITY if any(layer.verdict is verdict for layer in diagnosis.layers)]
    buttons = "".join(
        f'<button type="button" aria-pressed="false" data-verdict="{verdict.value}">{badge(verdict)}</button>'
        for verdict in seen
    )
    changes = {details.change(layer) for layer in diagnosis.layers}
    buttons += "".join(
        f'<button type="button" aria-pressed="false" data-change="{kind}">{title.lower()}</button>'
        for kind, title in KINDS.items()
        if kind in changes and kind != "moved"
    )
    return (
        '<div class="filter needs-script" role="group" aria-label="Filter the layers">'
        f'<label>Find <input type="search" id="find" placeholder="name, kind or code" autocomplete="off"></label>{buttons}'
        f'<span id="shown" role="status">{count(len(diagnosis.layers), "layer")}</span></div>'
    )


def _heads() -> str:
    """The script takes what they mean from the glossary."""
    heads = ("#", "layer", "verdict", *(head for _, head, _ in READINGS))
    cells = "".join(
        f'<th scope="col"{" aria-sort=ascending" if place == 0 else ""}><button type="button">'
        f'{text(head)}<span class="arrow" aria-hidden="true"></span></button></th>'
        for place, head in enumerate(heads)
    )
    return f'{cells}<th scope="col" class="why"><span class="hidden">what was found</span></th>'


def _row(place: int, layer: LayerReport, details: Details) -> str:
    numbers = "".join(f"<td>{cell}</td>" for cell in _numbers(layer.readings))
    kind = f"<i>{prose(elided(layer.kind, 40))}</i>"
    parts = " ".join(
        f"<small>{part}</small>" for part in (role(layer, details.findings(layer)), details.was(layer)) if part
    )
    kept = f' data-change="{change}"' if (change := details.change(layer)) else ""
    shown = f"<b>{UNICODE.verdicts[layer.verdict]} {word(layer.verdict)}</b>{f' {parts}' if parts else ''}"
    return (
        f'<tr id="l{place}" data-verdict="{layer.verdict.value}"{kept}><td>{place + 1}</td>'
        f'<th scope="row">{path(layer.name, ".")} {kind}</th><td>{shown}</td>{numbers}<td class="why">{details.of(layer)}</td></tr>'
    )


def _numbers(readings: LayerReadings) -> Iterator[str]:
    for field, _, _ in READINGS:
        if field == "units":
            yield _off(readings)
        else:
            value = getattr(readings, field)
            yield "" if value is None else number(value)


def _off(readings: LayerReadings) -> str:
    """Dead or saturated units of how many, or the share where their number is not known."""
    share = readings.dead_units if readings.dead_units is not None else readings.saturated
    if share is None:
        return ""
    if readings.units is None or not 0 <= share <= 1:
        return percent(share)
    kind = "dead" if readings.dead_units is not None else "sat."
    off = round(share * readings.units)
    return f"{off}/{readings.units}{f' {kind}' if off else ''}"
