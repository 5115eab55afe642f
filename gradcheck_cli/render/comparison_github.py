"""A comparison as annotations: what got worse is an error, what was ill before is none."""

from __future__ import annotations

from collections.abc import Iterator

from gradcheck_cli.compare import ILL, Comparison, LayerChange
from gradcheck_cli.render.comparison_words import step, told
from gradcheck_cli.render.github import Annotation, commands


def render(comparison: Comparison) -> str:
    """Return an error for each layer that got worse or is new and ill, and a notice for each that got better."""
    return commands(_annotations(comparison))


def _annotations(comparison: Comparison) -> Iterator[Annotation]:
    file = comparison.new.model
    bad = (*comparison.worse, *(change for change in comparison.appeared if change.after in ILL))
    for change in sorted(bad, key=lambda change: not change.culprit):
        yield Annotation("error", f"gradcheck: {step(change)}", _message(change), file)
    for change in comparison.better:
        yield Annotation("notice", f"gradcheck: {step(change)}", _message(change), file)
    for remark in comparison.remarks:
        yield Annotation("warning", "gradcheck", remark, file)
    if not bad and not comparison.better:
        yield Annotation("notice", "gradcheck", comparison.summary, file)


def _message(change: LayerChange) -> str:
    return f"{change.layer}: {told(change)}" if told(change) else change.layer
