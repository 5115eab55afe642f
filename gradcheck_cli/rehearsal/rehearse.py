"""A rehearsal in one sentence: find the pace, step, look again, put everything back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import numpy as np
import torch
from torch import nn

from gradcheck_cli import records
from gradcheck_cli.errors import GradcheckError
from gradcheck_cli.probe import look, settle_zeros
from gradcheck_cli.probe.batch import prepare
from gradcheck_cli.probe.restore import set_mode, unfreeze_if_all_frozen, untouched
from gradcheck_cli.readings import LayerRehearsal, Readings, Rehearsal
from gradcheck_cli.rehearsal.pace import pace
from gradcheck_cli.rehearsal.steps import Course, Stepper

Progress = Callable[[str, int, int], None]
"""Called with (stage, steps done, steps in all)."""


def rehearse(
    subject: records.Subject,
    sample: records.Sample,
    readings: Readings,
    *,
    steps: int,
    seed: int = 0,
    progress: Progress = lambda _stage, _done, _total: None,
) -> Readings:
    """Take `steps` optimiser steps on what `readings` were measured of, and add to them how it went.

    A caller's own module comes out as it went in. One that was loaded for this diagnosis alone keeps the stepped weights, so
    that a large model needs no second copy of them: rehearsing comes last.
    """
    reason = _reason_against(sample, readings)
    if steps <= 0 or reason is not None:
        return _not_rehearsed(readings, reason) if steps > 0 and reason else readings
    rate = pace(readings)
    module = subject.module
    kept = _weights_kept(module, subject.format == "in-memory")
    with untouched(module), kept, torch.inference_mode(False), np.errstate(over="ignore", invalid="ignore"):
        unfreeze_if_all_frozen(module)
        set_mode(module, readings.mode)
        model = prepare(module, seed)
        stepper = Stepper(module, model.parameters, model.owners, model.tied, readings.optimizer, rate)
        assert sample.loss is not None
        chance = stepper.chance(sample.batches[0], sample.loss, seed)
        course = stepper.run(sample.batches, sample.loss, steps, seed, lambda done: progress("rehearsing", done, steps))
        if course.failed is not None and not course.steps:
            return _not_rehearsed(readings, course.failed)
        progress("measuring again", 0, 0)
        after = _look_again(subject, sample, readings, seed)
    return msgspec.structs.replace(readings, rehearsal=_finished(course, rate, chance, readings, after))


def _reason_against(sample: records.Sample, readings: Readings) -> str | None:
    """Why there is nothing to rehearse; None where there is."""
    if sample.loss is None:
        return "there is no loss to go down: give --data with a target, or --loss"
    if not sample.batches or readings.loss is None:
        return "the sample gives no loss"
    if not any(p.loss_gradient for layer in readings.layers for p in layer.parameters):
        return "the loss asks no parameter to move"
    if readings.loss != readings.loss or any(p.nonfinite for layer in readings.layers for p in layer.parameters):
        return "loss or weights are not finite before the first step"
    return None


def _not_rehearsed(readings: Readings, why: str) -> Readings:
    return msgspec.structs.replace(readings, not_measured=(*readings.not_measured, ("rehearsal", why)))


def _look_again(subject: records.Subject, sample: records.Sample, readings: Readings, seed: int) -> Readings | None:
    """The readings of the stepped model; None where its forward fails now, as with weights that overflow."""
    try:
        again = look(subject, sample, mode=readings.mode, lr=readings.lr, optimizer=readings.optimizer, seed=seed)
        return settle_zeros(subject, sample, again, seed=seed)
    except GradcheckError:
        return None


def _finished(
    course: Course, rate: float, chance: float | None, readings: Readings, after: Readings | None
) -> Rehearsal:
    names = [layer.name for layer in readings.layers if layer.name in course.updates]
    return Rehearsal(
        steps=course.steps,
        optimizer=readings.optimizer,
        lr=rate,
        losses=tuple(course.losses),
        batches=readings.batches,
        chance=chance,
        layers=tuple(
            LayerRehearsal(name=n, norms=tuple(course.norms[n]), updates=tuple(course.updates[n])) for n in names
        ),
        failed=course.failed,
        after=after,
    )


@contextmanager
def _weights_kept(module: nn.Module, keep: bool) -> Iterator[None]:
    """Put the parameters' values back at the end, whatever happens; only if `keep`."""
    values = [(parameter, parameter.detach().clone()) for parameter in module.parameters()] if keep else []
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, value in values:
                parameter.copy_(value)
