"""Structural zeros, shown as rounding noise, are told from signals that vanish by a repeat in float64."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

import gradcheck_cli as gradcheck
from gradcheck_cli.loaders import adopt
from gradcheck_cli.probe import look, settle_zeros
from gradcheck_cli.readings import ParameterReading
from gradcheck_cli.records import Batch, Sample

X = torch.randn(64, 12, generator=torch.Generator().manual_seed(0))


class Centred(nn.Module):
    """A matrix whose result is the same for every class, before a softmax that undoes such a shift."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head, self.shift = nn.Linear(12, 16), nn.Linear(16, 5), nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.body(x))
        return torch.log_softmax(self.head(h) + self.shift(h).sum(-1, keepdim=True), -1)


class Weak(nn.Module):
    """A branch that is really heard 1e-9 times as loud as the trunk."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head, self.branch = nn.Linear(12, 16), nn.Linear(16, 5), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Any:
        h = torch.tanh(self.body(x))
        return self.head(h) + 1e-9 * self.branch(h)


def parameters(module: nn.Module) -> dict[str, ParameterReading]:
    sample = Sample(batches=(Batch(args=(X,), size=64),), source="test", loss_name="none", loss=None)
    subject = adopt(module)
    readings = settle_zeros(subject, sample, look(subject, sample))
    return {p.name: p for layer in readings.layers for p in layer.parameters}


def test_a_shift_that_a_softmax_undoes_is_a_structural_zero() -> None:
    found = parameters(Centred())
    assert found["shift.weight"].signal  # rounding noise
    assert found["shift.weight"].structural
    assert [name for name, p in found.items() if p.structural and p.matrix] == ["shift.weight"]


def test_a_weak_branch_is_not() -> None:
    found = parameters(Weak())
    assert found["branch.weight"].signal
    assert not any(p.structural for p in found.values())


def test_a_structural_zero_of_a_matrix_is_dead() -> None:
    found = gradcheck.diagnose(Centred(), data=X, rehearse=0)
    assert {
        finding.code for finding in found.findings if finding.layer == "shift" and finding.verdict.value == "dead"
    } == {"GC304"}


def test_the_model_is_left_in_its_own_dtype() -> None:
    module = Centred()
    before = [(p, p.data_ptr(), p.dtype) for p in module.parameters()]
    parameters(module)
    assert [(p, p.data_ptr(), p.dtype) for p in module.parameters()] == before
