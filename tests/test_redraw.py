"""Other initialisations of an architecture, against the closed form for nets that are born dead."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn

import gradcheck_cli as gradcheck
from gradcheck_cli.records import Diagnosis
from gradcheck_cli.redraw import wilson


class He(nn.Linear):
    """A layer with zero bias whose reset draws N(0, 2/fan_in)."""

    def reset_parameters(self) -> None:
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")
        nn.init.zeros_(self.bias)


def deep(width: int, depth: int) -> nn.Sequential:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for number in range(depth):
        layers += [He(width if number else 3, width), nn.ReLU()]
    return nn.Sequential(*layers, He(width, 1))


def drawn(module: nn.Module | str, draws: int, x: torch.Tensor | None = None) -> Diagnosis:
    one = torch.tensor([[0.3, -1.0, 0.7]]).expand(32, 3) if x is None else x
    return gradcheck.diagnose(module, data=one, loss="none", rehearse=0, reinit=draws)


@pytest.mark.parametrize(("width", "depth"), [(2, 10), (3, 4), (2, 2)])
def test_the_share_born_dead_is_the_theorys(width: int, depth: int) -> None:
    """With zero bias and one input, each of the L layers is silent with probability 2⁻ⁿ."""
    expected = 1 - (1 - 2**-width) ** depth
    found = drawn(deep(width, depth), 30).initialisation
    assert found is not None
    assert found.draws == 30
    assert abs(found.verdicts.get("dead", 0) / 30 - expected) < 4 * math.sqrt(expected * (1 - expected) / 30)
    assert found.born_dead[0] <= found.verdicts.get("dead", 0) / 30 <= found.born_dead[1]


def test_an_architecture_that_is_mostly_born_dead_is_ill() -> None:
    found = drawn(deep(2, 10), 20)
    assert "GC306" in {finding.code for finding in found.findings}
    assert found.verdict.value == "dead"


def test_a_wide_architecture_is_not() -> None:
    torch.manual_seed(0)
    found = drawn(deep(64, 4), 10, torch.randn(64, 3))
    assert found.verdict.value == "healthy"
    assert found.initialisation is not None
    assert found.initialisation.verdicts == {"healthy": 10}


def test_the_model_is_left_as_it_was() -> None:
    module = deep(4, 2)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    state = torch.random.get_rng_state()
    drawn(module, 3)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), state)


def test_an_entry_point_is_called_again(tmp_path: Path) -> None:
    """Its own initialisation counts: here every second call gives a dead net."""
    (tmp_path / "nets.py").write_text(
        "import torch\nfrom torch import nn\n\n\ndef make():\n"
        "    net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))\n"
        "    if torch.rand(()) < 0.5:\n        nn.init.constant_(net[0].bias, -100.0)\n    return net\n"
    )
    found = drawn(f"{tmp_path / 'nets.py'}:make", 40).initialisation
    assert found is not None
    assert 8 <= found.verdicts["dead"] <= 32
    assert found.verdicts["dead"] + found.verdicts["healthy"] == 40


def test_what_cannot_be_drawn_is_said() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 2))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ self.weight

    found = drawn(Own(), 5)
    assert found.initialisation is None
    assert any(item.what == "initialisation" and "reset_parameters" in item.why for item in found.not_measured)


@pytest.mark.parametrize(
    ("found", "of", "interval"), [(5, 10, (0.2366, 0.7634)), (0, 20, (0.0, 0.1611)), (0, 0, (0.0, 1.0))]
)
def test_the_interval_is_wilsons(found: int, of: int, interval: tuple[float, float]) -> None:
    assert wilson(found, of) == pytest.approx(interval, abs=1e-4)
