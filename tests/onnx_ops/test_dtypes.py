"""Every operator in every floating type, on no values and on single ones: the node tests once more."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from backend_cases import DRAWN, Case, as_input, floating_cases
from runtime_oracle import by_us, model_of

from gradcheck_cli.loaders.onnx_model.build import build

OWN_TYPE = {
    "Cast": "says its type itself",
    "CastLike": "the same",
    "DynamicQuantizeLinear": "its scale is float32",
    "LayerNormalization": "its statistics are float32",
    "Loop": "the type of what it collects is the constants'",
    "MelWeightMatrix": "says its type itself",
}
"""Operators that may give another floating type than goes in, and why."""
SENSITIVE = {
    *("Acos", "Acosh", "Asin", "Atanh"),  # steep at the ends
    *("Mod", "Pow", "Tan", "Range", "STFT", "DFT", "Det", "Sin", "Cos"),
    *("GridSample", "Resize", "Upsample", "RoiAlign", "DeformConv", "AffineGrid"),  # rounded places are other pixels
    *(
        "ArgMax",
        "Hardmax",
        "Round",
        "Floor",
        "Ceil",
        "Sign",
        "TopK",
        "Unique",
        "TreeEnsemble",
        "Adam",
        "NonMaxSuppression",
    ),
    *(
        "Gradient",
        "Adagrad",
        "Momentum",
        "LinearAttention",
        "Dropout",
        "QuantizeLinear",
        "DequantizeLinear",
        "Reciprocal",
        "Div",
    ),
}
"""Operators in which roundings of the input may change the output a lot."""


def by_operator() -> dict[str, list[Case]]:
    found: dict[str, list[Case]] = defaultdict(list)
    for case in floating_cases(expanded=False):
        if case.operator[1] not in DRAWN and "large_number" not in case.name:  # 9999 and 10000 are one half value
            found[case.operator[1]].append(case)
    return found


CASES = by_operator()


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    torch.set_num_threads(threads)


def run(case: Case, dtype: torch.dtype) -> list[Any]:
    module = build(_copy(case), outputs=tuple(output.name for output in case.model.graph.output)).eval().to(dtype)
    torch.manual_seed(0)
    with torch.no_grad():
        found = module(*(_typed(as_input(value), dtype) for value in case.sets[0][0]))
    return list(found.values()) if isinstance(found, dict) else [found]


def _copy(case: Case) -> Any:
    model = type(case.model)()
    model.CopyFrom(case.model)
    return model


def _typed(value: Any, dtype: torch.dtype) -> Any:
    if isinstance(value, list):
        return [_typed(item, dtype) for item in value]
    return value.to(dtype) if isinstance(value, torch.Tensor) and value.dtype == torch.float32 else value


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("operator", CASES)
def test_halves_are_floats_less_precise(operator: str, dtype: torch.dtype) -> None:
    for case in CASES[operator][:6]:
        for result, wanted in zip(run(case, dtype), run(case, torch.float32), strict=True):
            if not isinstance(result, torch.Tensor) or not result.is_floating_point():
                continue
            assert result.shape == wanted.shape
            assert result.dtype == (dtype if wanted.dtype == torch.float32 else wanted.dtype) or operator in OWN_TYPE
            if operator not in SENSITIVE and wanted.numel():
                one, other = result.double(), wanted.double()
                kept = one.isfinite() & other.isfinite()
                largest = float(other[kept].abs().max()) if kept.any() else 0.0
                torch.testing.assert_close(one[kept], other[kept], rtol=0.05, atol=0.05 * largest)


UNARY = [
    *(
        "Abs",
        "Acos",
        "Acosh",
        "Asin",
        "Asinh",
        "Atan",
        "Atanh",
        "Ceil",
        "Celu",
        "Cos",
        "Cosh",
        "Elu",
        "Erf",
        "Exp",
        "Floor",
    ),
    *(
        "Gelu",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "LeakyRelu",
        "Log",
        "Mish",
        "Neg",
        "Reciprocal",
        "Relu",
        "Round",
        "Selu",
    ),
    *("Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Tan", "Tanh", "ThresholdedRelu"),
]


@pytest.mark.parametrize("operator", UNARY)
@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_functions_take_no_values_and_single_ones(operator: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x = torch.full(shape, 0.5, dtype=dtype, requires_grad=True)
    model = model_of(operator, [np.zeros(shape, np.float32)], ["y"], opset=22)
    (y,) = by_us(model, [x])
    assert y.shape == shape
    assert y.dtype == dtype
    y.sum().backward()


@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Mean", "Sum", "PRelu", "Mod"])
@pytest.mark.parametrize(("first", "second"), [((), (3,)), ((2, 3), ()), ((0, 3), (3,)), ((2, 1), (1, 0))])
def test_pairs_broadcast_no_values_and_single_ones(
    operator: str, first: tuple[int, ...], second: tuple[int, ...]
) -> None:
    a, b = (torch.full(shape, 0.5, requires_grad=True) for shape in (first, second))
    together = tuple(np.broadcast_shapes(first, second))
    if operator == "PRelu" and together != first:
        pytest.skip("its slope broadcasts to the input only")
    more = {"fmod": 1} if operator == "Mod" else {}
    model = model_of(operator, [a.detach().numpy(), b.detach().numpy()], ["y"], opset=22, more=more)
    (y,) = by_us(model, [a, b])
    assert y.shape == together
    y.sum().backward()
    assert a.grad is not None
    assert a.grad.shape == first
