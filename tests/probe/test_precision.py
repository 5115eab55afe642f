"""What another precision would lose, against really storing the gradients in it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gradcheck_cli as gradcheck
from gradcheck_cli.loaders import adopt
from gradcheck_cli.probe import look, what_if
from gradcheck_cli.readings import LayerReading
from gradcheck_cli.records import Batch, Diagnosis, Sample

X = torch.randn(32, 8, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 2))


def asked(module: nn.Module, precision: str, scale: float = 1.0) -> dict[str, LayerReading]:
    subject = adopt(module)
    sample = Sample(
        batches=(Batch(args=(X,), target=Y, size=32),),
        source="test",
        loss_name="test",
        loss=lambda y, t: scale * F.cross_entropy(y, t),
    )
    readings = what_if(subject, sample, look(subject, sample), precision=precision)
    assert readings.precision == precision
    return {layer.name: layer for layer in readings.layers}


@pytest.mark.parametrize("scale", [1.0, 1e-5, 1e-6, 1e-8])
def test_what_is_lost_is_what_storing_loses(scale: float) -> None:
    module = net()
    layers = asked(module, "fp16", scale)
    outputs: list[Tensor] = []
    value = X
    for child in module:
        value = child(value)
        value.retain_grad()
        outputs.append(value)
    torch.autograd.backward(scale * F.cross_entropy(value, Y))
    for place, child in enumerate(module):
        tensors = [outputs[place].grad] + ([child.weight.grad] if isinstance(child, nn.Linear) else [])
        shares = [float(((g.half() == 0) & (g != 0)).sum() / (g != 0).sum()) for g in tensors if g is not None]
        precision = layers[str(place)].precision
        assert precision is not None
        assert precision.lost == pytest.approx(max(shares))
        assert precision.largest == pytest.approx(float(outputs[place].detach().abs().max()))


def codes(found: Diagnosis) -> set[str]:
    return {finding.code for finding in found.findings if finding.verdict.value != "healthy"}


def diagnosed(module: nn.Module, scale: float = 1.0, **options: Any) -> Diagnosis:
    return gradcheck.diagnose(
        module, data=(X, Y), loss=lambda y, t: scale * F.cross_entropy(y, t), rehearse=0, **options
    )


def test_a_small_loss_underflows_in_fp16_only() -> None:
    assert codes(diagnosed(net(), 1e-7)) == set()
    assert codes(diagnosed(net(), 1e-7, precision="bf16")) == set()
    found = diagnosed(net(), 1e-7, precision="fp16")
    assert codes(found) == {"GC105"}
    assert found.culprits == ("4",)
    assert found.remedies[0].id == "loss-scaling"
    assert codes(diagnosed(net(), 1.0, precision="fp16")) == set()


def test_large_values_overflow_in_fp16_only() -> None:
    class Large(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(8, 8), nn.Linear(8, 2)
            nn.init.eye_(self.first.weight)
            self.first.weight.data.mul_(1e5)
            self.last.weight.data.mul_(1e-5)

        def forward(self, x: Tensor) -> Any:
            return self.last(self.first(x))

    assert codes(diagnosed(Large(), precision="bf16")) == set()
    found = diagnosed(Large(), precision="fp16")
    assert "GC212" in codes(found)
    assert found.culprits[0] == "first"


def test_without_a_loss_it_is_not_measured() -> None:
    found = gradcheck.diagnose(net(), data=X, loss="none", precision="fp16", rehearse=0)
    assert [item.what for item in found.not_measured] == ["precision fp16"]


def test_the_model_is_left_as_it_was() -> None:
    module = net()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    diagnosed(module, precision="fp16")
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())
    assert not any(child._forward_hooks for child in module.modules())
