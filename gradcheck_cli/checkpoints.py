"""The checkpoints of one training run, in order: the same measurement of each, and how far the weights went in between."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from gradcheck_cli.errors import ModelError
from gradcheck_cli.readings import Checkpoint, LayerAt, LayerReading, Readings
from gradcheck_cli.records import Sample, Subject

if TYPE_CHECKING:
    import torch

Progress = Callable[[str, int, int], None]
"""Called with (stage, checkpoints done, checkpoints in all)."""
Weights = dict[str, "torch.Tensor"]


def in_order(paths: Sequence[str]) -> tuple[str, ...]:
    """The paths as given; but as people count where they come sorted like words, as from a shell: step_2 before step_10."""
    return tuple(sorted(paths, key=_counted)) if list(paths) == sorted(paths) else tuple(paths)


def _counted(path: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path)]


def follow(
    last: Subject,
    earlier: Sequence[Callable[[], Subject]],
    sample: Sample,
    readings: Readings,
    *,
    seed: int = 0,
    progress: Progress = lambda _stage, _done, _total: None,
) -> Readings:
    """Measure the earlier checkpoints on the sample of the last one, and add to its `readings` how the run went.

    Args:
        earlier: loads each checkpoint before `last`, the oldest first; one at a time is kept beside the last.

    Raises:
        ModelError: a checkpoint is of another architecture, or cannot be loaded.
    """
    from gradcheck_cli.probe import look

    found: list[Checkpoint] = []
    before: Weights | None = None
    for number, load in enumerate(earlier):
        progress("reading checkpoints", number, len(earlier))
        subject = load()
        weights = _weights(subject)
        _check_alike(weights, _weights(last), subject.path)
        seen = look(subject, replace(sample), mode=readings.mode, seed=seed)
        found.append(_checkpoint(subject, seen, weights, before))
        before = weights
    found.append(_checkpoint(last, readings, _weights(last), before))
    return msgspec.structs.replace(readings, checkpoints=tuple(found))


def _weights(subject: Subject) -> Weights:
    return {name: parameter.detach() for name, parameter in subject.module.named_parameters()}


def _check_alike(weights: Weights, last: Weights, path: str) -> None:
    if {name: value.shape for name, value in weights.items()} == {name: value.shape for name, value in last.items()}:
        return
    odd = next(iter(sorted(set(weights) ^ set(last))), None) or next(
        name for name in weights if weights[name].shape != last[name].shape
    )
    raise ModelError(
        "another-architecture",
        f"it is not a checkpoint of the same model: {odd} is not alike in it and in the last one",
        hint="name the checkpoints of one run, in order; compare other models one by one",
        file=path,
    )


def _checkpoint(subject: Subject, readings: Readings, weights: Weights, before: Weights | None) -> Checkpoint:
    return Checkpoint(
        name=Path(subject.path).name or subject.path,
        loss=readings.loss,
        layers={layer.name: _layer_at(layer, weights, before) for layer in readings.layers},
    )


def _layer_at(layer: LayerReading, weights: Weights, before: Weights | None) -> LayerAt:
    units = layer.units
    own = [p.name for p in layer.parameters if p.name in weights]
    change = None
    if before is not None and own:
        change = sum(float((weights[n].double() - before[n].double()).square().sum()) for n in own) ** 0.5
    return LayerAt(
        norm=sum(p.norm**2 for p in layer.parameters) ** 0.5 if layer.parameters else None,
        change=change,
        transmission=layer.transmission,
        dead=len(units.dead) / units.units if units is not None and not units.bounded else None,
        gradient=layer.gradient,
        spread=layer.spread,
        nonfinite=sum(p.nonfinite for p in layer.parameters) + layer.nonfinite,
    )
