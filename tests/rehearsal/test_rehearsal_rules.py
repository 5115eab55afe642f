"""What the rules over a rehearsal say of nets that are really stepped; every ill one has a healthy twin."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gradcheck_cli as gradcheck
from gradcheck_cli.records import Diagnosis

X = torch.randn(128, 10, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] * X[:, 1] > 0).long()


def mlp(depth: int = 4, width: int = 32) -> nn.Sequential:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for number in range(depth):
        linear = nn.Linear(width if number else 10, width)
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, 2))


def diagnosed(module: nn.Module, **options: Any) -> Diagnosis:
    return gradcheck.diagnose(module, data=(X, Y), **options)


def codes(diagnosis: Diagnosis) -> set[str]:
    return {finding.code for finding in diagnosis.findings if finding.verdict.value != "healthy"}


@pytest.mark.parametrize(("optimizer", "lr"), [("sgd", 50.0), ("momentum", 20.0), ("adam", 30.0)])
def test_a_rate_that_is_far_too_high_diverges(optimizer: Any, lr: float) -> None:
    found = diagnosed(mlp(), optimizer=optimizer, lr=lr)
    assert found.verdict.value in ("exploding", "dead")
    assert codes(found) & {"GC209", "GC210", "GC305"}
    assert "learning-rate" in {remedy.id for remedy in found.remedies}


@pytest.mark.parametrize(
    ("optimizer", "lr"),
    [("sgd", None), ("sgd", 0.01), ("sgd", 0.1), ("momentum", 0.01), ("adam", None), ("adam", 0.001), ("adamw", 0.001)],
)
def test_usual_rates_are_healthy(optimizer: Any, lr: float | None) -> None:
    assert codes(diagnosed(mlp(), optimizer=optimizer, lr=lr)) == set()


def test_a_rate_at_which_nothing_moves_learns_slowly() -> None:
    found = diagnosed(mlp(), lr=1e-9)
    assert codes(found) == {"GC109"}
    assert found.remedies[0].id == "longer-steps"


def test_weights_that_a_decay_eats_shrink() -> None:
    class Decaying(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = mlp()

        def forward(self, x: Tensor) -> Any:
            return self.body(x)

    def loss(output: Tensor, target: Tensor, module: nn.Module) -> Tensor:
        decay = sum(p.square().sum() for p in module.parameters())
        return nn.functional.cross_entropy(output, target) + 20.0 * decay

    module = Decaying()
    found = gradcheck.diagnose(module, data=(X, Y), loss=lambda y, t: loss(y, t, module), lr=0.01)
    assert "GC110" in codes(found)


def test_units_that_a_long_step_kills_are_dying() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 1), nn.ReLU())
    with torch.no_grad():
        module.get_parameter("2.weight").abs_()
        module.get_parameter("2.bias").fill_(1.0)
    target = torch.full((128, 1), -50.0)
    calm = gradcheck.diagnose(module, data=(X, target), loss="mse", lr=1e-6)
    found = gradcheck.diagnose(module, data=(X, target), loss="mse", lr=0.02)
    assert "GC305" not in codes(calm)
    assert "GC305" in codes(found)
    assert found.verdict.value == "dead"


def test_a_scale_of_the_loss_alone_changes_nothing() -> None:
    for scale in (1e-6, 1e6):

        def loss(output: Tensor, target: Tensor, scale: float = scale) -> Tensor:
            return scale * nn.functional.cross_entropy(output, target)

        assert codes(gradcheck.diagnose(mlp(), data=(X, Y), loss=loss)) == set()


def test_a_converged_model_is_left_in_peace() -> None:
    module = mlp(2)
    optimizer = torch.optim.Adam(module.parameters(), 0.01)
    for _ in range(400):
        optimizer.zero_grad()
        torch.autograd.backward(nn.functional.cross_entropy(module(X), Y))
        optimizer.step()
    for optimizer_name in ("sgd", "adam"):
        found = diagnosed(module, optimizer=optimizer_name, lr=0.01)
        assert codes(found) == set(), optimizer_name


def test_what_moved_is_told() -> None:
    found = diagnosed(mlp(), lr=0.1)
    assert found.rehearsal is not None
    for layer in found.layers:
        course = found.rehearsal.layers.get(layer.name)
        assert (layer.readings.moved is None) == (course is None)
        if course is not None:
            assert layer.readings.moved
            assert layer.readings.moved == pytest.approx(sum(course.updates) / course.norms[0])
