"""Diagnoses made by hypothesis: every field of every record, hostile texts and non-finite numbers among them."""

from __future__ import annotations

from hypothesis import strategies as st
from invented_diagnoses import HOSTILE_NAMES

from gradcheck_cli.records import (
    Diagnosis,
    Finding,
    GradientFacts,
    Ignored,
    InitialisationFacts,
    LayerCourse,
    LayerReadings,
    LayerReport,
    LayerTrace,
    ModelFacts,
    NotMeasured,
    RehearsalFacts,
    Remedy,
    SampleFacts,
    SeriesFacts,
    Spread,
    TimeCourse,
    UnitFacts,
    Verdict,
)

TEXTS = st.one_of(
    st.sampled_from(HOSTILE_NAMES),
    st.text(st.characters(exclude_categories=()), max_size=12),
    st.just("nan"),
)
FLOATS = st.floats()
NUMBERS = st.one_of(FLOATS, st.integers(min_value=-(2**70), max_value=2**70))
COUNTS = st.integers(min_value=0, max_value=2**40)
VERDICTS = st.sampled_from(Verdict)
CODES = st.sampled_from(("GC101", "GC103", "GC301", "GC901"))
NAMES = st.one_of(st.integers(0, 5).map("net.{}".format), TEXTS)
COUNTED = {"units", "seen", "time_steps"}


def tuples_of(items: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(items, max_size=4).map(tuple)


READINGS = st.fixed_dictionaries(
    {},
    optional={
        field: st.none() | (COUNTS if field in COUNTED else FLOATS | st.just(0) | st.just(1e-9))
        for field in LayerReadings.__struct_fields__
    },
).map(lambda fields: LayerReadings(**fields))  # type: ignore[arg-type]
LAYERS = st.builds(
    LayerReport,
    name=NAMES,
    kind=TEXTS,
    parameters=tuples_of(TEXTS),
    verdict=VERDICTS,
    notes=tuples_of(TEXTS),
    findings=tuples_of(CODES),
    culprit=st.booleans(),
    readings=READINGS,
)
FINDINGS = st.builds(
    Finding,
    code=CODES,
    layer=NAMES,
    verdict=VERDICTS,
    confidence=st.floats(0, 1),
    culprit=st.booleans(),
    message=TEXTS,
    evidence=st.dictionaries(TEXTS, NUMBERS | TEXTS | st.lists(NUMBERS, max_size=3) | st.lists(TEXTS), max_size=3),
    remedies=tuples_of(TEXTS),
    because_of=tuples_of(NAMES),
)
REMEDIES = st.builds(
    Remedy, id=TEXTS, title=TEXTS, layers=tuples_of(NAMES), why=TEXTS, how=st.text(), source=TEXTS, tried=st.none()
)
BINS = st.integers(min_value=0, max_value=2**40)
SPREADS = st.builds(Spread, lowest=st.integers(-1022, 1024), counts=st.lists(BINS, max_size=4).map(tuple), zeros=BINS)
IGNORED = st.builds(
    Ignored, code=CODES, layer=NAMES, verdict=VERDICTS, culprit=st.booleans(), message=TEXTS, reason=TEXTS
)
RANGES = st.from_regex(r"([0-9]{1,9}(-[0-9]{1,13})?(,[0-9]{1,9}(-[0-9]{1,9})?){0,3})?", fullmatch=True)
SERIES = st.lists(FLOATS, max_size=3).map(tuple)
GAPPED = st.lists(st.none() | FLOATS, max_size=3).map(tuple)
DIAGNOSES = st.builds(
    Diagnosis,
    schema_version=st.just(1),
    gradcheck_version=TEXTS,
    model=st.builds(
        ModelFacts,
        path=TEXTS,
        format=TEXTS,
        sha256=st.none() | st.just("0f" * 32),
        parameters=COUNTS,
        remarks=tuples_of(TEXTS),
    ),
    sample=st.builds(
        SampleFacts,
        source=TEXTS | st.just("synthetic"),
        samples=COUNTS,
        loss=TEXTS | st.sampled_from(("none", "model")),
        loss_value=st.none() | FLOATS,
        mode=st.sampled_from(("train", "eval")),
        remarks=tuples_of(TEXTS),
    ),
    verdict=VERDICTS,
    summary=TEXTS,
    culprits=tuples_of(NAMES),
    layers=st.one_of(st.lists(LAYERS, max_size=4), st.lists(LAYERS, min_size=17, max_size=24)).map(tuple),
    findings=st.lists(FINDINGS, max_size=6).map(tuple),
    remedies=st.lists(REMEDIES, max_size=4).map(tuple),
    series=st.none()
    | st.builds(
        SeriesFacts,
        checkpoints=tuples_of(TEXTS),
        losses=GAPPED,
        layers=st.dictionaries(
            NAMES,
            st.builds(
                LayerTrace,
                norms=GAPPED,
                changes=GAPPED,
                transmissions=GAPPED,
                dead=GAPPED,
                gradients=GAPPED,
                spreads=st.lists(st.none() | SPREADS, max_size=3).map(tuple),
            ),
            max_size=3,
        ),
    ),
    initialisation=st.none()
    | st.builds(
        InitialisationFacts,
        draws=COUNTS,
        verdicts=st.dictionaries(TEXTS, COUNTS, max_size=3),
        born_dead=st.tuples(FLOATS, FLOATS),
    ),
    rehearsal=st.none()
    | st.builds(
        RehearsalFacts,
        steps=COUNTS,
        optimizer=TEXTS,
        lr=FLOATS,
        lr_given=st.booleans(),
        losses=SERIES,
        loss_after=st.none() | FLOATS,
        layers=st.dictionaries(NAMES, st.builds(LayerCourse, norms=SERIES, updates=SERIES), max_size=3),
    ),
    ignored=st.lists(IGNORED, max_size=3).map(tuple),
    gradients=st.none()
    | st.builds(
        GradientFacts,
        of=st.sampled_from(("loss", "outputs")),
        layers=st.dictionaries(NAMES, SPREADS, max_size=3),
    ),
    through_time=st.dictionaries(
        NAMES,
        st.builds(TimeCourse, back=st.lists(st.integers(1, 2**40), max_size=3).map(tuple), shares=SERIES),
        max_size=2,
    ),
    units=st.dictionaries(NAMES, st.builds(UnitFacts, units=COUNTS, dead=RANGES, saturated=RANGES), max_size=3),
    not_measured=st.lists(st.builds(NotMeasured, what=TEXTS, why=TEXTS), max_size=8).map(tuple),
)
