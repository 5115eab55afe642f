from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from . import ZOO, float_outputs

ZERO_BY_NATURE = {
    "resnet_zero_init": "conv|bn1",  # behind a batch norm weight of zero
    "mixture_of_experts": "experts",  # an expert that got no token
    "lora": "lora_A",  # in front of B = 0
    "diffusion_unet": "conv1|time|norm|embed",  # in front of a convolution of zeros
    "glow": r"net\.[02]",  # in front of a coupling's convolution of zeros
    "diffusion_transformer": "attention|mlp|time|label|position|patches",  # behind gates of zero
    "energy_score": r"energy\.4\.bias",  # the offset of an energy has no slope
    "hamiltonian": r"energy\.2\.bias",
    "siamese": r"encoder\.2\.bias",  # a shift that the difference of the two cancels
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _loss(outputs: list[Tensor], goals: list[Tensor]) -> Tensor:
    return torch.stack([(output - goal).square().mean() for output, goal in zip(outputs, goals, strict=True)]).sum()


def _goals(outputs: list[Tensor]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [_reachable(torch.rand(output.shape, generator=generator), output) for output in outputs]


def _reachable(goal: Tensor, output: Tensor) -> Tensor:
    is_log = output.dim() > 0 and torch.allclose(output.detach().exp().sum(-1), torch.ones(output.shape[:-1]))
    return goal.log_softmax(-1) if is_log else goal


def test_the_zoo_is_big_enough() -> None:
    assert len(ZOO) >= 40


@pytest.mark.parametrize("name", ZOO)
def test_every_parameter_is_reached(name: str) -> None:
    module, inputs = ZOO[name]()
    outputs = float_outputs(module(*inputs))
    _loss(outputs, _goals(outputs)).backward()  # type: ignore[no-untyped-call]
    zero = re.compile(ZERO_BY_NATURE.get(name, r"$^"))
    for path, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        reached = parameter.grad is not None and bool(parameter.grad.any())
        assert reached or zero.search(path), path
        assert parameter.grad is None or parameter.grad.isfinite().all(), path


@pytest.mark.parametrize("name", ZOO)
def test_it_learns_its_batch(name: str) -> None:
    """What makes it healthy: ten steps of Adam bring the training loss down."""
    module, inputs = ZOO[name]()
    torch.manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.Dropout | nn.AlphaDropout):
            part.p = 0.0
    optimizer = torch.optim.Adam([p for p in module.parameters() if p.requires_grad], 3e-3)
    goals = _goals(float_outputs(module(*inputs)))
    losses = []
    for _ in range(10):
        torch.manual_seed(0)  # the same noise where a net draws some
        loss = _loss(float_outputs(module(*inputs)), goals)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.98 * losses[0]


def test_building_is_deterministic_and_leaves_the_random_state() -> None:
    before = torch.get_rng_state()
    first, inputs = ZOO["vit"]()
    second, again = ZOO["vit"]()
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(inputs[0], again[0])
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
