"""All remedies, in the order in which they are listed."""

from __future__ import annotations

from gradcheck_cli.remedies import (
    clip_gradients,
    fewer_layers,
    fix_values,
    gated_cell,
    leaky_activation,
    learning_rate,
    longer_steps,
    loss_scaling,
    normalise_input,
    normalise_layers,
    reattach,
    reinitialise,
    replace_sigmoid,
    residual_connection,
    smaller_batches,
    truncated_bptt,
    weight_decay,
)
from gradcheck_cli.remedies.interface import RemedyUnit

REMEDIES: tuple[RemedyUnit, ...] = (
    reattach.REMEDY,
    fix_values.REMEDY,
    leaky_activation.REMEDY,
    replace_sigmoid.REMEDY,
    reinitialise.REMEDY,
    gated_cell.REMEDY,
    normalise_layers.REMEDY,
    residual_connection.REMEDY,
    clip_gradients.REMEDY,
    learning_rate.REMEDY,
    longer_steps.REMEDY,
    loss_scaling.REMEDY,
    normalise_input.REMEDY,
    truncated_bptt.REMEDY,
    weight_decay.REMEDY,
    fewer_layers.REMEDY,
    smaller_batches.REMEDY,
)
