"""What several rules ask of a rehearsal: how the loss went, and which layer went furthest. Arithmetic on numbers alone.

The batches take turns, so a loss is only compared with losses of the same batch.
"""

from __future__ import annotations

import math
from itertools import pairwise

from gradcheck_cli.readings import LayerReading, LayerRehearsal, Rehearsal
from gradcheck_cli.rules import depth
from gradcheck_cli.rules.notes.converged import is_converged
from gradcheck_cli.rules.view import FITTED, View


def chosen(view: View) -> Rehearsal | None:
    """The rehearsal, where the user chose its rate and the model has something left to learn; else None."""
    course = view.readings.rehearsal
    return None if course is None or view.readings.lr is None or is_converged(view) else course


def visits(course: Rehearsal) -> list[tuple[float, ...]]:
    """For each batch its losses, one a visit."""
    return [course.losses[start :: course.batches] for start in range(min(course.batches, len(course.losses)))]


def rises(course: Rehearsal, factor: float) -> tuple[int, int]:
    """(how often a batch's loss was `factor` times what it was on its visit before, how many such comparisons there are).

    On a fitted sample half as much again of almost nothing is no rise: it counts from a share of the loss of chance.
    """
    pairs = [(a, b) for losses in visits(course) for a, b in pairwise(losses)]
    least = FITTED * abs(course.chance or 0.0)
    return sum(1 for a, b in pairs if b - a > (factor - 1) * max(abs(a), least)), len(pairs)


def ending(course: Rehearsal) -> float:
    """The loss after the last step, over all batches; NaN where it became NaN or infinite, or could not be measured."""
    if any(not math.isfinite(loss) for loss in course.losses):
        return math.nan
    after = course.after.loss if course.after is not None else None
    return after if after is not None and math.isfinite(after) else math.nan


def furthest(view: View, course: Rehearsal) -> LayerRehearsal | None:
    """The layer with weights whose first step was the largest, relative to its weights; where they are zero, it does not count."""
    weighty = {layer.name for layer in view.parametric if any(w.norm > 0.0 for w in layer.weights)}
    moving = [layer for layer in course.layers if layer.name in weighty and layer.updates and layer.norms[0] > 0.0]
    return max(moving, key=lambda layer: layer.updates[0] / layer.norms[0], default=None)


def explained(view: View) -> tuple[str, ...]:
    """Culprits of what one look shows already: growth over depth or time explains why steps are too long."""
    found = list(depth.growing(view))
    names = [share.layer for ailment in found for share in ailment.culprits] or [ailment.start for ailment in found]
    limit = view.thresholds.time_explosion
    names += [layer.name for layer in view.readings.layers if layer.time is not None and layer.time.largest > limit]
    return tuple(dict.fromkeys(names))


def default_norm(layer: LayerReading) -> float:
    """‖W‖ of torch's default: uniform with variance 1/(3·fan_in); a matrix with R rows of fan_in has R/3 expected squares."""
    return math.sqrt(sum(weight.shape[0] / 3 for weight in layer.weights))
