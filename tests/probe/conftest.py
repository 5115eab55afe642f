from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from looking import ASKED

from gradcheck_cli.probe import batch


@pytest.fixture(autouse=True)
def _one_thread_and_one_seed() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _note_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the instrument draws is noted, so that tests can put the same question by other means."""
    draw = batch.rademacher  # type: ignore[attr-defined]

    def noted(tensors: list[torch.Tensor], generator: Any) -> list[torch.Tensor]:
        drawn = draw(tensors, generator)
        ASKED.append([tensor.clone() for tensor in drawn])
        return drawn

    monkeypatch.setattr(batch, "rademacher", noted)
