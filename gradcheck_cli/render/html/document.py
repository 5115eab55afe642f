"""The page put together: one file that asks for nothing, and says so in its content security policy."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from functools import cache
from importlib import resources

from gradcheck_cli.compare import Comparison, compare
from gradcheck_cli.records import Diagnosis, NotMeasured
from gradcheck_cli.render.glyphs import UNICODE, word
from gradcheck_cli.render.html import change, curves, flow, layers, remedies, units, words
from gradcheck_cli.render.html.head import head
from gradcheck_cli.render.html.safe import Anchors, elided, name, prose, text
from gradcheck_cli.render.numbers import count

TITLE = 60
"""Characters of the model's name in the page's title."""

_STYLE_SPACE = re.compile(r"\s*([{};,])\s*|(?<=:)\s+")
"""What a style sheet can do without; a space before a colon can mean something."""
_LEGEND = re.compile(r"[^{}]*\.u-(?:legend|inline|series|title)\b[^{}]*\{[^{}]*\}")
"""What the library's style sheet says of what no chart here has."""
_SCRIPT_SPACE = re.compile(r" (=>|[=!]==|=|&&|\|\||[?:<>]) ")
"""Signs that no text of the script has between spaces."""
Section = tuple[str, str, str, str, str]
"""Id, word in the navigation, heading, what it shows in a sentence, and the body; without a body it is left out."""


def render(diagnosis: Diagnosis, baseline: Diagnosis | None = None) -> str:
    """Return the page with a final newline; the same diagnosis gives the same bytes.

    Against a baseline it begins with what changed, and marks it in the picture and in the table.
    """
    comparison = compare(baseline, diagnosis) if baseline is not None else None
    there = [section for section in _sections(diagnosis, baseline, comparison) if section[-1]]
    links = "".join(f'<li><a href="#{ident}">{short}</a></li>' for ident, short, *_ in there)
    body = "\n".join(map(_section, there))
    drawn = 'class="curves"' in body
    style = _slim("uplot.min.css") * drawn + _slim("page.css")
    scripts = [*([_library()] if drawn else []), _slim("page.js")]
    verdict = f"{UNICODE.verdicts[diagnosis.verdict]} {word(diagnosis.verdict)}"
    title = f"{verdict}: {text(elided(diagnosis.model.path, TITLE))} · gradcheck"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(style, scripts)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f'<title>{title}</title>\n<link rel="icon" href="data:,">\n<style>{style}</style>\n</head>\n<body>\n'
        '<a class="skip" href="#main">Skip to the report</a>\n'
        f'<nav class="bar-top" aria-label="Sections"><a class="brand" href="#top">gradcheck</a><ul>{links}</ul>'
        '<button type="button" id="theme" class="needs-script">Dark</button></nav>\n'
        f'<main id="main">\n{head(diagnosis, Anchors(diagnosis), comparison)}\n{body}\n</main>\n{_foot(diagnosis)}\n'
        '<div id="tip" aria-hidden="true" hidden></div>\n'
        f"{''.join(f'<script>{script}</script>' for script in scripts)}\n</body>\n</html>\n"
    )


def _sections(diagnosis: Diagnosis, baseline: Diagnosis | None, comparison: Comparison | None) -> Iterator[Section]:
    anchors = Anchors(diagnosis)
    yield ("change", "Change", "Since the baseline", "", change.section(comparison, anchors))
    yield (
        "flow",
        "Flow",
        "Gradient flow",
        "How strongly a random question put to the output is heard at each layer: its transmission T, on a log scale. "
        "Near 1 the layer hears it as it was asked; far below it hardly learns; far above it is shaken. No loss enters.",
        flow.picture(diagnosis, baseline),
    )
    yield (
        "remedies",
        "Remedies",
        "Remedies",
        "What to change, best first, with the names of this model.",
        remedies.section(diagnosis, anchors),
    )
    yield (
        "units",
        "Units",
        "Units that do not respond",
        "A cell for each output channel of a layer, in order. What is off on every sample seen gets no gradient, or hardly any.",
        units.section(diagnosis, anchors),
    )
    yield (
        "rehearsal",
        "Rehearsal",
        "Rehearsal",
        "A few optimiser steps on a copy in memory show what training would do; the saved model is not changed.",
        curves.rehearsal(diagnosis),
    )
    yield (
        "time",
        "Time",
        "Through time",
        "What recurrent layers hear of earlier time steps.",
        curves.through_time(diagnosis),
    )
    yield (
        "run",
        "Run",
        "Over the run",
        "The checkpoints that were given, the oldest first; the report is about the last.",
        curves.series(diagnosis),
    )
    yield (
        "initialisations",
        "Initialisations",
        "Other initialisations",
        "The same architecture, drawn again and judged on the same sample.",
        curves.initialisation(diagnosis.initialisation),
    )
    yield (
        "layers",
        "Layers",
        "Layers",
        "In forward order. A row unfolds to what was found; a head sorts.",
        layers.section(diagnosis, comparison),
    )
    yield (
        "codes",
        "Codes",
        "Findings explained",
        "The manual of every rule that found something here.",
        words.manuals(diagnosis),
    )
    yield (
        "ignored",
        "Ignored",
        "Ignored",
        "Found, and left out of every verdict because the user asked for it.",
        _ignored(diagnosis, anchors),
    )
    yield (
        "unknown",
        "Not measured",
        "Not measured",
        "This is not a clean bill of health.",
        _not_measured(diagnosis.not_measured),
    )
    yield ("reading", "Glossary", "How to read this page", "", words.glossary())


def _section(section: Section) -> str:
    ident, _, title, told, body = section
    lede = f'<p class="lede">{told}</p>' if told else ""
    return f'<section id="{ident}" aria-labelledby="h-{ident}"><h2 id="h-{ident}">{title}</h2>{lede}{body}</section>'


def _ignored(diagnosis: Diagnosis, anchors: Anchors) -> str:
    """What the user asked not to be told, a line a rule and reason."""
    groups: dict[tuple[str, str], list[str]] = {}
    for each in diagnosis.ignored:
        groups.setdefault((each.code, each.reason), []).append(each.layer)
    items = "".join(
        f"<li>{words.rule_link(code)} at {anchors.links(tuple(names), 6)}, {words.ignored_because(why)}</li>"
        for (code, why), names in groups.items()
    )
    return f'<ul class="gaps">{items}</ul>' if items else ""


def _not_measured(gaps: tuple[NotMeasured, ...]) -> str:
    """What is unknown, with its reason; things with the same reason together."""
    reasons: dict[str, list[str]] = {}
    for gap in gaps:
        reasons.setdefault(gap.why, []).append(gap.what)
    items = "".join(f"<li><b>{_things(things)}</b>, because {prose(why)}</li>" for why, things in reasons.items())
    return f'<ul class="gaps">{items}</ul>' if items else ""


def _things(things: list[str], most: int = 12) -> str:
    shown = ", ".join(name(thing) for thing in things[:most])
    return f"{shown} and {len(things) - most:,} more" if len(things) > most else shown


def _foot(diagnosis: Diagnosis) -> str:
    sha = diagnosis.model.sha256
    hashed = f" · sha256 <code>{text(elided(sha, 64))}</code>" if sha else ""
    return (
        f"<footer><p>gradcheck {name(diagnosis.gradcheck_version)} · {count(len(diagnosis.layers), 'layer')}{hashed}</p>"
        "<p>This page is one file; it asks for nothing and sends nothing.</p></footer>"
    )


@cache
def _asset(file: str) -> str:
    return resources.files(__package__).joinpath("assets", file).read_text(encoding="utf-8").strip()


@cache
def _slim(file: str) -> str:
    """A file without indents, empty lines, lines that are comments, and spaces that mean nothing."""
    stripped = (line.strip() for line in _asset(file).splitlines())
    slim = "\n".join(line for line in stripped if line and not line.startswith("//"))
    if file.endswith(".css"):
        return _STYLE_SPACE.sub(r"\1", _LEGEND.sub("", slim)).replace(";}", "}")
    return _SCRIPT_SPACE.sub(r"\1", slim)


def _library() -> str:
    """uPlot with its licence, which travels with every copy."""
    return f"/*\n{_asset('uplot.LICENSE.txt')}\n*/\n{_asset('uplot.min.js')}"


def _policy(style: str, scripts: list[str]) -> str:
    """Nothing may be fetched; only this style and these scripts run, known by their hashes."""
    allowed = " ".join(map(_hashed, scripts))
    rules = ("default-src 'none'", f"style-src {_hashed(style)}", f"script-src {allowed}", "img-src data:")
    return "; ".join((*rules, "base-uri 'none'", "form-action 'none'"))


def _hashed(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
