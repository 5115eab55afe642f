"""The report as GitHub-flavoured Markdown, for job summaries and comments: what is ill first, the rest folded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gradcheck_cli.records import Diagnosis, Finding, LayerReport, Remedy, Verdict
from gradcheck_cli.render.by_layer import WELL, findings_of, grouped, reason, role, said
from gradcheck_cli.render.glyphs import UNICODE, word
from gradcheck_cli.render.markdown_text import block, code, prose
from gradcheck_cli.render.numbers import count, number, share

MOST_ILL = 50
"""Rows of ill layers that are shown: a comment may have 65,536 characters."""
MOST_WELL = 200
"""Rows in the folded table of layers that are well."""
FIRST = 3
"""Remedies that are shown with their code; they come best first."""


def render(diagnosis: Diagnosis) -> str:
    """Return the page with a final newline."""
    return "\n\n".join(_parts(diagnosis)) + "\n"


def heading(verdict: Verdict, model: str) -> str:
    """Return the first line: the verdict as a word beside its symbol, and the model."""
    return f"## {UNICODE.verdicts[verdict]} gradcheck: {word(verdict)} – {code(model)}"


def _parts(diagnosis: Diagnosis) -> Iterator[str]:
    found = findings_of(diagnosis)
    ill = [layer for layer in diagnosis.layers if layer.verdict not in WELL]
    well = [layer for layer in diagnosis.layers if layer.verdict in WELL]
    yield heading(diagnosis.verdict, diagnosis.model.path)
    yield f"**{word(diagnosis.verdict).capitalize()}:** {prose(diagnosis.summary)}"
    if diagnosis.culprits:
        yield f"Where it starts: {_names(diagnosis.culprits)}"
    if ill:
        yield f"### Ill layers\n\n{_table(sorted(ill, key=lambda layer: not layer.culprit), found, MOST_ILL)}"
    if diagnosis.remedies:
        yield "### Remedies"
        yield from (_remedy(place, remedy) for place, remedy in enumerate(diagnosis.remedies[:FIRST], start=1))
    if more := diagnosis.remedies[FIRST:]:
        yield f"And {len(more):,} more: {'; '.join(prose(remedy.title) for remedy in more)}"
    if well:
        yield _folded(f"{count(len(well), 'layer')} not ill", _table(well, found, MOST_WELL))
    if notes := [finding for finding in diagnosis.findings if finding.verdict is Verdict.HEALTHY]:
        yield _folded(f"{count(len(notes), 'note')}: what looks ill and is not", _list(_note(note) for note in notes))
    if ignored := _ignored(diagnosis):
        yield _folded(f"{count(len(diagnosis.ignored), 'finding')} ignored", _list(iter(ignored)))
    if diagnosis.not_measured:
        yield f"### Not measured\n\n{_list(f'{prose(gap.what)}: {prose(gap.why)}' for gap in diagnosis.not_measured)}"
    yield _measured_on(diagnosis)


def _table(layers: Sequence[LayerReport], found: dict[str, list[Finding]], most: int) -> str:
    rows = ["| verdict | layer | kind | T | dead units | why |", "|---|---|---|--:|--:|---|"]
    rows += [_row(layer, found.get(layer.name, [])) for layer in layers[:most]]
    if len(layers) > most:
        rows.append(f"| … | {count(len(layers) - most, 'more layer')} | | | | |")
    return "\n".join(rows)


def _row(layer: LayerReport, findings: Sequence[Finding]) -> str:
    part = role(layer, findings)
    cells = (
        f"{UNICODE.verdicts[layer.verdict]} {word(layer.verdict)}{f' ({part})' if part else ''}",
        code(layer.name),
        prose(layer.kind),
        number(layer.readings.transmission),
        share(layer.readings.dead_units, layer.readings.units),
        prose(", ".join(layer.notes)) if layer.verdict in WELL else _why(layer, findings),
    )
    return f"| {' | '.join(cells)} |"


def _why(layer: LayerReport, findings: Sequence[Finding]) -> str:
    codes = " ".join(code(each) for each in layer.findings)
    return f"{codes} {prose(reason(layer, findings))}".strip()


def _remedy(place: int, remedy: Remedy) -> str:
    layers = f"For {_names(remedy.layers)}. " if remedy.layers else ""
    source = f"\n\nSource: {prose(remedy.source)}" if remedy.source else ""
    return f"**{place}\\. {prose(remedy.title)}**\n\n{layers}{prose(remedy.why)}\n\n{block(remedy.how)}{source}"


def _note(finding: Finding) -> str:
    return f"{code(finding.code)} {code(finding.layer)}: {prose(said(finding))}"


def _ignored(diagnosis: Diagnosis) -> list[str]:
    """Return a line a rule and reason, with the layers."""
    return [
        f"ignored: {code(rule)} at {_names(layers)}: {prose(why)}" for rule, layers, why in grouped(diagnosis.ignored)
    ]


def _names(names: Sequence[str]) -> str:
    more = len(names) - FIRST
    shown = ", ".join(code(name) for name in names[:FIRST])
    return f"{shown} and {more:,} more" if more > 0 else shown


def _list(lines: Iterator[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _folded(title: str, body: str) -> str:
    return f"<details>\n<summary>{title}</summary>\n\n{body}\n\n</details>"


def _measured_on(diagnosis: Diagnosis) -> str:
    sample = diagnosis.sample
    loss = prose(sample.loss) + (f" {number(sample.loss_value)}" if sample.loss_value is not None else "")
    facts = (
        f"{prose(diagnosis.model.format)}, {count(diagnosis.model.parameters, 'parameter')}",
        f"{count(sample.samples, 'sample')} from {code(sample.source)}",
        f"loss: {loss}",
        f"{prose(sample.mode)} mode",
        f"gradcheck {prose(diagnosis.gradcheck_version)}",
    )
    remarks = (*diagnosis.model.remarks, *sample.remarks)
    told = f"\n\n{_list(prose(remark) for remark in remarks)}" if remarks else ""
    return f"<sub>Measured: {'; '.join(facts)}.</sub>{told}"
