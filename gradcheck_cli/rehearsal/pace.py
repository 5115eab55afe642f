"""With which learning rate to rehearse: the user's, or the default, lowered to steps that no healthy model minds."""

from __future__ import annotations

import math

from gradcheck_cli.readings import LayerReading, Readings

DEFAULT_RATES = {"sgd": 0.01, "momentum": 0.01, "adam": 0.001, "adamw": 0.001}
"""Optimiser → rate where the user gives none: the contract's, and Adam's own default."""

GENTLE = 0.01
"""Largest relative update of any layer with weights in the first step, unless the user gave the rate. The scale of a loss and of
its targets is no fault, so a rate that nobody chose must not make one of it. Usual healthy updates are near 1e-3."""


def pace(readings: Readings) -> float:
    """The learning rate of a rehearsal of what `readings` measured.

    A rate that nobody gave is lowered, never raised: a model that has converged is left where it is.
    """
    if readings.lr is not None:
        return readings.lr
    rate = DEFAULT_RATES[readings.optimizer]
    layers = [layer for layer in readings.layers if any(weight.norm > 0.0 for weight in layer.weights)]
    largest = max((_relative_step(layer, readings.optimizer) for layer in layers), default=0.0)
    return min(rate, GENTLE / largest) if largest > 0.0 else rate


def _relative_step(layer: LayerReading, optimizer: str) -> float:
    """‖ΔW‖/‖W‖ of the first step at a rate of 1: Adam moves every element by the rate, whatever its gradient."""
    trained = [p for p in layer.parameters if p.trainable]
    norm = math.hypot(*(p.norm for p in trained))
    if optimizer.startswith("adam"):
        return math.sqrt(sum(p.size for p in trained)) / norm
    gradient = math.hypot(*(p.loss_gradient or 0.0 for p in trained))
    return gradient / norm if math.isfinite(gradient) else 0.0
