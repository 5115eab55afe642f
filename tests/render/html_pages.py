"""Diagnoses for the page: every kind of section in one, a thousand layers, and names that attack."""

from __future__ import annotations

import math

import msgspec
from hostile.names import NAMES
from invented_diagnoses import INVENTED

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
    NotMeasured,
    RehearsalFacts,
    Remedy,
    SeriesFacts,
    Spread,
    TimeCourse,
    UnitFacts,
    Verdict,
)

ATTACKS = (
    *(name for name in NAMES.values()),
    "</script><script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    "<!--<script>",
    "'-alert(1)-'",
    "javascript:alert(1)",
    "http://example.com/a.png",
)


def everything() -> Diagnosis:
    """The deep sigmoid net with all that a run can hold, dead and saturated units, zeros and infinities."""
    diagnosis = INVENTED["deep_sigmoid"]()
    layers = tuple(_with_units(place, layer) for place, layer in enumerate(diagnosis.layers))
    names = [layer.name for layer in layers if layer.parameters]
    return msgspec.structs.replace(
        diagnosis,
        layers=layers,
        findings=(*diagnosis.findings, _dead("net.0", (1, 4, 7))),
        rehearsal=RehearsalFacts(
            steps=6,
            optimizer="sgd",
            lr=0.01,
            lr_given=False,
            losses=(0.9, 0.8, 0.85, 0.7, math.inf, math.nan),
            loss_after=0.6,
            layers={name: _course(place) for place, name in enumerate(names)},
        ),
        series=SeriesFacts(
            checkpoints=("step_1.pt", "step_2.pt", "step_3.pt"),
            losses=(1.0, None, 0.5),
            layers={
                name: LayerTrace(norms=(1, 2, 4), changes=(None, 1, 2), transmissions=(1, 0.1, 0), dead=(None, 0, 0.5))
                for name in names
            },
        ),
        initialisation=InitialisationFacts(draws=20, verdicts={"dead": 5, "healthy": 15}, born_dead=(0.09, 0.49)),
        through_time={"net.4": TimeCourse(back=(1, 2, 3), shares=(1.0, 0.3, 0.0))},
        gradients=GradientFacts(
            of="loss",
            layers={
                name: Spread(lowest=place - 20, counts=(1, 5, 20, 2), zeros=72) for place, name in enumerate(names)
            },
        ),
        units={
            "net.1": UnitFacts(units=20, dead="1,4,7", saturated=""),
            "net.3": UnitFacts(units=100_000, dead="", saturated="0-39999,60000-76999"),
        },
        ignored=(
            Ignored(
                code="GC103", layer="net.1", verdict=Verdict.VANISHING, culprit=True, message="…", reason="by design"
            ),
        ),
        not_measured=(NotMeasured(what="relative updates", why="it needs a learning rate; give --lr"),),
    )


def before() -> Diagnosis:
    """The same net in a baseline: well where it now fades, with one layer more, and with one less."""
    diagnosis = everything()
    layers = [
        msgspec.structs.replace(
            layer,
            verdict=Verdict.VANISHING if layer.name == "net.36" else Verdict.HEALTHY,
            culprit=False,
            findings=(),
            readings=msgspec.structs.replace(layer.readings, transmission=0.5, dead_units=None, saturated=None),
        )
        for layer in diagnosis.layers
        if layer.name != "net.5"
    ]
    layers.append(msgspec.structs.replace(layers[0], name="net.gone"))
    return msgspec.structs.replace(diagnosis, layers=tuple(layers), findings=(), verdict=Verdict.HEALTHY)


def _with_units(place: int, layer: LayerReport) -> LayerReport:
    more: dict[str, float | int] = {}
    if place in (0, 1):
        more = {"dead_units": 0.15, "units": 20, "seen": 128}
    elif place == 3:
        more = {"saturated": 0.57, "units": 100_000, "seen": 128}
    transmission = {0: 0.0, 2: math.inf, 5: math.nan}.get(place, layer.readings.transmission)
    readings = msgspec.structs.replace(layer.readings, transmission=None if place == 7 else transmission, **more)
    return msgspec.structs.replace(layer, readings=readings)


def _course(place: int) -> LayerCourse:
    norms = tuple(3.0 * (1 + 0.01 * place) ** step for step in range(7))
    return LayerCourse(norms=norms, updates=tuple(0.0 if place == 0 else 10.0**-place * norm for norm in norms[:6]))


def _dead(layer: str, units: tuple[int, ...]) -> Finding:
    return Finding(
        code="GC907",
        layer=layer,
        verdict=Verdict.HEALTHY,
        confidence=1.0,
        culprit=False,
        message="3 of 20 units never fire in net.1",
        evidence={"dead_units": 0.15, "units": units},
    )


def attacked() -> Diagnosis:
    """Every text that a file or a model can choose is an attack, in every section."""
    diagnosis = everything()
    assert diagnosis.rehearsal is not None
    assert diagnosis.series is not None
    layers = tuple(
        LayerReport(
            name=name,
            kind=name,
            parameters=(name,),
            verdict=Verdict.DEAD if place % 2 else Verdict.HEALTHY,
            notes=(name,),
            findings=("GC301",),
            culprit=place == 1,
            readings=LayerReadings(transmission=10.0**-place, dead_units=0.5, units=10, time_gain=0.5),
        )
        for place, name in enumerate(ATTACKS)
    )
    findings = tuple(
        Finding(
            code="GC301",
            layer=name,
            verdict=Verdict.DEAD,
            confidence=0.5,
            culprit=False,
            message=name,
            evidence={name[:1000]: name, "list": [name, name]},
            because_of=(name,),
        )
        for name in ATTACKS
    )
    every = " ".join(name for name in ATTACKS if len(name) < 100)
    return msgspec.structs.replace(
        diagnosis,
        gradcheck_version=every,
        model=msgspec.structs.replace(diagnosis.model, path=every, format=every, sha256=None, remarks=ATTACKS),
        sample=msgspec.structs.replace(diagnosis.sample, source=every, loss=every, mode=every, remarks=ATTACKS),
        summary=f"{ATTACKS[0]}: {every}",
        culprits=ATTACKS,
        layers=layers,
        findings=(
            *findings,
            Finding(code=every, layer=every, verdict=Verdict.DEAD, confidence=1, culprit=True, message=every),
        ),
        remedies=tuple(
            Remedy(id=name, title=name, layers=ATTACKS, why=name, how=f"{name}\n{name}", source=name)
            for name in ATTACKS
        ),
        not_measured=tuple(NotMeasured(what=name, why=name) for name in ATTACKS),
        ignored=tuple(
            Ignored(code=name, layer=name, verdict=Verdict.DEAD, culprit=True, message=name, reason=name)
            for name in ATTACKS
        ),
        rehearsal=msgspec.structs.replace(
            diagnosis.rehearsal, optimizer=every, layers={name: _course(1) for name in ATTACKS}
        ),
        through_time={name: TimeCourse(back=(1, 2, 3), shares=(1.0, 0.3, 0.1)) for name in ATTACKS},
        gradients=GradientFacts(of="loss", layers={name: Spread(lowest=0, counts=(1,), zeros=1) for name in ATTACKS}),
        units={name: UnitFacts(units=10, dead=name, saturated=name) for name in ATTACKS},
        series=msgspec.structs.replace(
            diagnosis.series,
            checkpoints=(every, every, every),
            layers={
                name: LayerTrace(norms=(1, 2, 3), changes=(1, 2, 3), transmissions=(1, 1, 1), dead=(0, 0, 0))
                for name in ATTACKS
            },
        ),
    )


def deep(layers: int = 1000) -> Diagnosis:
    """A long net that fades towards its input, with its rehearsal."""
    shape = everything()
    assert shape.rehearsal is not None
    names = [f"blocks.{place // 2}.{'act' if place % 2 else 'linear'}" for place in range(layers)]
    limit = layers * 2 // 3
    reports = tuple(
        LayerReport(
            name=name,
            kind="LeakyReLU" if place % 2 else "Linear",
            parameters=() if place % 2 else (f"{name}.weight",),
            verdict=Verdict.VANISHING if place < limit else Verdict.HEALTHY,
            findings=("GC101",) if place < limit else (),
            culprit=place == limit - 1,
            readings=LayerReadings(
                transmission=10.0 ** ((place - layers) / 60),
                gain=0.96,
                learning_signal=1e-3,
                weight_norm=2.0 + place % 7,
            ),
        )
        for place, name in enumerate(names)
    )
    culprit = names[limit - 1]
    findings = tuple(
        Finding(
            code="GC101",
            layer=name,
            verdict=Verdict.VANISHING,
            confidence=0.9,
            culprit=name == culprit,
            message="hears 1e-9 of what the output asks",
            because_of=() if name == culprit else (culprit,),
            evidence={"transmission": 1e-9},
        )
        for name in names[:limit]
    )
    return msgspec.structs.replace(
        shape,
        summary=f"{culprit}: the signal fades over {limit} layers",
        culprits=(culprit,),
        layers=reports,
        findings=findings,
        rehearsal=msgspec.structs.replace(
            shape.rehearsal, layers={name: _course(place % 5) for place, name in enumerate(names[::2])}
        ),
        series=None,
        through_time={},
    )
