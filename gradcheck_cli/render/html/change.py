"""What became of the model since a baseline: the headline, and a short list with links to the layers."""

from __future__ import annotations

from collections.abc import Sequence

from gradcheck_cli.compare import Comparison, LayerChange
from gradcheck_cli.render.comparison_words import step, told
from gradcheck_cli.render.html.safe import Anchors, path, prose, text
from gradcheck_cli.render.html.words import badge
from gradcheck_cli.render.numbers import count

FIRST = 12
"""Layers of a kind that are shown at once."""
MOST = 200
"""Layers of a kind that are listed."""
KINDS = {"worse": "Worse", "better": "Better", "new": "New", "gone": "Gone", "moved": "Same verdict, other readings"}
"""A kind of change, as `Comparison.kinds` calls it, and its heading."""


def headline(comparison: Comparison, anchors: Anchors) -> str:
    """Return what got worse and better in one sentence; the layer that it begins with links to its row."""
    summary = comparison.summary
    for change in (*comparison.worse, *comparison.better):
        if change.layer and summary.startswith((f"{change.layer} got", f"{change.layer} and")):
            return f"Layer {anchors.link(change.layer)} {prose(summary[len(change.layer) :])}."
    return f"{prose(summary[:1].upper() + summary[1:])}."


def section(comparison: Comparison | None, anchors: Anchors) -> str:
    """Return the changes, worse ones first; the empty text without a baseline."""
    if comparison is None:
        return ""
    changes = {
        "worse": comparison.worse,
        "better": comparison.better,
        "new": comparison.appeared,
        "gone": comparison.gone,
        "moved": comparison.moved,
    }
    listed = "".join(_kind(kind, changes[kind], anchors) for kind in KINDS)
    remarks = "".join(f"<li>{prose(remark[:1].upper() + remark[1:])}.</li>" for remark in comparison.remarks)
    told = f'<ul class="remarks">{remarks}</ul>' if remarks else ""
    old = comparison.old
    return (
        f'<p class="lede">Baseline: {path(old.model)}, {badge(old.verdict)}, '
        f"{count(old.samples, 'sample')}. {count(comparison.unchanged, 'layer')} as before.</p>"
        f"{listed}{told}"
    )


def _kind(kind: str, changes: Sequence[LayerChange], anchors: Anchors) -> str:
    if not changes:
        return ""
    # What got worse is never folded away behind what the new run blames last.
    ordered = sorted(changes, key=lambda change: not change.culprit)
    items = [_item(change, anchors) for change in ordered[:MOST]]
    if len(changes) > MOST:
        items.append(f"<li>and {count(len(changes) - MOST, 'more layer')}, which the JSON report lists</li>")
    folded = "".join(items[FIRST:])
    if folded:
        folded = f"<details><summary>{len(changes) - FIRST:,} more</summary><ul>{folded}</ul></details>"
    return (
        f'<div class="change {kind}"><h3>{KINDS[kind]} <span class="muted">{len(changes):,}</span></h3>'
        f"<ul>{''.join(items[:FIRST])}</ul>{folded}</div>"
    )


def _item(change: LayerChange, anchors: Anchors) -> str:
    why = told(change)
    more = f' <span class="muted">{prose(why)}</span>' if why else ""
    return f"<li>{anchors.link(change.layer)} <b>{text(step(change))}</b>{more}</li>"
