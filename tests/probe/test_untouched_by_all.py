"""After a whole diagnosis, every stage switched on, model and process are as before: wherever in it the forward raises."""
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import copy
import hashlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from model_state import assert_untouched
from torch import Tensor, nn
from torch.nn import functional as F

import gradcheck_cli as gradcheck
from gradcheck_cli import pipeline
from gradcheck_cli.errors import GradcheckError
from gradcheck_cli.rehearsal.steps import Stepper

STEPS, DRAWS = 3, 2


class Counter:
    """Counts the calls of a forward, whatever is made of its module's attributes, and lets one of them fail."""

    def __init__(self, fails_at: int, error: type[BaseException]) -> None:
        self.calls, self.fails_at, self.error = 0, fails_at, error

    def count(self) -> None:
        self.calls += 1
        if self.calls == self.fails_at:
            raise self.error("not today")


class Sick(nn.Module):
    """Gates, faint matrices, a cut and noise from every source: each of the second looks has a reason to look."""

    def __init__(self, fails_at: int = 0, error: type[BaseException] = ValueError) -> None:
        super().__init__()
        self.counter = Counter(fails_at, error)
        self.embed = nn.Embedding(7, 6)
        self.norm = nn.BatchNorm1d(6)
        self.faint = nn.Linear(6, 6)
        self.cut = nn.Linear(6, 6)
        self.rnn = nn.LSTM(6, 6, batch_first=True)
        self.branch, self.gate = nn.Linear(6, 6), nn.Linear(6, 6)
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(6, 3)
        nn.init.zeros_(self.gate.weight)
        nn.init.normal_(self.faint.weight, std=1e-8)

    def forward(self, words: Tensor) -> Tensor:
        """(B, S) → (B, 3)."""
        x = self.norm(self.embed(words).mean(1))
        x = x + self.faint(x) + self.cut(x).detach() + (random.random() + np.random.rand()) * 1e-3
        self.counter.count()
        y = self.rnn(self.embed(words))[0][:, -1]
        logits: Tensor = self.head(self.drop(x + y + self.gate(self.branch(x).tanh())))
        return logits


def sample() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(7, (24, 5), generator=generator), torch.randint(3, (24,), generator=generator)


def in_full(model: nn.Module | Path, **options: Any) -> gradcheck.Diagnosis:
    """Every stage switched on."""
    return gradcheck.diagnose(
        model, sample(), loss=F.cross_entropy, batch_size=12, precision="fp16", reinit=DRAWS, rehearse=STEPS, **options
    )


def made(**how: Any) -> Sick:
    torch.manual_seed(3)
    model = Sick(**how)
    model.head.weight.grad = torch.ones_like(model.head.weight)
    model.embed.weight.requires_grad_(False)
    model.drop.eval()
    return model


def test_every_stage_really_ran() -> None:
    model = made()
    found = in_full(model, lr=0.1)
    assert found.initialisation is not None
    assert found.initialisation.draws == DRAWS
    assert found.rehearsal is not None
    assert found.rehearsal.steps == STEPS
    codes = {finding.code for finding in found.findings}
    assert {"GC302", "GC902"} <= codes  # the watched pass, and the open gates
    assert model.counter.calls > 20


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam", "adamw"])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_a_whole_diagnosis(optimizer: Any, mode: Any) -> None:
    model = made()
    inputs = sample()
    before = copy.deepcopy(inputs)
    assert_untouched(model, lambda: in_full(model, optimizer=optimizer, lr=0.5, mode=mode))
    assert all(torch.equal(one, other) for one, other in zip(inputs, before, strict=True))


def calls_in_full() -> int:
    model = made()
    in_full(model, lr=0.1)
    return model.counter.calls


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_wherever_the_forward_raises(error: type[BaseException]) -> None:
    calls = calls_in_full()
    raised = 0
    for place in range(1, calls + 1, 1 if error is ValueError else 5):
        model = made(fails_at=place, error=error)

        def diagnosed(model: Sick = model) -> None:
            nonlocal raised
            try:
                in_full(model, lr=0.1)
            except (GradcheckError, KeyboardInterrupt):
                raised += 1

        assert_untouched(model, diagnosed)
        assert model.counter.calls >= place
    assert raised > 0


@pytest.mark.parametrize(
    "flag",
    [
        lambda: torch.set_default_dtype(torch.float64),
        lambda: torch.use_deterministic_algorithms(True),
        lambda: torch.set_grad_enabled(False),
        lambda: torch.autograd.set_detect_anomaly(True),
    ],
    ids=["default dtype", "deterministic", "no grad", "anomaly"],
)
def test_a_flag_that_the_caller_has_set_stays(flag: Callable[[], Any]) -> None:
    model = made()
    try:
        flag()
        assert_untouched(model, lambda: in_full(model, lr=0.1))
    finally:
        torch.set_default_dtype(torch.float32)
        torch.use_deterministic_algorithms(False)
        torch.set_grad_enabled(True)
        torch.autograd.set_detect_anomaly(False)


def test_an_embedding_that_rescales_its_rows() -> None:
    model = nn.Sequential(nn.Embedding(7, 6, max_norm=0.5), nn.Flatten(), nn.Linear(30, 3))
    assert_untouched(model, lambda: in_full(model))


def digests(folder: Path) -> dict[str, tuple[str, int]]:
    return {
        path.name: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(folder.iterdir())
    }


@pytest.mark.parametrize("fails", [False, True])
def test_the_files_of_a_run(tmp_path: Path, fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    first = nn.Linear(4, 6)
    net = nn.Sequential(first, nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))
    paths = [tmp_path / f"step_{step}.pt" for step in range(3)]
    for path in paths:
        first.weight.data *= 1.5
        torch.save(net, path)
    before = digests(tmp_path)
    data = torch.randn(24, 4), torch.randint(3, (24,))
    if fails:

        def failing(*_: Any, **__: Any) -> None:
            raise OSError("in the middle")

        monkeypatch.setattr(Stepper, "run", failing)
        with pytest.raises(OSError, match="in the middle"):
            pipeline.diagnose(paths[-1], data, earlier=paths[:-1], lr=0.1)
    else:
        found = pipeline.diagnose(paths[-1], data, earlier=paths[:-1], lr=0.1, precision="fp16", reinit=DRAWS)
        assert found.series is not None
    assert digests(tmp_path) == before
