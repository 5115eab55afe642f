"""What several rules ask of the checkpoints of one training run. Arithmetic on numbers alone."""

from __future__ import annotations

import math

from gradcheck_cli.readings import LayerAt, LayerReading
from gradcheck_cli.rules.view import View

LEAST = 3
"""Checkpoints below which two points are no course."""


def trace(view: View, layer: LayerReading) -> list[LayerAt]:
    """The layer at each checkpoint, the oldest first; empty where it is missing at one."""
    found = [checkpoint.layers.get(layer.name) for checkpoint in view.readings.checkpoints]
    return [at for at in found if at is not None] if None not in found else []


def norms(view: View, layer: LayerReading) -> list[float]:
    """‖W‖ at each checkpoint; empty for fewer than `LEAST`, without weights, and where one is not finite."""
    values = [at.norm for at in trace(view, layer) if at.norm is not None and math.isfinite(at.norm)]
    complete = len(values) == len(view.readings.checkpoints) >= LEAST
    return values if complete and layer.weights else []


def path_length(view: View, layer: LayerReading) -> float | None:
    """Σ‖W − W of the checkpoint before‖ / ‖W at the first‖; None where it is not known."""
    found = trace(view, layer)
    changes = [at.change for at in found if at.change is not None and math.isfinite(at.change)]
    if not found or not found[0].norm or len(changes) < LEAST - 1 or len(changes) != len(found) - 1:
        return None
    return sum(changes) / found[0].norm


def span(view: View) -> str:
    """``step_1.pt … step_9.pt``: the first and the last checkpoint, where there are any."""
    run = view.readings.checkpoints
    return f"{run[0].name} … {run[-1].name}" if run else ""
