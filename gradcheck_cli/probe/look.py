"""The whole probe as one sentence: measure every batch, look twice where something is suspicious, hand out readings."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np
import torch

from gradcheck_cli import records
from gradcheck_cli.probe import second_looks
from gradcheck_cli.probe.batch import Subject, measure, prepare
from gradcheck_cli.probe.finish import finished
from gradcheck_cli.probe.relative import look_at_loud
from gradcheck_cli.probe.restore import set_mode, unfreeze_if_all_frozen, untouched
from gradcheck_cli.probe.totals import Totals
from gradcheck_cli.readings import Readings

Progress = Callable[[str, int, int], None]
"""Called with (stage, steps done, steps in all)."""


def look(
    subject: records.Subject,
    sample: records.Sample,
    *,
    mode: str = "train",
    lr: float | None = None,
    optimizer: str = "sgd",
    seed: int = 0,
    progress: Progress = lambda _stage, _done, _total: None,
) -> Readings:
    """Measure a model on a sample.

    The model comes out as it went in: parameters, buffers, modes, hooks, gradients, random state.

    Raises:
        NotCompleted: the model's own forward or backward pass failed.
    """
    module = subject.module
    with untouched(module), torch.inference_mode(False), np.errstate(over="ignore", invalid="ignore"):
        unfrozen = unfreeze_if_all_frozen(module)
        set_mode(module, mode)
        model = prepare(module, seed)
        totals, second = _measure_batches(model, sample, progress)
    return finished(
        model,
        totals,
        second,
        mode=mode,
        lr=lr,
        optimizer=optimizer,
        loss_name=sample.loss_name,
        unfrozen=unfrozen,
        inputs_left=_inputs_left(module, sample.batches[0]) if sample.batches else (),
    )


def _measure_batches(
    model: Subject, sample: records.Sample, progress: Progress
) -> tuple[Totals, second_looks.SecondLooks]:
    steps = len(sample.batches) + 1
    totals = Totals()
    second = second_looks.SecondLooks()
    for number, batch in enumerate(sample.batches):
        progress("measuring", number, steps)
        found, run = measure(model, batch, sample.loss, keep=number == 0)
        if number == 0:
            progress("looking twice", number, steps)
            second = second_looks.take(model, batch, found, run)  # may add to `found`, so it comes first
        look_at_loud(model, batch, found, run.promoted)
        totals.merge(found)
        del run
    progress("measured", steps, steps)
    return totals, second


def _inputs_left(module: torch.nn.Module, batch: records.Batch) -> tuple[str, ...]:
    """Optional parameters of forward, beside flags and numbers, that the batch leaves at their default None."""
    try:
        parameters = list(inspect.signature(module.forward).parameters.values())
    except (TypeError, ValueError):  # a builtin or scripted forward
        return ()
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return tuple(p.name for p in named[len(batch.args) :] if p.default is None and p.name not in batch.kwargs)
