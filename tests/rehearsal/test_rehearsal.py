"""The rehearsal against a plain training loop, and what must be true of it: nothing of the model changes, nothing is random."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gradcheck_cli as gradcheck
from gradcheck_cli.loaders import adopt
from gradcheck_cli.probe import look
from gradcheck_cli.readings import Readings, Rehearsal
from gradcheck_cli.records import Batch, Sample
from gradcheck_cli.rehearsal import rehearse, steps
from gradcheck_cli.rehearsal.pace import GENTLE

OPTIMIZERS: dict[str, Callable[[Any, float], torch.optim.Optimizer]] = {
    "sgd": lambda p, lr: torch.optim.SGD(p, lr),
    "momentum": lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9),
    "adam": lambda p, lr: torch.optim.Adam(p, lr),
    "adamw": lambda p, lr: torch.optim.AdamW(p, lr),
}


def net(*widths: int) -> nn.Sequential:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def sample(batches: int = 3, scale: float = 1.0) -> Sample:
    generator = torch.Generator().manual_seed(1)
    made = []
    for _ in range(batches):
        x = torch.randn(16, 6, generator=generator)
        made.append(Batch(args=(x,), target=(x[:, 0] > 0).long(), size=16))
    return Sample(
        batches=tuple(made), source="test", loss_name="cross-entropy", loss=lambda y, t: scale * F.cross_entropy(y, t)
    )


def rehearsed(module: nn.Module, drawn: Sample, steps: int = 7, **options: Any) -> Readings:
    subject = adopt(module)
    return rehearse(subject, drawn, look(subject, drawn, **options), steps=steps)


def course_of(module: nn.Module, drawn: Sample, steps: int = 7, **options: Any) -> Rehearsal:
    course = rehearsed(module, drawn, steps, **options).rehearsal
    assert course is not None
    return course


@pytest.mark.parametrize("together", [1 << 18, 100, 1])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_is_a_plain_training_loop(name: str, together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "TOGETHER", together)  # all parameters in one group, some alone, all alone
    module, drawn = net(6, 12, 12, 2), sample()
    course = course_of(module, drawn, optimizer=name, lr=0.05)
    twin = copy.deepcopy(module)
    linears = [layer for layer in twin if isinstance(layer, nn.Linear)]
    optimizer = OPTIMIZERS[name](twin.parameters(), 0.05)
    losses = []
    norms = [[float(torch.cat([p.detach().flatten() for p in layer.parameters()]).norm()) for layer in linears]]
    for step in range(7):
        batch = drawn.batches[step % 3]
        loss = F.cross_entropy(twin(*batch.args), batch.target)
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        norms.append([float(torch.cat([p.detach().flatten() for p in layer.parameters()]).norm()) for layer in linears])
    assert course.losses == pytest.approx(losses, rel=1e-6)
    for layer, expected in zip(course.layers, zip(*norms, strict=True), strict=True):
        assert layer.norms == pytest.approx(expected, rel=1e-5)
    after = sum(float(F.cross_entropy(twin(*batch.args), batch.target).detach()) for batch in drawn.batches) / 3
    assert course.after is not None
    assert course.after.loss == pytest.approx(after, rel=1e-5)


def test_updates_are_the_distance_between_weights() -> None:
    module, drawn = net(6, 2), sample(batches=1)
    course = course_of(module, drawn, steps=1, lr=0.1)
    weight, bias = torch.autograd.grad(
        F.cross_entropy(module(*drawn.batches[0].args), drawn.batches[0].target), list(module.parameters())
    )
    assert course.layers[0].updates == pytest.approx(
        [0.1 * math.hypot(float(weight.norm()), float(bias.norm()))], rel=1e-5
    )


def test_a_callers_model_comes_out_as_it_went_in() -> None:
    module = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2)).eval()
    first, last = module.get_parameter("0.weight"), module.get_parameter("4.weight")
    first.grad = torch.ones_like(first)
    module.get_parameter("4.bias").requires_grad_(False)
    before = copy.deepcopy(module)
    state = torch.random.get_rng_state()
    course_of(module, sample(), lr=0.5, mode="train")
    assert torch.equal(torch.random.get_rng_state(), state)
    for (name, value), other in zip(module.state_dict().items(), before.state_dict().values(), strict=True):
        assert torch.equal(value, other), name
    assert [p.requires_grad for p in module.parameters()] == [p.requires_grad for p in before.parameters()]
    assert first.grad is not None
    assert torch.equal(first.grad, torch.ones_like(first))
    assert last.grad is None
    assert not module.training


def test_the_same_seed_gives_the_same_course() -> None:
    module = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5), nn.Linear(8, 2))
    assert course_of(module, sample()) == course_of(module, sample())


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_rate_that_nobody_gave_is_gentle_whatever_the_scale_of_the_loss(scale: float, optimizer: str) -> None:
    course = course_of(net(6, 12, 2), sample(scale=scale), optimizer=optimizer)
    assert all(layer.updates[0] <= 1.5 * GENTLE * layer.norms[0] for layer in course.layers)
    assert course.after is not None
    assert course.after.loss is not None
    assert course.after.loss <= 1.01 * course.losses[0]


def test_it_ends_where_the_loss_does() -> None:
    course = course_of(net(6, 12, 12, 2), sample(), steps=50, lr=1e6)
    assert course.steps < 50
    assert not math.isfinite(course.losses[-1]) or (course.after is None or course.after.loss is None)


def test_numbers_out_of_range_are_no_warnings() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        course = course_of(net(6, 12, 12, 2), sample(), steps=20, lr=1e12)
    assert not math.isfinite(course.losses[-1]) or course.after is None


@pytest.mark.parametrize(
    ("drawn", "why"),
    [
        (Sample(batches=sample().batches, source="test", loss_name="none", loss=None), "there is no loss"),
        (
            Sample(batches=sample().batches, source="test", loss_name="x", loss=lambda y, _: y.detach().sum()),
            "asks no parameter",
        ),
        (
            Sample(batches=sample().batches, source="test", loss_name="x", loss=lambda y, _: y.sum() * math.nan),
            "not finite",
        ),
    ],
)
def test_what_cannot_be_rehearsed_is_said(drawn: Sample, why: str) -> None:
    readings = rehearsed(net(6, 8, 2), drawn)
    assert readings.rehearsal is None
    assert [what for what, reason in readings.not_measured if why in reason] == ["rehearsal"]


def test_a_model_that_fails_in_a_step_is_still_judged() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(6, 2)
            self.calls = 0

        def forward(self, x: Tensor) -> Any:
            self.calls += 1
            if self.calls > 5:
                raise RuntimeError("only five calls")
            return self.inner(x)

    course = course_of(Counting(), sample())
    assert course.failed is not None
    assert "only five calls" in course.failed
    assert course.after is None
    assert 0 < course.steps < 7


def test_zero_steps_are_none() -> None:
    module, drawn = net(6, 8, 2), sample()
    assert rehearsed(module, drawn, steps=0).rehearsal is None
    batch = drawn.batches[0]
    assert gradcheck.diagnose(module, data=(batch.args[0], batch.target), rehearse=0).rehearsal is None
