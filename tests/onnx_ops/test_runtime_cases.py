"""Operators of ONNX Runtime, and those of the standard without a floating node test: forward and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from runtime_cases import RuntimeCase
from runtime_cases_float import CASES as FLOATS
from runtime_cases_quantised import CASES as QUANTISED
from runtime_oracle import assert_same, by_us, model_of
from torch import Tensor

from gradcheck_cli.onnx_ops import table
from gradcheck_cli.onnx_ops.registry import MICROSOFT

CASES = [*FLOATS, *QUANTISED]
IDS = [f"{number}-{case.name}" for number, case in enumerate(CASES)]


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_outputs_are_the_oracles(case: RuntimeCase) -> None:
    atol = 1.0 if case.like_rounding else case.atol
    options: dict[str, Any] = {"domain": case.domain, "opset": case.opset, "more": case.attributes}
    if case.oracle is None:
        assert_same(case.operator, case.inputs, case.outputs, rtol=case.rtol, atol=atol, **options)
        return
    (found,) = by_us(model_of(case.operator, case.inputs, case.outputs, **options), case.inputs)
    expected = case.oracle(*(torch.from_numpy(x) for x in case.inputs if x is not None))
    torch.testing.assert_close(found, expected, rtol=case.rtol, atol=atol)


WITH_GRADIENT = [(case, name) for case, name in zip(CASES, IDS, strict=True) if case.gradient]


@pytest.mark.parametrize("case", [case for case, _ in WITH_GRADIENT], ids=[name for _, name in WITH_GRADIENT])
def test_gradients_are_those_of_finite_differences(case: RuntimeCase) -> None:
    model = model_of(
        case.operator, case.inputs, case.outputs, domain=case.domain, opset=case.opset, more=case.attributes
    )
    given = [x for x in case.inputs if x is not None]
    floating = [number for number, x in enumerate(given) if x.dtype.kind == "f"]
    leaves = [torch.from_numpy(given[number]).double().requires_grad_() for number in floating]

    def run(*moved: Tensor) -> list[Tensor]:
        values: list[object] = list(given)
        for number, value in zip(floating, moved, strict=True):
            values[number] = value
        return [y for y in by_us(model, values) if isinstance(y, Tensor) and y.is_floating_point()]

    connected = [number for number, y in enumerate(run(*leaves)) if y.requires_grad]
    assert connected
    assert torch.autograd.gradcheck(
        lambda *moved: tuple(run(*moved)[number] for number in connected), leaves, atol=1e-4, fast_mode=True
    )


def test_every_operator_of_onnx_runtime_is_here() -> None:
    ours = {entry.name for entry in table() if entry.domain == MICROSOFT}
    assert ours == {case.operator for case in CASES if case.domain == MICROSOFT}


def test_cases_are_small() -> None:
    assert all(np.size(x) <= 1000 for case in CASES for x in case.inputs if x is not None)
