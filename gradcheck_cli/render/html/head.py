"""The top of the page: what is wrong, where and what to do first; then what was measured, and how many are ill."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from gradcheck_cli.compare import Comparison
from gradcheck_cli.records import SEVERITY, Diagnosis, SampleFacts, Verdict
from gradcheck_cli.render.html import change
from gradcheck_cli.render.html.safe import Anchors, elided, name, path, prose, text
from gradcheck_cli.render.html.words import badge
from gradcheck_cli.render.numbers import count, number

FIRST = 6
"""Culprits that are named at once."""
KIND = 40
"""Characters of a layer's kind that are shown."""


def head(diagnosis: Diagnosis, anchors: Anchors, comparison: Comparison | None = None) -> str:
    """Return the header of the page; against a baseline its headline is what changed."""
    sentence = _sentence(diagnosis, anchors)
    meaning = f'<span class="meaning">{text(diagnosis.verdict.meaning)}</span>'
    title = f"<h1>{sentence}</h1>"
    if comparison is not None:
        meaning = f'<span class="meaning">was {badge(comparison.old.verdict)} in the baseline</span>'
        title = f'<h1>{change.headline(comparison, anchors)}</h1><p class="now">Now: {sentence}</p>'
    facts = "".join(f"<div><dt>{term}</dt><dd>{told}</dd></div>" for term, told in _facts(diagnosis))
    remarks = (*diagnosis.model.remarks, *diagnosis.sample.remarks)
    told = f'<ul class="remarks">{"".join(f"<li>{prose(remark)}</li>" for remark in remarks)}</ul>' if remarks else ""
    return (
        f'<header class="hero" id="top"><p class="verdict {diagnosis.verdict.value}">{badge(diagnosis.verdict)} {meaning}</p>'
        f"{title}{_next(diagnosis, anchors)}{_counts(diagnosis)}"
        f'<dl class="facts">{facts}</dl>{told}</header>'
    )


def _sentence(diagnosis: Diagnosis, anchors: Anchors) -> str:
    """The culprit's name, with which the sentence begins, links to its row; T to the picture that explains it."""
    summary = diagnosis.summary
    for culprit in diagnosis.culprits[:1]:
        if culprit and summary.startswith(f"{culprit}: "):
            return f"Layer {anchors.link(culprit)}: {_explained(prose(summary[len(culprit) + 2 :]))}"
    return _explained(prose(summary[:1].upper() + summary[1:]))


def _explained(sentence: str) -> str:
    return sentence.replace('<span class="n">T = ', '<span class="n"><a href="#flow">T</a> = ')


def _next(diagnosis: Diagnosis, anchors: Anchors) -> str:
    """Where it starts and what to do about it."""
    cells = []
    if diagnosis.culprits:
        cells.append(("Where it starts", _where(diagnosis, anchors)))
    if diagnosis.remedies:
        first, *others = diagnosis.remedies
        more = f", or {len(others)} other remed{'y' if len(others) == 1 else 'ies'}" if others else ""
        cells.append(("What to do first", f'<a href="#remedies">{prose(first.title)}</a>{more}'))
    elif diagnosis.verdict is Verdict.HEALTHY:
        cells.append(("What to do", "Nothing: every layer measured can learn."))
    elif diagnosis.not_measured:
        cells.append(("What to do", 'See <a href="#unknown">why it was not measured</a>.'))
    listed = "".join(f"<div><dt>{term}</dt><dd>{told}</dd></div>" for term, told in cells)
    return f'<dl class="next">{listed}</dl>' if listed else ""


def _where(diagnosis: Diagnosis, anchors: Anchors) -> str:
    """The culprit with its kind and place, or several culprits."""
    if len(diagnosis.culprits) > 1:
        return anchors.links(diagnosis.culprits, FIRST)
    culprit = diagnosis.culprits[0]
    place = anchors.places.get(culprit)
    if place is None:
        return anchors.link(culprit)
    kind = prose(elided(diagnosis.layers[place].kind, KIND))
    return f"{anchors.link(culprit)}, {kind}, layer {place + 1:,} of {len(diagnosis.layers):,} from the input"


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
    return told if sample.loss_value is None else f"{told}, {number(sample.loss_value)} on this sample"


def _counts(diagnosis: Diagnosis) -> str:
    counted = Counter(layer.verdict for layer in diagnosis.layers)
    chips = "".join(
        f'<li><a href="#layers" data-verdict="{verdict.value}"><b>{counted[verdict]:,}</b> {badge(verdict)}</a></li>'
        for verdict in SEVERITY
        if counted[verdict]
    )
    total = f"<li>{count(len(diagnosis.layers), 'layer')}:</li>"
    return f'<ul class="counts" aria-label="Layers by verdict">{total}{chips}</ul>' if chips else ""
