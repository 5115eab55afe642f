"""The words for one layer's change, the same in every format."""

from __future__ import annotations

from gradcheck_cli.compare import LayerChange
from gradcheck_cli.render.glyphs import word
from gradcheck_cli.render.numbers import number, percent

_READINGS = {"transmission": "T", "dead_units": "dead units", "saturated": "saturated units"}


def step(change: LayerChange) -> str:
    """Return ``healthy → dead``, ``new, dead``, ``gone, was healthy``, or the verdict that stayed."""
    if change.before is None or change.after is None:
        verdict = change.after or change.before
        assert verdict is not None
        return f"new, {word(verdict)}" if change.before is None else f"gone, was {word(verdict)}"
    if change.before is change.after:
        return f"still {word(change.after)}"
    return f"{word(change.before)} → {word(change.after)}"


def told(change: LayerChange) -> str:
    """Return why, which findings came and went, and which readings changed by much; empty where there is nothing."""
    parts = [change.why] if change.why else []
    if change.appeared:
        parts.append(f"new: {', '.join(change.appeared)}")
    if change.disappeared:
        parts.append(f"no more: {', '.join(change.disappeared)}")
    for reading in change.readings:
        shown = number if reading.reading == "transmission" else percent
        parts.append(f"{_READINGS[reading.reading]} {shown(reading.before)} → {shown(reading.after)}")
    return "; ".join(parts)
