"""What of a measurement is kept in the report."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import gradcheck_cli as gradcheck
from gradcheck_cli.assemble import TIME_STEPS, evenly


@pytest.mark.parametrize("steps", [9, 300])
def test_a_course_through_time_begins_at_the_last_step_and_reaches_the_first(steps: int) -> None:
    torch.manual_seed(0)
    diagnosis = gradcheck.diagnose(nn.RNN(2, 4, batch_first=True), torch.randn(3, steps, 2), loss="none", rehearse=0)
    ((layer, course),) = diagnosis.through_time.items()
    assert layer == diagnosis.layers[0].name
    assert len(course.back) == len(course.shares) == min(steps - 1, TIME_STEPS)
    assert (course.back[0], course.back[-1]) == (1, steps - 1)
    assert course.shares[0] == 1.0
    assert course.shares[-1] == diagnosis.layers[0].readings.time_reach


def test_evenly_keeps_both_ends() -> None:
    assert evenly(5, 9) == [0, 1, 2, 3, 4]
    assert evenly(101, 5) == [0, 25, 50, 75, 100]
