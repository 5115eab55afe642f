"""What was found, culprit by culprit, with the count of layers that only suffer from it; then the notes."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from gradcheck_cli.records import Diagnosis, Finding, Ignored, Verdict
from gradcheck_cli.render.by_layer import grouped
from gradcheck_cli.render.glyphs import COLOURS, word
from gradcheck_cli.render.numbers import count, percent
from gradcheck_cli.render.page import Page

ALIKE = 3
"""Findings of one code that are told in full; the rest of them are counted."""
INDENT = 2


def write(page: Page, diagnosis: Diagnosis, *, verbose: bool = False) -> bool:
    """Write the findings and the notes; return whether some were only counted."""
    told = [f for f in diagnosis.findings if f.verdict is not Verdict.HEALTHY and (f.culprit or not f.because_of)]
    notes = [f for f in diagnosis.findings if f.verdict is Verdict.HEALTHY]
    ignored = [each for each in diagnosis.ignored if each.verdict is not Verdict.HEALTHY]
    hushed = [each for each in diagnosis.ignored if each.verdict is Verdict.HEALTHY and each.reason]
    counted = False
    if told or ignored:
        page.heading("Findings")
        counted = _write_findings(page, diagnosis, sorted(told, key=lambda f: not f.culprit), verbose)
        counted = _write_ignored(page, ignored, verbose) or counted
    if notes or hushed:
        page.heading("Notes", "what looks ill and is not")
        counted = _write_notes(page, notes, verbose) or counted
        counted = _write_ignored(page, hushed, verbose) or counted
    return counted


def _write_ignored(page: Page, ignored: Sequence[Ignored], verbose: bool) -> bool:
    """Write a line a rule and reason; return whether layers were only counted."""
    groups = grouped(ignored)
    for code, layers, reason in groups:
        names = page.names(layers, len(layers) if verbose else ALIKE)
        text = f"ignored: {page.name(code)} at {names}: {page.prose(reason)}"
        page.paragraph(text, hang=INDENT, style="dim")
    return not verbose and any(len(layers) > ALIKE for _, layers, _ in groups)


def _write_findings(page: Page, diagnosis: Diagnosis, findings: Sequence[Finding], verbose: bool) -> bool:
    by_code = _by_code(findings)
    explained: set[str] = set()
    for alike in by_code:
        limit = len(alike) if verbose else ALIKE
        for finding in alike[:limit]:
            victims = "" if finding.layer in explained else _victims(diagnosis, finding)
            explained.add(finding.layer)
            _write_finding(page, finding, victims)
        _write_rest(page, alike[limit:])
    return not verbose and any(len(alike) > ALIKE for alike in by_code)


def _write_finding(page: Page, finding: Finding, victims: str) -> None:
    colour = COLOURS[finding.verdict]
    dot = f" {page.glyphs.dot} "
    head = Text.assemble((f"{page.symbol(finding.verdict)} {page.name(finding.code)} ", f"bold {colour}"))
    head.append(page.elide(page.layer(finding.layer), page.width - head.cell_len), "bold")
    rest = f"{word(finding.verdict)}{dot}{percent(finding.confidence)} sure"
    if head.cell_len + len(dot) + len(rest) <= page.width:
        head.append(f"{dot}{rest}", "dim")
    page.line(head)
    page.paragraph(page.prose(finding.message), indent=INDENT)
    if victims:
        page.paragraph(victims, indent=INDENT, style="dim")


def _write_rest(page: Page, rest: Sequence[Finding]) -> None:
    if rest:
        names = page.names(tuple(finding.layer for finding in rest), 2)
        text = f"{page.glyphs.ellipsis} and {page.name(rest[0].code)} on {count(len(rest), 'more layer')}: {names}"
        page.paragraph(text, indent=INDENT, style="dim")


def _write_notes(page: Page, notes: Sequence[Finding], verbose: bool) -> bool:
    groups = _by_code(notes)
    for alike in groups:
        for finding in alike if verbose else alike[:1]:
            text = Text.assemble((f"{page.name(finding.code)} {page.layer(finding.layer)}", "bold"))
            if not verbose and len(alike) > 1:
                text.append(f" and {count(len(alike) - 1, 'more layer')}")
            page.paragraph(text.append(f": {page.prose(finding.message)}"), hang=INDENT)
    return not verbose and any(len(alike) > 1 for alike in groups)


def _by_code(findings: Sequence[Finding]) -> list[list[Finding]]:
    """Return the findings in groups of one code, in the order in which the codes come first."""
    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.code, []).append(finding)
    return list(groups.values())


def _victims(diagnosis: Diagnosis, culprit: Finding) -> str:
    """Return how many layers suffer from the culprit, and on which side of it they lie."""
    victims = {f.layer for f in diagnosis.findings if not f.culprit and culprit.layer in f.because_of}
    if not victims:
        return ""
    order = {layer.name: index for index, layer in enumerate(diagnosis.layers)}
    here = order.get(culprit.layer, -1)
    sides = {"upstream" if order.get(name, -1) < here else "downstream" for name in victims}
    where = f" {sides.pop()}" if len(sides) == 1 else ""
    verb = "suffers" if len(victims) == 1 else "suffer"
    return f"{count(len(victims), 'layer')}{where} {verb} from it."
