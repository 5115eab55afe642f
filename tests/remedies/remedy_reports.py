"""Reports and findings as the judge makes them, for real modules."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from gradcheck_cli.records import Finding, LayerReadings, LayerReport, Verdict

ILL = {"1": Verdict.VANISHING, "2": Verdict.EXPLODING, "3": Verdict.DEAD, "9": Verdict.HEALTHY}


def layer(name: str, kind: str, *parameters: str, **readings: Any) -> LayerReport:
    return LayerReport(
        name=name,
        kind=kind,
        parameters=tuple(f"{name}.{parameter}" for parameter in parameters),
        verdict=Verdict.HEALTHY,
        readings=LayerReadings(**readings),
    )


def report_of(model: nn.Module) -> tuple[LayerReport, ...]:
    """Every module without children, in order of registration."""
    return tuple(
        layer(name, type(module).__name__, *(key for key, _ in module.named_parameters()))
        for name, module in model.named_modules()
        if not list(module.children())
    )


def finding(code: str, name: str, *, culprit: bool = True, **evidence: Any) -> Finding:
    return Finding(
        code=code,
        layer=name,
        verdict=ILL[code[2]],
        confidence=0.9,
        culprit=culprit,
        message="…",
        evidence=evidence,
    )


def execute(code: str, model: nn.Module, **given: Any) -> dict[str, Any]:
    """Run a remedy's code; gives the names that stand afterwards."""
    names: dict[str, Any] = {"torch": torch, "nn": nn, "F": F, "model": model, **given}
    exec(compile(code, "<remedy>", "exec"), names)
    return names


def transmissions(model: nn.Sequential, x: torch.Tensor) -> list[float]:
    """T at the output of each child, by `torch.autograd.grad` in float64."""
    outputs, x = [], x.double()
    for child in model.double():
        x = child(x)
        outputs.append(x)
    v = torch.randint(0, 2, x.shape, generator=torch.Generator().manual_seed(0)) * 2.0 - 1.0
    return [(g.norm() / v.norm()).item() for g in torch.autograd.grad((x * v).sum(), outputs)]


def deep(activation: type[nn.Module], depth: int = 20, std: float | None = None) -> nn.Sequential:
    """4 → depth × 16 → 2, seeded."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for inside in (4, *[16] * (depth - 1)):
        linear = nn.Linear(inside, 16)
        if std is not None:
            nn.init.normal_(linear.weight, std=std)
            nn.init.zeros_(linear.bias)
        layers += [linear, activation()]
    return nn.Sequential(*layers, nn.Linear(16, 2))
