"""The top of the page: the verdict and the culprit in one sentence, what was measured, on what, and how many are ill."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from gradcheck_cli.records import SEVERITY, Diagnosis, SampleFacts
from gradcheck_cli.render.html.safe import Anchors, name, path, prose
from gradcheck_cli.render.html.words import badge
from gradcheck_cli.render.numbers import count, number

FIRST = 6
"""Culprits that are named at once."""


def head(diagnosis: Diagnosis, anchors: Anchors) -> str:
    """Return the header of the page."""
    starts = ""
    if len(diagnosis.culprits) > 1:
        starts = f'<p class="starts">Where it starts: {anchors.links(diagnosis.culprits, FIRST)}</p>'
    facts = "".join(f"<div><dt>{term}</dt><dd>{told}</dd></div>" for term, told in _facts(diagnosis))
    remarks = (*diagnosis.model.remarks, *diagnosis.sample.remarks)
    told = f'<ul class="remarks">{"".join(f"<li>{prose(remark)}</li>" for remark in remarks)}</ul>' if remarks else ""
    return (
        f'<header class="hero" id="top"><p class="verdict {diagnosis.verdict.value}">{badge(diagnosis.verdict)}</p>'
        f"<h1>{_sentence(diagnosis, anchors)}</h1>{starts}"
        f'<dl class="facts">{facts}</dl>{told}{_counts(diagnosis)}</header>'
    )


def _sentence(diagnosis: Diagnosis, anchors: Anchors) -> str:
    """The culprit's name, with which the sentence begins, links to its row."""
    summary = diagnosis.summary
    for culprit in diagnosis.culprits[:1]:
        if culprit and summary.startswith(f"{culprit}: "):
            return f"{anchors.link(culprit)}: {prose(summary[len(culprit) + 2 :])}"
    return prose(summary[:1].upper() + summary[1:])


def _facts(diagnosis: Diagnosis) -> Iterator[tuple[str, str]]:
    model, sample = diagnosis.model, diagnosis.sample
    yield "Model", path(model.path)
    yield "Format", f"{name(model.format)}, {count(model.parameters, 'parameter')}"
    yield "Sample", _sample(sample)
    yield "Loss", _loss(sample)
    yield "Mode", name(sample.mode)


def _sample(sample: SampleFacts) -> str:
    if sample.source == "synthetic":
        return f"{count(sample.samples, 'made-up sample')}, not your data"
    return f"{count(sample.samples, 'sample')} of {path(sample.source)}"


def _loss(sample: SampleFacts) -> str:
    if sample.loss == "none":
        return "none"
    told = "the model’s own" if sample.loss == "model" else name(sample.loss)
    return told if sample.loss_value is None else f"{told}, {number(sample.loss_value)}"


def _counts(diagnosis: Diagnosis) -> str:
    counted = Counter(layer.verdict for layer in diagnosis.layers)
    chips = "".join(
        f'<li><a href="#layers" data-verdict="{verdict.value}"><b>{counted[verdict]:,}</b> {badge(verdict)}</a></li>'
        for verdict in SEVERITY
        if counted[verdict]
    )
    return f'<ul class="counts" aria-label="Layers by verdict">{chips}</ul>' if chips else ""
