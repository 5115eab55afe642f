"""What a row of the table unfolds to: findings with their evidence, notes, what is ignored, and the gradient's elements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gradcheck_cli.compare import Comparison, LayerChange
from gradcheck_cli.records import Diagnosis, Finding, Ignored, LayerReadings, LayerReport, Spread, Verdict
from gradcheck_cli.render.by_layer import findings_of, ignored_of, said
from gradcheck_cli.render.comparison_words import step, told
from gradcheck_cli.render.glyphs import UNICODE, word
from gradcheck_cli.render.html import spread
from gradcheck_cli.render.html.safe import prose, text
from gradcheck_cli.render.html.words import ignored_because, rule_link
from gradcheck_cli.render.numbers import count, number, percent

NAMED = 12
"""Things of a list of evidence that are shown."""
MOST_SPREADS = 300
"""Layers of a model whose gradients are drawn: of more, their pictures would be most of the page."""


class Details:
    """All that is told of layers beside their numbers."""

    def __init__(self, diagnosis: Diagnosis, comparison: Comparison | None) -> None:
        facts = diagnosis.gradients
        self._found = findings_of(diagnosis)
        self._ignored = ignored_of(diagnosis)
        self._spreads = facts.layers if facts is not None and len(facts.layers) <= MOST_SPREADS else {}
        self._of = "∂L/∂W" if facts is not None and facts.of == "loss" else "∂(v·out)/∂W"
        self._kinds = comparison.kinds() if comparison is not None else {}
        self._changes = _changes(comparison)

    def findings(self, layer: LayerReport) -> Sequence[Finding]:
        """Return what was found on the layer, the worst first."""
        return self._found.get(layer.name, [])

    def change(self, layer: LayerReport) -> str:
        """Return ``worse``, ``better``, ``new`` or ``moved`` since the baseline; empty for a layer that is as it was."""
        return self._kinds.get(layer.name, "")

    def was(self, layer: LayerReport) -> str:
        """Return the layer's change in words, as text; empty where there is none."""
        change = self._changes.get(layer.name)
        if change is None:
            return ""
        if change.before is None:
            return "new"
        return f"was {word(change.before)}" if change.before is not change.after else self.change(layer)

    def of(self, layer: LayerReport) -> str:
        """Return the row's last cell: a sentence that unfolds; the empty text where there is nothing to tell."""
        first, *rest = self._first(layer) or [""]
        return f"<details><summary>{first}</summary>{''.join(rest)}</details>" if first else ""

    def _first(self, layer: LayerReport) -> list[str]:
        """Return the sentence, then what is behind it."""
        findings = self.findings(layer)
        ignored = self._ignored.get(layer.name, [])
        change = self._changes.get(layer.name)
        drawn = self._spreads.get(layer.name)
        time = _through_time(layer.readings)
        notes = prose(", ".join(layer.notes))
        sentences = [
            *(f"{text(finding.code)} {prose(_said(finding))}" for finding in findings[:1]),
            *(f"{text(each.code)} {ignored_because(each.reason)}" for each in ignored[:1]),
            *filter(None, (notes, time, self._typical(drawn))),
        ]
        items = "".join(_finding(finding, layer, told=place == 0) for place, finding in enumerate(findings))
        behind = (
            f"<p>Notes: {notes}</p>" if findings and len(layer.notes) > len(_notes(findings)) else "",
            f"<p>{time}</p>" if time and sentences[0] != time else "",
            f"<ul>{items}</ul>" if items else "",
            "".join(_ignored(each) for each in ignored),
            _changed(change) if change is not None else "",
            self._spread(drawn, told=sentences[:1] == [self._typical(drawn)]),
        )
        return [sentences[0], *behind] if sentences else []

    def _typical(self, drawn: Spread | None) -> str:
        if drawn is None:
            return ""
        size = spread.typical(drawn)
        return f"elements of {self._of} {'are all exactly 0' if size is None else f'around {number(size)}'}"

    def _spread(self, drawn: Spread | None, *, told: bool) -> str:
        picture = spread.histogram(drawn) if drawn is not None else ""
        label = "" if told else self._typical(drawn)
        return f'<p class="spread">{label}{": " if label and picture else ""}{picture}</p>' if label or picture else ""


def _changes(comparison: Comparison | None) -> dict[str, LayerChange]:
    if comparison is None:
        return {}
    lists = (comparison.worse, comparison.better, comparison.moved, comparison.appeared)
    return {change.layer: change for changes in lists for change in changes}


def _changed(change: LayerChange) -> str:
    """What became of the layer; why it is ill is told already."""
    rest = told(change).removeprefix(change.why).removeprefix("; ")
    return f"<p>Since the baseline: {text(step(change))}{f'; {prose(rest)}' if rest else ''}</p>"


def _ignored(ignored: Ignored) -> str:
    return f"<p>{rule_link(ignored.code)} {ignored_because(ignored.reason)}: {prose(ignored.message)}</p>"


def _notes(findings: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.verdict is Verdict.HEALTHY]


def _said(finding: Finding) -> str:
    """A finding's sentence; a victim's with its culprits, unless it names them itself."""
    return finding.message if "because of" in finding.message else said(finding)


def _finding(finding: Finding, layer: LayerReport, *, told: bool) -> str:
    """Return one finding; its sentence is `told` already where it is the first."""
    kind = "note" if finding.verdict is Verdict.HEALTHY else word(finding.verdict)
    part = (
        f" {UNICODE.verdicts[finding.verdict]} {kind},"
        if finding.verdict is not layer.verdict or kind == "note"
        else ""
    )
    evidence = " · ".join(f"{prose(key.replace('_', ' '))} {_value(value)}" for key, value in _told(finding, layer))
    return (
        f"<li>{rule_link(finding.code)}{part} {percent(finding.confidence)} sure"
        f"{'' if told else f': {prose(_said(finding))}'}{f'<br><small>{evidence}</small>' if evidence else ''}</li>"
    )


def _told(finding: Finding, layer: LayerReport) -> Iterator[tuple[str, object]]:
    """Evidence but the units, which the map shows, and what the row's columns show."""
    for key, value in finding.evidence.items():
        if value not in ([], ()) and key != "units" and getattr(layer.readings, key, None) != value:
            yield key, value


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
