"""The shapes that stand for the verdicts in the gradient-flow picture."""

from __future__ import annotations

from gradcheck_cli.records import Verdict
from gradcheck_cli.render.html.words import CLASSES

SHAPES = {
    Verdict.DEAD: '<path d="M-4.5-4.5 4.5 4.5M-4.5 4.5 4.5-4.5" class="stroke"/>',
    Verdict.EXPLODING: '<path d="M0-5.5 5.5 4.5h-11z"/>',
    Verdict.VANISHING: '<path d="M0 5.5 5.5-4.5h-11z"/>',
    Verdict.HEALTHY: '<circle r="3.5"/>',
    Verdict.NOT_MEASURED: '<circle r="3.5" class="hollow"/>',
}
"""The same shapes as the verdicts' symbols."""


def defined(size: float) -> str:
    """Return the definitions that `use` elements refer to, each under ``m-`` and its verdict."""
    scaled = f' transform="scale({size})"' if size != 1 else ""
    marks = (
        f'<g id="m-{CLASSES[verdict]}"><g class="mark {CLASSES[verdict]}"{scaled}>{shape}</g></g>'
        for verdict, shape in SHAPES.items()
    )
    return f"<defs>{''.join(marks)}</defs>"


def drawn(verdict: Verdict) -> str:
    """Return the shape as a picture of its own, for a legend."""
    mark = f'<g class="mark {CLASSES[verdict]}">{SHAPES[verdict]}</g>'
    return f'<svg width="14" height="14" viewBox="-7 -7 14 14" aria-hidden="true">{mark}</svg>'
