"""A large transmission in front of small values: weighted element by element, it is as large as what follows makes of it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import gradcheck_cli as gradcheck
from gradcheck_cli.probe.batch import forward, prepare, transmission
from gradcheck_cli.probe.batch import measure as measured
from gradcheck_cli.probe.relative import look_at_loud
from gradcheck_cli.records import Batch, Verdict


class Tokens(nn.Module):
    """A class token of zeros in front of patches, and a norm over each token: ViT as it begins."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Linear(8, 16)
        self.token = nn.Parameter(torch.zeros(1, 1, 16))
        self.norm = nn.LayerNorm(16, eps=1e-12)
        self.head = nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, S, 8) → (B, 4)."""
        tokens = torch.cat([self.token.expand(len(x), -1, -1), self.patch(x)], 1)
        return self.head(self.norm(tokens).mean(1))  # type: ignore[no-any-return]


def test_a_class_token_of_zeros_takes_all_of_the_gradient_and_is_no_fault() -> None:
    torch.manual_seed(0)
    diagnosis = gradcheck.diagnose(Tokens(), data=torch.randn(64, 5, 8), rehearse=0)
    token = next(layer for layer in diagnosis.layers if layer.name == "token")
    assert (token.readings.transmission or 0.0) > 1e4
    assert diagnosis.verdict is Verdict.HEALTHY


@pytest.mark.parametrize("scale", [1e-3, 1.0])
def test_it_is_the_norm_of_gradient_times_value(scale: float) -> None:
    torch.manual_seed(1)
    first, second = nn.Linear(8, 16), nn.Linear(16, 3)
    model = nn.Sequential(first, nn.Identity(), second)
    with torch.no_grad():
        first.weight.mul_(scale)
        first.bias.mul_(scale)
        second.weight.mul_(1e3)
    subject, batch = prepare(model, 0), Batch(args=(torch.randn(32, 8),), kwargs={}, size=32)
    totals, run = measured(subject, batch, None)
    look_at_loud(subject, batch, totals, run.promoted)
    y = first(batch.args[0]).detach()
    again = forward(subject, batch)
    asked: dict[str, torch.Tensor] = {}
    asked_totals = type(totals)()
    handle = again.tape.operations[0].node.register_prehook(lambda gradients: asked.update(g=gradients[0].clone()))
    transmission(subject, again, asked_totals, 0)
    handle.remove()
    expected = float((asked["g"] * y).norm()) / asked_totals.question**0.5
    assert totals.relative(totals.layers["0"].relative or 0.0) == pytest.approx(expected, rel=1e-5)


def test_a_net_that_explodes_is_still_exploding() -> None:
    torch.manual_seed(0)
    layers = [part for _ in range(12) for part in (nn.Linear(32, 32, bias=False), nn.ReLU())]
    for layer in layers[::2]:
        nn.init.normal_(layer.weight, std=1.0)  # type: ignore[arg-type]
    diagnosis = gradcheck.diagnose(nn.Sequential(*layers), data=torch.randn(64, 32), rehearse=0)
    assert diagnosis.verdict is Verdict.EXPLODING
