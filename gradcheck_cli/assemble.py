"""From what every stage gave to the report: one `Diagnosis`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gradcheck_cli import __version__
from gradcheck_cli.readings import LayerAt
from gradcheck_cli.records import (
    Diagnosis,
    Finding,
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
)

if TYPE_CHECKING:
    from gradcheck_cli.judge import Judgement
    from gradcheck_cli.readings import Readings

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
    )


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
