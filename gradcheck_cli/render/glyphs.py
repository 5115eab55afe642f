"""The colours and the characters of the report, and what stands for them where they cannot be shown."""

from __future__ import annotations

from dataclasses import dataclass

from gradcheck_cli.records import Verdict

COLOURS = {
    Verdict.DEAD: "red",
    Verdict.EXPLODING: "magenta",
    Verdict.VANISHING: "yellow",
    Verdict.HEALTHY: "green",
    Verdict.NOT_MEASURED: "cyan",
}


@dataclass(frozen=True)
class Glyphs:
    """The characters that are not letters; every terminal that cannot show the first set can show the second."""

    verdicts: dict[Verdict, str]
    culprit: str
    ellipsis: str
    fold: str
    dot: str
    track: str
    band: str
    one: str
    fill: str
    head: str
    below: str
    above: str
    sparks: str
    """From low to high."""


UNICODE = Glyphs(
    verdicts={
        Verdict.DEAD: "✖",
        Verdict.EXPLODING: "▲",
        Verdict.VANISHING: "▼",
        Verdict.HEALTHY: "✔",
        Verdict.NOT_MEASURED: "○",
    },
    culprit="❯",
    ellipsis="…",
    fold="⋮",
    dot="·",
    track="·",
    band="─",
    one="┼",
    fill="━",
    head="●",
    below="◀",
    above="▶",
    sparks="▁▂▃▄▅▆▇█",
)
ASCII = Glyphs(
    verdicts={
        Verdict.DEAD: "x",
        Verdict.EXPLODING: "^",
        Verdict.VANISHING: "v",
        Verdict.HEALTHY: "+",
        Verdict.NOT_MEASURED: "?",
    },
    culprit=">",
    ellipsis="...",
    fold=":",
    dot="|",
    track=".",
    band="-",
    one="|",
    fill="=",
    head="o",
    below="<",
    above=">",
    sparks="_.-:=+*#",
)

_SPELLINGS = """
– - — - − - ‐ - ’ ' ‘ ' “ " ” " … ... × x · * → -> ← <- ↔ <-> ≤ <= ≥ >= ≈ ~ ≪ << ≫ >> ≠ != ± +- ‖ || ∂ d ∇ grad √ sqrt
∞ inf ² ^2 ⁻ ^- β beta γ gamma ε eps λ lambda π pi σ sigma Σ sum φ phi χ chi
"""
_SPELLED = str.maketrans(dict(zip(_SPELLINGS.split()[::2], _SPELLINGS.split()[1::2], strict=True)))


def spelled(text: str) -> str:
    """Return `text` with typographic and mathematical characters written in ASCII; others stay."""
    return text.translate(_SPELLED)


def word(verdict: Verdict) -> str:
    """Return a verdict as a person reads it."""
    return verdict.value.replace("-", " ")
