"""Event files for TensorBoard: per layer the readings as scalars, and the magnitudes of its gradients as histograms.

Each checkpoint is one step in a file of its own, named by the step, so that runs written into one folder one after the
other lie beside each other. The same diagnosis gives the same bytes: the wall time of an event is its step.

The ``tensorboard`` package writes and shows them; torch.utils.tensorboard and tensorboardX write the same, but import torch.
Source of the format: tensorboard/compat/proto/event.proto and summary.proto of https://github.com/tensorflow/tensorboard.
"""

from __future__ import annotations

import importlib.util
import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePath

from gradcheck_cli.errors import UsageError
from gradcheck_cli.records import SEVERITY, Diagnosis, LayerReadings, LayerTrace, SeriesFacts, Spread
from gradcheck_cli.text import plain

Scalars = Iterator[tuple[str, float]]
Histograms = Iterator[tuple[str, Spread]]

COUNTS = ("units", "seen", "time_steps")
"""Readings that are facts about the sample or the layer, and no curves."""
STEP = re.compile(r"(?:^|[^A-Za-z0-9.]|step|epoch|iter|checkpoint|ckpt)(\d{1,18})(?![A-Za-z0-9]|\.\d)", re.IGNORECASE)
"""A number that counts something: of ``resnet18_step_300.pt`` it is 300, of ``resnet18.pt`` there is none."""


@dataclass(frozen=True)
class Step:
    """All that is shown at one step."""

    number: int
    name: str
    """The checkpoint's."""
    scalars: tuple[tuple[str, float], ...]
    """Tag, value."""
    histograms: tuple[tuple[str, Spread], ...]


def check_installed() -> None:
    """Raise `UsageError` (``missing-extra``) where the package that writes event files is not there."""
    if importlib.util.find_spec("tensorboard") is None:
        raise UsageError(
            "missing-extra",
            "event files are written by the tensorboard package, which is not installed",
            hint="pip install 'gradcheck-cli[tensorboard]'",
        )


def render(diagnosis: Diagnosis) -> dict[str, bytes]:
    """Return name of an event file → its contents: a file a checkpoint, the names in the order of the steps."""
    return {_file_name(step): _file(step) for step in steps(diagnosis)}


def steps(diagnosis: Diagnosis) -> list[Step]:
    """Return what is shown: the diagnosis itself, and before it the earlier checkpoints of its run."""
    last = tuple(_readings(diagnosis)), tuple(_histograms(diagnosis))
    if diagnosis.series is None:
        path = diagnosis.model.path
        return [Step(step_of(path) or 0, PurePath(path).name, *last)]
    names = diagnosis.series.checkpoints
    numbers = _numbers(names)
    earlier = [
        Step(number, name, tuple(_at(diagnosis.series, place, _tag(diagnosis))), tuple(_spreads_at(diagnosis, place)))
        for place, (number, name) in enumerate(zip(numbers[:-1], names[:-1], strict=True))
    ]
    return [*earlier, *(Step(number, name, *last) for number, name in zip(numbers[-1:], names[-1:], strict=True))]


def step_of(path: str) -> int | None:
    """Return the last number that counts something in a file's name, else in its folder's; None without one."""
    place = PurePath(path)
    for name in (place.stem, place.parent.name):
        if found := STEP.findall(name):
            return int(found[-1])
    return None


def _numbers(names: Sequence[str]) -> list[int]:
    """Return the steps of a series; where the names do not count up, their places."""
    found = [step_of(name) for name in names]
    counted = [number for number in found if number is not None]
    rising = len(counted) == len(names) and all(one < next_ for one, next_ in pairwise(counted))
    return counted if rising else list(range(len(names)))


def _readings(diagnosis: Diagnosis) -> Scalars:
    if diagnosis.sample.loss_value is not None:
        yield "model/loss", diagnosis.sample.loss_value
    for verdict in SEVERITY:
        yield f"model/layers {verdict.value}", sum(layer.verdict is verdict for layer in diagnosis.layers)
    for field in LayerReadings.__struct_fields__:
        for layer in diagnosis.layers:
            value = getattr(layer.readings, field)
            if value is not None and field not in COUNTS:
                yield f"{field}/{_shown(layer.name)}", value
    if diagnosis.gradients is not None:
        for name, spread in diagnosis.gradients.layers.items():
            yield from _zeros(name, spread)


def _histograms(diagnosis: Diagnosis) -> Histograms:
    if diagnosis.gradients is not None:
        yield from (
            (f"{_tag(diagnosis)}/{_shown(name)}", spread) for name, spread in diagnosis.gradients.layers.items()
        )


def _at(series: SeriesFacts, place: int, tag: str) -> Scalars:
    """Give what is known of an earlier checkpoint, under the same tags as of the last."""
    loss = series.losses[place]
    if loss is not None:
        yield "model/loss", loss
    gradient = "loss_gradient" if tag.startswith("loss") else "learning_signal"
    for name, trace in series.layers.items():
        for field, values in (
            ("weight_norm", trace.norms),
            ("transmission", trace.transmissions),
            ("dead_units", trace.dead),
            (gradient, trace.gradients),
        ):
            value = values[place] if values else None
            if value is not None:
                yield f"{field}/{_shown(name)}", value
        if spread := _spread_at(trace, place):
            yield from _zeros(name, spread)


def _spreads_at(diagnosis: Diagnosis, place: int) -> Histograms:
    assert diagnosis.series is not None
    for name, trace in diagnosis.series.layers.items():
        if spread := _spread_at(trace, place):
            yield f"{_tag(diagnosis)}/{_shown(name)}", spread


def _spread_at(trace: LayerTrace, place: int) -> Spread | None:
    return trace.spreads[place] if trace.spreads else None


def _zeros(name: str, spread: Spread) -> Scalars:
    total = sum(spread.counts) + spread.zeros
    if total:
        yield f"zero_gradients/{_shown(name)}", spread.zeros / total


def _tag(diagnosis: Diagnosis) -> str:
    of_loss = diagnosis.gradients is None or diagnosis.gradients.of == "loss"
    return "loss_gradient_log10" if of_loss else "learning_signal_log10"


def _shown(name: str) -> str:
    return plain(name) or "(model)"


def _file_name(step: Step) -> str:
    # TensorBoard reads the files of a folder in the order of their names.
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", step.name)[:60]
    return f"events.out.tfevents.{step.number:018d}.gradcheck.{name}"


def _file(step: Step) -> bytes:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    values = [Summary.Value(tag=tag, simple_value=value) for tag, value in step.scalars]
    values += [Summary.Value(tag=tag, histo=_histogram(spread)) for tag, spread in step.histograms if spread.counts]
    stream = io.BytesIO()
    writer = RecordWriter(stream)
    time = float(step.number)
    writer.write(Event(wall_time=time, file_version="brain.Event:2").SerializeToString(deterministic=True))
    event = Event(wall_time=time, step=step.number, summary=Summary(value=values))
    writer.write(event.SerializeToString(deterministic=True))
    return stream.getvalue()


def _histogram(spread: Spread) -> object:
    """Return the histogram of log10 |g|: on a linear axis all but the largest gradients would be one bar."""
    from tensorboard.compat.proto.summary_pb2 import HistogramProto

    limits = [math.log10(2.0) * (spread.lowest + place) for place in range(len(spread.counts))]
    half = math.log10(2.0) / 2
    return HistogramProto(
        min=limits[0] - 2 * half,
        max=limits[-1],
        num=sum(spread.counts),
        sum=sum(count * (limit - half) for limit, count in zip(limits, spread.counts, strict=True)),
        sum_squares=sum(count * (limit - half) ** 2 for limit, count in zip(limits, spread.counts, strict=True)),
        bucket_limit=limits,
        bucket=spread.counts,
    )
