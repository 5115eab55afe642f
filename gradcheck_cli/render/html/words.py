"""Verdicts and readings in words, and the two lists that explain them: the glossary and the manuals of the rules."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gradcheck_cli.records import SEVERITY, Diagnosis, Verdict
from gradcheck_cli.render.glyphs import UNICODE, word
from gradcheck_cli.render.html.safe import lines, prose, text
from gradcheck_cli.rules import RULES, manual
from gradcheck_cli.rules.interface import Rule

CLASSES = {verdict: verdict.value for verdict in Verdict}
"""Verdict → its class in the style sheet."""

READINGS: tuple[tuple[str, str, str], ...] = (
    (
        "transmission",
        "T",
        "transmission: how strongly a random question put to the output is heard at the layer's output",
    ),
    (
        "gain",
        "gain",
        "size of the gradient at the layer's input over that at its output; the product along a path changes T",
    ),
    ("units", "units off", "dead units (flat side of a one-sided activation) or saturated ones, of how many"),
    ("learning_signal", "U", "learning signal: how strongly the layer's own weights are asked to move, without a loss"),
    ("relative_signal", "U/‖W‖", "learning signal relative to the size of the weights"),
    ("loss_gradient", "‖∂L/∂W‖", "size of the loss's gradient at the layer's weights"),
    (
        "relative_update",
        "update",
        "learning rate times that gradient, relative to the weights: the share that one step changes",
    ),
    ("weight_norm", "‖W‖", "size of the layer's weights: the root of the sum of their squares"),
    ("moved", "moved", "how far the rehearsal's steps took the weights, relative to their size"),
    ("output_rms", "RMS", "root mean square of the layer's output values"),
)
"""Field, head of its column, and what it says."""

TERMS: tuple[tuple[str, str], ...] = (
    ("culprit", "the layer where the signal is lost or blown up"),
    ("victim", "a layer nearer the input that only suffers from a culprit; mending the culprit mends it"),
    (
        "dead unit",
        "an output channel that sits on the flat side of its activation on every sample seen; no step wakes it",
    ),
    (
        "saturated unit",
        "a unit of sigmoid, tanh or softmax where the slope is below 1 % of its maximum: it answers far too weakly",
    ),
    (
        "rehearsal",
        "a few optimiser steps on a copy in memory, to see what training would do; the saved model is not changed",
    ),
    ("note", "what looks ill and is not: frozen, gated, converged, a few dead units, and the like"),
    (
        "gradient elements",
        "in a row that unfolds: a histogram of the sizes of all elements of the layer's gradient, from the smallest to the "
        "largest; a bar is a factor of two, or several",
    ),
    ("confidence", "how sure a finding is, from how far its numbers lie beyond the threshold"),
)


def badge(verdict: Verdict, role: str = "") -> str:
    """Return the verdict as symbol and word; colour is never alone."""
    more = f' <span class="role">{text(role)}</span>' if role else ""
    symbol = f'<span class="glyph" aria-hidden="true">{UNICODE.verdicts[verdict]}</span>'
    return f'<span class="badge {CLASSES[verdict]}">{symbol} {word(verdict)}</span>{more}'


def ignored_because(reason: str) -> str:
    """Return that something is ignored, and why, in the user's words."""
    return f"ignored, because {prose(reason)}" if reason else "ignored, no reason given"


def glossary() -> str:
    """Return what the words and the numbers of the page mean."""
    verdicts = "".join(f"<dt>{badge(verdict)}</dt><dd>{text(verdict.meaning)}</dd>" for verdict in SEVERITY)
    numbers = "".join(f"<dt>{text(head)}</dt><dd>{text(meaning)}</dd>" for _, head, meaning in READINGS)
    terms = "".join(f"<dt>{text(term)}</dt><dd>{text(meaning)}</dd>" for term, meaning in TERMS)
    return (
        '<div class="glossary">'
        f"<div><h3>Verdicts</h3><dl>{verdicts}</dl></div><div><h3>Words</h3><dl>{terms}</dl></div>"
        f"<div><h3>Numbers</h3><dl>{numbers}</dl></div></div>"
    )


def manuals(diagnosis: Diagnosis) -> str:
    """Return the manual of every rule that found something, once; the empty text where none did."""
    used = {finding.code for finding in diagnosis.findings} | {ignored.code for ignored in diagnosis.ignored}
    return "".join(_manual(code) for code in sorted(used))


def rule_link(code: str) -> str:
    """Return a rule's code as a link to its manual on this page."""
    return f'<a href="#{anchor(code)}">{text(code)}</a>'


def anchor(code: str) -> str:
    """Return the id of a rule's manual; codes are letters and digits, whatever a file says."""
    return "rule-" + re.sub(r"[^A-Za-z0-9]", "", code)[:16]


def _manual(code: str) -> str:
    rule = next((rule for rule in RULES if rule.code == code), None)
    if rule is None:
        return f'<details id="{anchor(code)}"><summary><b>{text(code)}</b> is not known to this gradcheck</summary></details>'
    summary = f"<b>{text(code)}</b> <code>{text(rule.name)}</code> {prose(manual.first_line(rule))}"
    kind = "note" if rule.verdict is Verdict.HEALTHY else rule.verdict.value
    return f'<details id="{anchor(code)}"><summary>{summary}</summary><p class="muted">{kind}</p>{"".join(_blocks(rule))}</details>'


def _blocks(rule: Rule) -> Iterator[str]:
    """The manual behind its first sentence."""
    for block in list(manual.blocks(rule))[1:]:
        if block.code:
            yield f'<pre tabindex="0"><code>{lines(block.text)}</code></pre>'
        else:
            yield f"<p>{f'<b>{block.section}.</b> ' if block.named else ''}{prose(block.text)}</p>"
