"""A report with numbers that JSON cannot hold."""

from __future__ import annotations

import math

from gradcheck_cli.records import (
    Diagnosis,
    Finding,
    LayerReadings,
    LayerReport,
    ModelFacts,
    SampleFacts,
    Verdict,
)

REPORT = Diagnosis(
    gradcheck_version="0",
    model=ModelFacts(path="m", format="torch-module", sha256=None, parameters=1),
    sample=SampleFacts(source="synthetic", samples=1, loss="none"),
    verdict=Verdict.EXPLODING,
    summary="",
    culprits=("a",),
    layers=(
        LayerReport(
            name="a",
            kind="Linear",
            parameters=(),
            verdict=Verdict.EXPLODING,
            readings=LayerReadings(gain=-math.inf, transmission=1e-300),
        ),
    ),
    findings=(
        Finding(
            code="GC201",
            layer="a",
            verdict=Verdict.EXPLODING,
            confidence=1.0,
            culprit=True,
            message="",
            evidence={"gain": math.inf, "steps": [1.5, 2.5], "names": ["x"], "count": 3, "word": "nan"},
        ),
    ),
    remedies=(),
    not_measured=(),
)
