"""The report that a person reads in ten seconds: verdict first, then layers, findings, remedies."""

from __future__ import annotations

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from gradcheck_cli.records import Diagnosis, RehearsalFacts, SampleFacts, Verdict
from gradcheck_cli.render import findings_text, layers_table, remedy_text, series_table
from gradcheck_cli.render.glyphs import COLOURS, word
from gradcheck_cli.render.numbers import count, number
from gradcheck_cli.render.page import PROSE_WIDTH, Page

SUMMARY_BESIDE = 60
"""From this width on the sentence stands beside the verdict, below it stands under it."""
UNKNOWN = 6
"""Reasons, and things for each of them, that are listed as not measured; the rest is counted."""


def render(diagnosis: Diagnosis, console: Console, *, verbose: bool = False) -> None:
    """Write the report on `console`, no line wider than it; `verbose` unfolds and leaves nothing out."""
    page = Page(console)
    _write_verdict(page, diagnosis)
    _write_facts(page, diagnosis)
    shortened = layers_table.write(page, diagnosis, verbose=verbose) if diagnosis.layers else False
    shortened |= series_table.write(page, diagnosis, verbose=verbose)
    shortened |= findings_text.write(page, diagnosis, verbose=verbose)
    shortened |= remedy_text.write(page, diagnosis.remedies, verbose=verbose)
    shortened |= _write_not_measured(page, diagnosis, verbose)
    _write_next(page, diagnosis, shortened)


def _write_verdict(page: Page, diagnosis: Diagnosis) -> None:
    colour = COLOURS[diagnosis.verdict]
    verdict = f"{page.symbol(diagnosis.verdict)} {word(diagnosis.verdict).upper()}"
    # Reversed colours are a badge only where there are colours.
    badge = Text.assemble((f" {verdict} ", f"bold reverse {colour}") if page.coloured else (verdict, "bold"))
    summary = page.prose(diagnosis.summary)
    if page.width < SUMMARY_BESIDE:
        page.line(badge)
        page.paragraph(summary, style="bold")
        return
    indent = badge.cell_len + 2
    lines = page.wrapped(Text(summary, "bold"), min(page.width, PROSE_WIDTH + indent) - indent)
    for row, line in enumerate(lines):
        page.line((badge.append("  ") if row == 0 else Text(" " * indent)).append_text(line))


def _write_facts(page: Page, diagnosis: Diagnosis) -> None:
    """Write what was measured, on what, in as few dim lines as it takes, broken between facts only."""
    model, sample = diagnosis.model, diagnosis.sample
    facts = [
        page.name(model.path),
        page.name(model.format),
        count(model.parameters, "parameter"),
        _sample(page, sample),
        _loss(page, sample),
        f"{page.name(sample.mode)} mode",
    ]
    if diagnosis.rehearsal is not None:
        facts.append(_rehearsal(page, diagnosis.rehearsal, sample.loss_value))
    dot, line = f" {page.glyphs.dot} ", ""
    for fact in (page.elide(fact, page.width) for fact in facts):
        if line and cell_len(line + dot + fact) > page.width:
            page.paragraph(line, style="dim", width=page.width)
            line = ""
        line += (dot if line else "") + fact
    page.paragraph(line, style="dim", width=page.width)
    for remark in (*model.remarks, *sample.remarks):
        page.paragraph(page.prose(remark), style="dim")


def _sample(page: Page, sample: SampleFacts) -> str:
    if sample.source == "synthetic":
        return f"{count(sample.samples, 'made-up sample')}, not your data"
    return f"{count(sample.samples, 'sample')} of {page.elide(page.name(sample.source), 40)}"


def _loss(page: Page, sample: SampleFacts) -> str:
    if sample.loss == "none":
        return "no loss"
    name = "the model's own loss" if sample.loss == "model" else f"loss {page.elide(page.name(sample.loss), 40)}"
    return name if sample.loss_value is None else f"{name} {number(sample.loss_value)}"


def _rehearsal(page: Page, course: RehearsalFacts, before: float | None) -> str:
    """Three digits: a few steps change a loss in the third."""
    went = "out of range"
    if before is not None and course.loss_after is not None:
        went = f"from {before:.3g} to {course.loss_after:.3g}"
    steps = f"{count(course.steps, 'step')} of {page.name(course.optimizer)} at lr {number(course.lr)}"
    return f"{steps} in memory take the loss {went}"


def _write_not_measured(page: Page, diagnosis: Diagnosis, verbose: bool) -> bool:
    """Write what is unknown, things with the same reason together; return whether some were only counted."""
    reasons: dict[str, list[str]] = {}
    for item in diagnosis.not_measured:
        reasons.setdefault(item.why, []).append(item.what)
    shown = list(reasons.items()) if verbose else list(reasons.items())[:UNKNOWN]
    if shown:
        page.heading("Not measured", "this is not a clean bill of health")
    for why, things in shown:
        names = page.names(things, len(things) if verbose else UNKNOWN, each=PROSE_WIDTH)
        symbol = (f"{page.symbol(Verdict.NOT_MEASURED)} ", COLOURS[Verdict.NOT_MEASURED])
        page.paragraph(Text.assemble(symbol, (names, "bold"), f": {page.prose(why)}"), hang=2)
    rest = sum(len(things) for _, things in list(reasons.items())[len(shown) :])
    if rest:
        page.paragraph(f"{page.glyphs.ellipsis} and {rest:,} more", indent=2, style="dim")
    return len(shown) < len(reasons) or (not verbose and any(len(things) > UNKNOWN for _, things in shown))


def _write_next(page: Page, diagnosis: Diagnosis, shortened: bool) -> None:
    """Write what to type next; nothing where there is nothing to learn from it."""
    ill = [finding for finding in diagnosis.findings if finding.verdict is not Verdict.HEALTHY]
    culprits = [finding for finding in ill if finding.culprit]
    finding = next(iter([*culprits, *ill, *diagnosis.findings]), None)
    hints = [f"gradcheck explain {page.name(finding.code)}"] if finding else []
    if shortened:
        hints.append("--verbose shows everything")
    if hints:
        page.line()
        page.paragraph(Text.assemble(("Next: ", "dim"), f" {page.glyphs.dot} ".join(hints)))
