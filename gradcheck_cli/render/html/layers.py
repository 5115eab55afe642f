"""The table of all layers: a row a layer in forward order, with what was found on it to unfold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gradcheck_cli.records import SEVERITY, Diagnosis, Finding, LayerReadings, LayerReport, Verdict
from gradcheck_cli.render.by_layer import findings_of, role, said
from gradcheck_cli.render.glyphs import UNICODE, word
from gradcheck_cli.render.html.safe import elided, path, prose, text
from gradcheck_cli.render.html.words import READINGS, badge, rule_link
from gradcheck_cli.render.numbers import count, number, percent

NAMED = 12
"""Things of a list of evidence that are shown."""


def section(diagnosis: Diagnosis) -> str:
    """Return the filter and the table; the empty text where the model has no layers."""
    if not diagnosis.layers:
        return ""
    found = findings_of(diagnosis)
    rows = "\n".join(_row(place, layer, found.get(layer.name, [])) for place, layer in enumerate(diagnosis.layers))
    absent = " ".join(f"no-{column}" for column in _empty(diagnosis))
    return (
        f"{_filter(diagnosis)}"
        f'<div class="table"><table class="{absent}" id="layer-table"><caption class="hidden">All layers in forward order</caption>'
        f"<thead><tr>{_heads()}</tr></thead><tbody>\n{rows}\n</tbody></table></div>"
        f'<p class="none" id="none-left" hidden>No layer matches.</p>'
    )


def _empty(diagnosis: Diagnosis) -> list[int]:
    """Columns that would be empty in every row, counted from 1 as style sheets do."""
    cells = [[not cell for cell in _numbers(layer.readings)] for layer in diagnosis.layers]
    return [column for column, empty in enumerate(zip(*cells, strict=True), start=4) if all(empty)]


def _filter(diagnosis: Diagnosis) -> str:
    seen = [verdict for verdict in SEVERITY if any(layer.verdict is verdict for layer in diagnosis.layers)]
    buttons = "".join(
        f'<button type="button" aria-pressed="false" data-verdict="{verdict.value}">{badge(verdict)}</button>'
        for verdict in seen
    )
    return (
        '<div class="filter needs-script" role="group" aria-label="Filter the layers">'
        f'<label>Find <input type="search" id="find" placeholder="name, kind or code" autocomplete="off"></label>{buttons}'
        f'<span id="shown" role="status">{count(len(diagnosis.layers), "layer")}</span></div>'
    )


def _heads() -> str:
    fixed = (("#", "place in forward order"), ("layer", "name and kind"), ("verdict", "what the layer is"))
    heads = [*fixed, *((head, meaning) for _, head, meaning in READINGS)]
    cells = "".join(
        f'<th scope="col"{" aria-sort=ascending" if place == 0 else ""}><button type="button" title="{text(meaning)}">'
        f'{text(head)}<span class="arrow" aria-hidden="true"></span></button></th>'
        for place, (head, meaning) in enumerate(heads)
    )
    return f'{cells}<th scope="col" class="why"><span class="hidden">what was found</span></th>'


def _row(place: int, layer: LayerReport, findings: Sequence[Finding]) -> str:
    numbers = "".join(f"<td>{cell}</td>" for cell in _numbers(layer.readings))
    kind = f"<i>{prose(elided(layer.kind, 40))}</i>"
    part = role(layer, findings)
    why = _why(layer, findings)
    shown = f"<b>{UNICODE.verdicts[layer.verdict]} {word(layer.verdict)}</b>{f' <small>{part}</small>' if part else ''}"
    return (
        f'<tr id="l{place}" data-verdict="{layer.verdict.value}"><td>{place + 1}</td>'
        f'<th scope="row">{path(layer.name, ".")} {kind}</th><td>{shown}</td>{numbers}<td class="why">{why}</td></tr>'
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


def _why(layer: LayerReport, findings: Sequence[Finding]) -> str:
    more = _through_time(layer.readings)
    if not findings and not layer.notes and not more:
        return ""
    first = (
        f"{text(findings[0].code)} {prose(said(findings[0]))}" if findings else prose(", ".join(layer.notes) or more)
    )
    items = "".join(_finding(finding, told=place == 0) for place, finding in enumerate(findings))
    notes = f"<p>Notes: {prose(', '.join(layer.notes))}</p>" if layer.notes else ""
    time = f"<p>{more}</p>" if more else ""
    return f"<details><summary>{first}</summary>{notes}{time}<ul>{items}</ul></details>"


def _finding(finding: Finding, *, told: bool) -> str:
    """Return one finding; its sentence is `told` already where it is the first."""
    kind = "note" if finding.verdict is Verdict.HEALTHY else word(finding.verdict)
    symbol = UNICODE.verdicts[finding.verdict]
    part = (
        ""
        if finding.verdict is Verdict.HEALTHY
        else ", culprit"
        if finding.culprit
        else ", victim"
        if finding.because_of
        else ""
    )
    evidence = " · ".join(f"{prose(key.replace('_', ' '))} {_value(value)}" for key, value in _told(finding.evidence))
    return (
        f"<li>{rule_link(finding.code)} {symbol} {kind}{part}, {percent(finding.confidence)} sure"
        f"{'' if told else f': {prose(said(finding))}'}{f'<br><small>{evidence}</small>' if evidence else ''}</li>"
    )


def _told(evidence: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Evidence but the units, which the map shows."""
    return ((key, value) for key, value in evidence.items() if key != "units")


def _value(value: object) -> str:
    if isinstance(value, list | tuple):
        more = f" and {len(value) - NAMED:,} more" if len(value) > NAMED else ""
        return ", ".join(_value(each) for each in value[:NAMED]) + more
    if isinstance(value, float):
        return number(value)
    return f"{value:,}" if isinstance(value, int) else prose(str(value))


def _through_time(readings: LayerReadings) -> str:
    if readings.time_gain is None:
        return ""
    steps = f" over {count(readings.time_steps, 'step')}" if readings.time_steps is not None else ""
    reach = (
        f"; the first step hears {number(readings.time_reach)} of the last" if readings.time_reach is not None else ""
    )
    return f"Through time: gain {number(readings.time_gain)} per step{steps}{reach}."
