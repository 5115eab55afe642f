"""Checkpoints of runs that were really trained: what each run is to show, and what a healthy one must not."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import gradcheck_cli as gradcheck
from gradcheck_cli.checkpoints import in_order
from gradcheck_cli.errors import ModelError
from gradcheck_cli.records import Diagnosis

X = torch.randn(128, 10, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] * X[:, 1] > 0).long()


def mlp(activation: Callable[[], nn.Module] = nn.ReLU, depth: int = 3) -> nn.Sequential:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for number in range(depth):
        layers += [nn.Linear(32 if number else 10, 32), activation()]
    return nn.Sequential(*layers, nn.Linear(32, 2))


def trained(
    folder: Path,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    saves: int = 6,
    steps: int = 20,
    **options: Any,
) -> Diagnosis:
    """Train, save before every `steps` steps, and diagnose the files."""
    paths = []
    for number in range(saves):
        paths.append(str(folder / f"step_{number}.pt"))
        torch.save(module, paths[-1])
        for _ in range(steps):
            optimizer.zero_grad()
            torch.autograd.backward(nn.functional.cross_entropy(module(X), Y))
            optimizer.step()
    return gradcheck.diagnose(paths[-1], earlier=paths[:-1], data=(X, Y), rehearse=0, **options)


def codes(found: Diagnosis) -> set[str]:
    return {finding.code for finding in found.findings}


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_a_healthy_run_is_healthy(tmp_path: Path, name: str) -> None:
    module = mlp()
    optimizers: dict[str, Any] = {
        "sgd": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9),
        "adam": lambda p: torch.optim.Adam(p, 0.003),
        "adamw": lambda p: torch.optim.AdamW(p, 0.003),
    }
    found = trained(tmp_path, module, optimizers[name](module.parameters()))
    assert found.verdict.value == "healthy"
    assert found.series is not None
    assert found.series.checkpoints == tuple(f"step_{n}.pt" for n in range(6))
    assert found.series.losses[-1] < found.series.losses[0]  # type: ignore[operator]


def test_the_trace_is_what_the_files_hold(tmp_path: Path) -> None:
    module = mlp()
    found = trained(tmp_path, module, torch.optim.SGD(module.parameters(), 0.1), saves=3)
    saved = [torch.load(tmp_path / f"step_{n}.pt", weights_only=False)[2] for n in range(3)]
    flat = [torch.cat([p.detach().flatten() for p in layer.parameters()]) for layer in saved]
    assert found.series is not None
    trace = found.series.layers["2"]
    assert trace.norms == pytest.approx([float(w.norm()) for w in flat], rel=1e-6)
    assert trace.changes[0] is None
    assert trace.changes[1:] == pytest.approx([float((b - a).norm()) for a, b in pairwise(flat)], rel=1e-5)


def test_weights_that_grow_exponentially(tmp_path: Path) -> None:
    module = mlp()
    with torch.no_grad():
        paths = []
        for number in range(5):
            paths.append(str(tmp_path / f"{number}.pt"))
            torch.save(module, paths[-1])
            module.get_parameter("2.weight").mul_(2.5)
    found = gradcheck.diagnose(paths[-1], earlier=paths[:-1], data=(X, Y), rehearse=0)
    assert "GC213" in codes(found)
    assert found.culprits[0] == "2"


def test_weights_that_a_decay_eats(tmp_path: Path) -> None:
    module = mlp()
    found = trained(tmp_path, module, torch.optim.SGD(module.parameters(), 0.05, weight_decay=1.0))
    assert "GC111" in codes(found)
    assert found.verdict.value in ("vanishing", "dead")


def test_a_deep_sigmoid_net_stands_still_at_its_input(tmp_path: Path) -> None:
    module = mlp(nn.Sigmoid, depth=8)
    found = trained(tmp_path, module, torch.optim.SGD(module.parameters(), 0.5))
    assert "GC112" in codes(found)
    assert {f.layer for f in found.findings if f.code == "GC112"} >= {"0"}


def test_units_that_died(tmp_path: Path) -> None:
    module = mlp()
    found = trained(tmp_path, module, torch.optim.SGD(module.parameters(), 30.0), saves=4, steps=2)
    told = [f for f in found.findings if f.code in ("GC307", "GC214")]
    assert told
    assert all("step_" in finding.message for finding in told)


def test_where_nan_came_first(tmp_path: Path) -> None:
    module = mlp()
    paths = []
    for number in range(4):
        if number == 2:
            module.get_parameter("2.weight").data[3, 3] = float("nan")
        paths.append(str(tmp_path / f"{number}.pt"))
        torch.save(module, paths[-1])
    found = gradcheck.diagnose(paths[-1], earlier=paths[:-1], data=(X, Y))
    told = next(finding for finding in found.findings if finding.code == "GC214")
    assert (told.layer, told.evidence["checkpoint"]) == ("2", "2.pt")
    assert "1.pt was finite" in told.message


def test_a_frozen_layer_never_moved_and_is_healthy(tmp_path: Path) -> None:
    module = mlp()
    found = trained(tmp_path, module, torch.optim.Adam(list(module[2:].parameters()), 0.003))
    assert found.verdict.value == "healthy"
    assert [finding.layer for finding in found.findings if finding.code == "GC915"] == ["0"]


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    torch.save(mlp(depth=2), tmp_path / "a.pt")
    torch.save(mlp(depth=3), tmp_path / "b.pt")
    with pytest.raises(ModelError, match="not a checkpoint of the same model") as caught:
        gradcheck.diagnose(tmp_path / "b.pt", earlier=[tmp_path / "a.pt"], data=(X, Y))
    assert caught.value.slug == "another-architecture"
    assert caught.value.file.endswith("a.pt")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["step_1.pt", "step_10.pt", "step_2.pt"], ("step_1.pt", "step_2.pt", "step_10.pt")),
        (["b.pt", "a.pt"], ("b.pt", "a.pt")),
        (["e1_s9.pt", "e1_s90.pt", "e10_s1.pt"], ("e1_s9.pt", "e1_s90.pt", "e10_s1.pt")),
        (["m.pt"], ("m.pt",)),
    ],
)
def test_files_that_a_shell_sorted_are_counted(given: list[str], expected: tuple[str, ...]) -> None:
    assert in_order(given) == expected
