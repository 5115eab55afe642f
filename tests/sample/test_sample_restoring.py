"""Whatever a trial pass does, the module and the random generators come out as they went in, bit by bit."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_subjects import Forward, draw, subject_of
from torch import nn

from gradcheck_cli.errors import GradcheckError


class Restless(nn.Module):
    """Changes everything that a forward can change of itself, and draws from every generator."""

    seen: torch.Tensor
    replaced: torch.Tensor
    grown: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)
        self.frozen = nn.Linear(4, 4).requires_grad_(False)
        self.drop = nn.Dropout(0.5)
        self.register_buffer("seen", torch.tensor([0.0, float("nan"), -0.0]))
        self.register_buffer("replaced", torch.zeros(2))
        self.register_buffer("grown", torch.zeros(2), persistent=False)
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.train()
        self.calls += 1
        self.made_up = x
        self.seen += 1
        self.replaced = torch.ones(3)
        self.grown.resize_(5)
        self.register_buffer("new", torch.ones(1))
        self.fc.weight.requires_grad_(False)
        self.frozen.weight.requires_grad_(True)
        random.random()
        np.random.rand()
        return torch.as_tensor(self.frozen(self.drop(self.norm(self.fc(x)))) + torch.rand(1))


def state(module: nn.Module) -> dict[str, Any]:
    """Everything that must not change, as bytes and plain values."""
    return {
        "tensors": {n: bytes(_raw(t)) for n, t in (*module.named_parameters(), *module.named_buffers())},
        "identities": {n: id(t) for n, t in (*module.named_parameters(), *module.named_buffers())},
        "pointers": {n: t.data_ptr() for n, t in module.named_parameters()},
        "versions": {n: t._version for n, t in module.named_parameters()},
        "modes": {n: m.training for n, m in module.named_modules()},
        "flags": {n: p.requires_grad for n, p in module.named_parameters()},
        "gradients": {n: None if p.grad is None else p.grad.tolist() for n, p in module.named_parameters()},
        "attributes": {n: sorted(m.__dict__) for n, m in module.named_modules()},
        "hooks": {n: (len(m._forward_hooks), len(m._forward_pre_hooks)) for n, m in module.named_modules()},
        "torch": bytes(torch.get_rng_state().numpy()),
        "python": random.getstate(),
        "numpy": np.random.get_state()[1].tobytes(),  # type: ignore[index]
        "grad mode": torch.is_grad_enabled(),
        "fused": torch.backends.mha.get_fastpath_enabled(),
    }


def _raw(tensor: torch.Tensor) -> Any:
    return tensor.detach().clone().contiguous().reshape(-1).view(torch.uint8).numpy()


OUTCOMES: dict[str, Callable[[], Any]] = {
    "fits": lambda: torch.randn(6, 4),
    "with a target": lambda: (torch.randn(6, 4), torch.randint(0, 4, (6,))),
    "does not fit": lambda: torch.randn(6, 5),
    "class out of range": lambda: (torch.randn(6, 4), torch.full((6,), 9)),
    "synthetic": lambda: None,
    "one sample": lambda: torch.randn(1, 4),
}


@settings(max_examples=40, deadline=None)
@given(
    outcome=st.sampled_from(sorted(OUTCOMES)),
    mode=st.sampled_from(["train", "eval"]),
    modes=st.lists(st.booleans(), min_size=5, max_size=5),
    seed=st.integers(0, 1000),
)
def test_everything_is_restored(outcome: str, mode: str, modes: list[bool], seed: int) -> None:
    module, data = Restless(), OUTCOMES[outcome]()
    for part, training in zip(module.modules(), modes, strict=True):
        part.training = training
    module.fc.weight.grad = torch.ones(4, 4)
    before = state(module)
    try:
        draw(subject_of(module), data, mode=mode, seed=seed)
    except GradcheckError:
        assert outcome in ("does not fit", "class out of range", "one sample")
    assert state(module) == before
    assert module.calls == 0


def test_restored_when_the_forward_fails_halfway() -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        self.norm.running_mean += 1
        self.norm.eval()
        raise KeyboardInterrupt

    module = Forward(forward, norm=nn.BatchNorm1d(4))
    x = torch.randn(6, 4)
    before = state(module)
    with pytest.raises(KeyboardInterrupt):
        draw(subject_of(module), x)
    assert state(module) == before


def test_untouched_buffers_are_not_written() -> None:
    module = nn.BatchNorm1d(4)
    assert module.running_mean is not None
    version = module.running_mean._version
    draw(subject_of(module), torch.randn(6, 4))
    assert module.running_mean._version == version


def test_data_is_not_changed_by_a_forward_in_place() -> None:
    x = torch.randn(6, 4).abs() * -1
    before = x.clone()
    sample = draw(subject_of(nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 2))), x)
    assert torch.equal(x, before)
    assert torch.equal(sample.batches[0].args[0], before)


def test_hooks_that_the_first_forward_pass_installs_are_taken_off_again() -> None:
    seen: list[str] = []

    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        if not getattr(self, "installed", False):
            self.layer.register_forward_hook(lambda *_: seen.append("hook"))
            self.installed = True
        return self.layer(x)  # type: ignore[no-any-return]

    layer = nn.Linear(4, 2)
    model = Forward(forward, layer=layer)
    draw(subject_of(model), torch.ones(3, 4))
    assert not hasattr(model, "installed")
    assert len(layer._forward_hooks) == 0
    seen.clear()
    model(torch.ones(3, 4))
    assert seen == ["hook"]
