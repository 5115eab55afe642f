"""What models and files say, made harmless for HTML: text, attributes and data inside a script element."""

from __future__ import annotations

import html
import json
import re
import unicodedata
from collections.abc import Mapping

from gradcheck_cli.records import Diagnosis
from gradcheck_cli.text import plain

LONGEST = 96
"""Characters of a name that are shown; of a longer one the middle is left out."""
SENTENCE = 1000
"""The same for sentences."""
MARKS = 4
"""Combining marks on one letter; more are left out."""
_EXPONENT = re.compile(r"\b(?:T = \d[\d.]{0,8}(?:e[-+]\d{1,3})?|\d[\d.]{0,8}e-\d{1,3})\b")
"""Numbers that a line could be broken in."""


def text(value: str) -> str:
    """Return one line of text for an element or a quoted attribute; marks are not piled up over other lines."""
    return html.escape(_flat(plain(value)))


def prose(value: str) -> str:
    """Return a sentence on one line; the middle of an endless one is left out, and no number is broken."""
    return _EXPONENT.sub(r'<span class="n">\g<0></span>', text(elided(" ".join(value.split()), SENTENCE)))


def name(value: str) -> str:
    """Return a name for an element or a quoted attribute; the model itself is the layer without one."""
    return text(elided(value, LONGEST)) or "(model)"


def code(value: str) -> str:
    """Return a name as code."""
    return f"<code>{name(value)}</code>"


def path(value: str, after: str = "/") -> str:
    """Return a path as code that may be broken behind its slashes, or behind what stands between its parts."""
    return f"<code>{name(value).replace(after, f'{after}<wbr>')}</code>"


def lines(source: str) -> str:
    """Return code with its lines."""
    return "\n".join(text(line) for line in source.strip("\n").expandtabs(4).split("\n"))


def data(value: object) -> str:
    """Return `value`, which holds finite numbers only, as JSON that cannot end the script element that it stands in."""
    written = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return written.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _flat(value: str) -> str:
    if value.isascii() or not any(map(unicodedata.combining, value)):
        return value
    kept: list[str] = []
    marks = 0
    for char in value:
        marks = marks + 1 if unicodedata.combining(char) else 0
        if marks <= MARKS:
            kept.append(char)
    return "".join(kept)


def elided(value: str, most: int) -> str:
    """Return `value` with the middle left out where it has more than `most` characters."""
    if len(value) <= most:
        return value
    end = most * 2 // 5
    return f"{value[: most - end - 1]}…{value[-end:]}"


class Anchors:
    """Where each layer's row is: an id made of its place, never of its name."""

    def __init__(self, diagnosis: Diagnosis) -> None:
        places: dict[str, int] = {}
        for place, layer in enumerate(diagnosis.layers):
            places.setdefault(layer.name, place)
        self.places: Mapping[str, int] = places

    def link(self, layer: str) -> str:
        """Return the layer's name as code, with a link to its row where it has one."""
        place = self.places.get(layer)
        return code(layer) if place is None else f'<a href="#l{place}">{code(layer)}</a>'

    def links(self, layers: tuple[str, ...], most: int) -> str:
        """Return links to the first `most` layers; the others are folded."""
        shown = ", ".join(self.link(layer) for layer in layers[:most])
        rest = layers[most:]
        if not rest:
            return shown
        folded = ", ".join(self.link(layer) for layer in rest)
        return f'{shown} <details class="more"><summary>and {len(rest):,} more</summary>{folded}</details>'
