"""From what every stage gave to the report: one `Diagnosis`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from gradcheck_cli import __version__
from gradcheck_cli.readings import LayerAt
from gradcheck_cli.records import (
    Diagnosis,
    Finding,
    GradientFacts,
    InitialisationFacts,
    LayerCourse,
    LayerTrace,
    ModelFacts,
    RehearsalFacts,
    Remedy,
    Sample,
    SampleFacts,
    SeriesFacts,
    Subject,
    TimeCourse,
    UnitFacts,
)

if TYPE_CHECKING:
    from gradcheck_cli.judge import Judgement
    from gradcheck_cli.readings import Readings

TIME_STEPS = 128
"""Time steps of a recurrent layer that are kept."""
ABSENT = LayerAt(norm=None, change=None, transmission=None, dead=None, nonfinite=0)
"""A layer at a checkpoint where it did not run."""


def diagnosis_of(
    subject: Subject,
    sample: Sample,
    readings: Readings,
    judgement: Judgement,
    findings: tuple[Finding, ...],
    remedies: tuple[Remedy, ...],
) -> Diagnosis:
    """Put the whole result together."""
    return Diagnosis(
        gradcheck_version=__version__,
        model=_model_facts(subject, readings),
        sample=_sample_facts(sample, readings),
        verdict=judgement.verdict,
        summary=judgement.summary,
        culprits=judgement.culprits,
        layers=judgement.layers,
        findings=findings,
        remedies=remedies,
        not_measured=judgement.not_measured,
        series=_series_facts(readings),
        initialisation=_initialisation_facts(readings),
        rehearsal=_rehearsal_facts(readings),
        ignored=judgement.ignored,
        gradients=_gradient_facts(readings),
        through_time={layer.name: _time_course(layer.time.course) for layer in readings.layers if layer.time},
        units=_unit_facts(readings),
    )


def _model_facts(subject: Subject, readings: Readings) -> ModelFacts:
    return ModelFacts(
        path=subject.path,
        format=subject.format,
        sha256=subject.sha256,
        parameters=readings.parameters,
        remarks=subject.remarks,
    )


def _sample_facts(sample: Sample, readings: Readings) -> SampleFacts:
    return SampleFacts(
        source=sample.source,
        samples=sample.samples,
        loss=sample.loss_name,
        loss_value=readings.loss,
        mode=readings.mode,
        remarks=sample.remarks,
    )


def _series_facts(readings: Readings) -> SeriesFacts | None:
    run = readings.checkpoints
    if not run:
        return None
    return SeriesFacts(
        checkpoints=tuple(checkpoint.name for checkpoint in run),
        losses=tuple(checkpoint.loss for checkpoint in run),
        layers={layer.name: _trace([c.layers.get(layer.name, ABSENT) for c in run]) for layer in readings.layers},
    )


def _trace(at: Sequence[LayerAt]) -> LayerTrace:
    return LayerTrace(
        norms=tuple(each.norm for each in at),
        changes=tuple(each.change for each in at),
        transmissions=tuple(each.transmission for each in at),
        dead=tuple(each.dead for each in at),
        gradients=tuple(each.gradient for each in at),
        spreads=tuple(each.spread for each in at),
    )


def _gradient_facts(readings: Readings) -> GradientFacts | None:
    layers = {layer.name: layer.spread for layer in readings.layers}
    found = {name: spread for name, spread in layers.items() if spread is not None}
    return GradientFacts(of="outputs" if readings.loss is None else "loss", layers=found) if found else None


def _time_course(course: Sequence[float]) -> TimeCourse:
    places = evenly(len(course), TIME_STEPS)
    return TimeCourse(back=tuple(place + 1 for place in places), shares=tuple(course[-1 - place] for place in places))


def _unit_facts(readings: Readings) -> dict[str, UnitFacts]:
    known = {layer.name: layer.units for layer in readings.layers if layer.units is not None}
    return {
        name: UnitFacts(units=units.units, dead=ranges(units.dead), saturated=ranges(units.saturated))
        for name, units in known.items()
        if units.dead or units.saturated
    }


def ranges(indices: Iterable[int]) -> str:
    """Return indices as ranges with both ends, ``0-3,7``."""
    runs: list[list[int]] = []
    for index in sorted(indices):
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ",".join(f"{first}-{last}" if last > first else str(first) for first, last in runs)


def evenly(points: int, most: int) -> list[int]:
    """Return at most `most` of the places 0 … `points` - 1, evenly spaced, both ends among them."""
    if points <= most:
        return list(range(points))
    return [round(place * (points - 1) / (most - 1)) for place in range(most)]


def _initialisation_facts(readings: Readings) -> InitialisationFacts | None:
    drawn = readings.redraws
    if drawn is None:
        return None
    return InitialisationFacts(
        draws=drawn.draws, verdicts=drawn.verdicts, born_dead=(drawn.dead_least, drawn.dead_most)
    )


def _rehearsal_facts(readings: Readings) -> RehearsalFacts | None:
    course = readings.rehearsal
    if course is None:
        return None
    return RehearsalFacts(
        steps=course.steps,
        optimizer=course.optimizer,
        lr=course.lr,
        lr_given=readings.lr is not None,
        losses=course.losses,
        loss_after=course.after.loss if course.after is not None else None,
        layers={layer.name: LayerCourse(norms=layer.norms, updates=layer.updates) for layer in course.layers},
    )
