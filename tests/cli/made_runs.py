"""Runs made up by the verdicts of their layers, and a folder in which a pull request changes one of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gradcheck_cli.records import (
    Diagnosis,
    Finding,
    LayerReadings,
    LayerReport,
    ModelFacts,
    SampleFacts,
    Verdict,
)
from gradcheck_cli.render import json_v1
from gradcheck_cli.worker import supervise

CODES = {Verdict.DEAD: "GC301", Verdict.EXPLODING: "GC202", Verdict.VANISHING: "GC101"}
H, N, V, E, D = Verdict.HEALTHY, Verdict.NOT_MEASURED, Verdict.VANISHING, Verdict.EXPLODING, Verdict.DEAD


def layer(name: str, verdict: Verdict = H, *codes: str, culprit: bool = True, **readings: float) -> LayerReport:
    return LayerReport(
        name=name,
        kind="Linear",
        parameters=(f"{name}.weight",),
        verdict=verdict,
        findings=codes or ((CODES[verdict],) if verdict in CODES else ()),
        culprit=culprit and verdict in CODES,
        readings=LayerReadings(**readings),  # type: ignore[arg-type]
    )


def made(*layers: LayerReport, model: str = "model.pt", samples: int = 128) -> Diagnosis:
    verdict = min((each.verdict for each in layers), key=[D, E, V, H, N].index, default=N)
    findings = [
        Finding(
            code=code,
            layer=each.name,
            verdict=each.verdict,
            confidence=1.0,
            culprit=each.culprit,
            message=f"{each.name} is {each.verdict.value} by {code}",
        )
        for each in layers
        for code in each.findings
    ]
    return Diagnosis(
        gradcheck_version="0.1.0",
        model=ModelFacts(path=model, format="torch-module", sha256="a" * 64, parameters=9),
        sample=SampleFacts(source="x.npz", samples=samples, loss="mse"),
        verdict=verdict,
        summary=f"It is {verdict.value}.",
        culprits=tuple(each.name for each in layers if each.culprit),
        layers=layers,
        findings=tuple(findings),
        remedies=(),
        not_measured=(),
    )


BEFORE = made(layer("stem"), layer("body", V), layer("head"))
REGRESSION = made(layer("stem"), layer("body", V), layer("head", D), model="new.pt")


def pull_request(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `folder` one with two runs, and a worker that measures what the name of the model says."""
    (folder / "old.json").write_text(json_v1.render(BEFORE))
    (folder / "new.json").write_text(json_v1.render(REGRESSION))
    measured: dict[str, Diagnosis] = {"old.pt": BEFORE, "new.pt": REGRESSION}

    def measure(order: Any, listener: Any, *, time_limit: float) -> Diagnosis:
        return measured[order.request.model]

    monkeypatch.setattr(supervise, "measure", measure)
    for name in measured:
        (folder / name).write_bytes(b"PK")
