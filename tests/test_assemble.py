"""What of a measurement is kept in the report."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import gradcheck_cli as gradcheck
from gradcheck_cli.assemble import TIME_STEPS, evenly, ranges


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


def test_ranges_join_neighbours() -> None:
    assert ranges([]) == ""
    assert ranges([5]) == "5"
    assert ranges([7, 0, 1, 2, 9, 8]) == "0-2,7-9"
    assert len(ranges(range(100_000))) == 7


def test_units_that_are_off_are_kept_by_their_places() -> None:
    torch.manual_seed(0)
    first, second, last = nn.Linear(4, 300), nn.Linear(300, 8), nn.Linear(8, 2)
    with torch.no_grad():
        first.bias[:150] = -1e3  # more than a finding names
        first.bias[150:] = 1e3
        second.weight.zero_()
        second.bias.zero_().index_fill_(0, torch.tensor([2, 3, 6]), 50.0)
        last.bias.fill_(1e3)
    net = nn.Sequential(first, nn.ReLU(), second, nn.Sigmoid(), last, nn.ReLU())
    units = gradcheck.diagnose(net, torch.randn(64, 4), loss="none", rehearse=0).units
    assert set(units) == {"1", "3"}, "all of the last ReLU are on"
    assert (units["1"].units, units["1"].dead, units["1"].saturated) == (300, "0-149", "")
    assert (units["3"].units, units["3"].dead, units["3"].saturated) == (8, "", "2-3,6")
