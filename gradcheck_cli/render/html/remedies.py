"""What to do, best first, each with its reason and code to copy."""

from __future__ import annotations

from gradcheck_cli.records import Diagnosis, Remedy
from gradcheck_cli.render.html.safe import Anchors, lines, prose

FIRST = 4
"""Layers of a remedy that are named at once."""


def section(diagnosis: Diagnosis, anchors: Anchors) -> str:
    """Return the list; the empty text where nothing needs to be done."""
    items = "".join(_remedy(remedy, place, anchors) for place, remedy in enumerate(diagnosis.remedies))
    return f'<ol class="remedies">{items}</ol>' if items else ""


def _remedy(remedy: Remedy, place: int, anchors: Anchors) -> str:
    layers = f'<p class="muted">For {anchors.links(remedy.layers, FIRST)}</p>' if remedy.layers else ""
    source = f'<p class="muted source">Source: {prose(remedy.source)}</p>' if remedy.source else ""
    code = (
        f'<div class="code"><button type="button" class="copy" data-copies="code-{place}">Copy<span class="hidden"> code: '
        f'{prose(remedy.title)}</span></button><pre tabindex="0" aria-label="Code: {prose(remedy.title)}"><code id="code-{place}">'
        f"{lines(remedy.how)}</code></pre></div>"
    )
    return f"<li><h3>{prose(remedy.title)}</h3>{layers}<p>{prose(remedy.why)}</p>{code}{source}</li>"
