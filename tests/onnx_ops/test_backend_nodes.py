"""The ONNX backend node tests: forward; with floating inputs and outputs, gradients against finite differences."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest
import torch
from backend_cases import Case, all_cases, check_forward, floating_cases
from backend_exceptions import CONSTANT, FORWARD, NAN_IN_THE_EXPANSION, WITHOUT_GRADIENT
from backend_gradients import check_gradient

CASES = {case.name: case for case in all_cases()}
PLAIN = list(floating_cases(expanded=False))
EXPANDED = [case for case in floating_cases() if case.expanded]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    torch.set_num_threads(threads)


def differentiable(case: Case) -> bool:
    return case.operator not in WITHOUT_GRADIENT and case.name not in CONSTANT


@pytest.mark.parametrize("name", [name for name in CASES if name not in FORWARD])
def test_outputs_are_those_of_the_standard(name: str) -> None:
    check_forward(CASES[name])


@pytest.mark.parametrize("name", FORWARD)
def test_exceptions_are_still_needed(name: str) -> None:
    with pytest.raises(AssertionError):
        check_forward(CASES[name])


@pytest.mark.parametrize("name", [case.name for case in PLAIN if differentiable(case)])
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    assert check_gradient(CASES[name]), "no gradient reached a floating input"


@pytest.mark.slow
@pytest.mark.parametrize("name", [case.name for case in EXPANDED if case.name not in NAN_IN_THE_EXPANSION])
def test_gradients_through_the_functions_of_the_standard_are_those_of_finite_differences(name: str) -> None:
    check_gradient(CASES[name])


def test_almost_all_are_compared() -> None:
    """At least 840 of 863 with floating inputs and outputs were asked for; there are more now."""
    assert len(PLAIN) >= 863
    assert len(FORWARD.keys() & {case.name for case in PLAIN}) <= 2
    assert sum(map(differentiable, PLAIN)) >= 0.94 * len(PLAIN)
    assert FORWARD.keys() | CONSTANT.keys() | set(NAN_IN_THE_EXPANSION) <= CASES.keys()
    assert WITHOUT_GRADIENT.keys() <= {case.operator for case in PLAIN}
