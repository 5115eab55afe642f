"""RNN, GRU and LSTM against ONNX Runtime on random settings, and against torch's own cells in torch's order of the gates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from runtime_oracle import assert_same
from torch import Tensor, nn

from gradcheck_cli.onnx_ops import recurrent
from gradcheck_cli.onnx_ops.registry import Call, Mode

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
OPERATORS: dict[str, Any] = {"RNN": recurrent.rnn, "GRU": recurrent.gru, "LSTM": recurrent.lstm}
MODULES: dict[str, Any] = {"RNN": nn.RNN, "GRU": nn.GRU, "LSTM": nn.LSTM}
FUNCTIONS = [
    "Relu",
    "Tanh",
    "Sigmoid",
    "Softsign",
    "Softplus",
    "HardSigmoid",
    "LeakyRelu",
    "ThresholdedRelu",
    "ScaledTanh",
    "Elu",
]
CALL = Call(22, (True, True, True), Mode())


def drawn(operator: str, seed: int) -> tuple[list[np.ndarray | None], dict[str, Any]]:
    """Inputs and attributes of a layer with 5 steps, 3 samples, 4 inputs and 6 units."""
    rng = np.random.default_rng(seed)
    direction = ["forward", "reverse", "bidirectional"][seed % 3]
    count, gates = 1 + (seed % 3 == 2), GATES[operator]

    def normal(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) * 0.7).astype(np.float32)

    def maybe(value: np.ndarray) -> np.ndarray | None:
        return value if rng.random() < 0.6 else None

    arrays: list[np.ndarray | None] = [normal(5, 3, 4), normal(count, gates * 6, 4), normal(count, gates * 6, 6)]
    arrays += [
        maybe(normal(count, 2 * gates * 6)),
        maybe(rng.permutation([5, 2, 4]).astype(np.int32)),
        maybe(normal(count, 3, 6)),
    ]
    attributes: dict[str, Any] = {"hidden_size": 6, "direction": direction}
    if operator == "LSTM":
        arrays += [maybe(normal(count, 3, 6)), maybe(normal(count, 18))]
        attributes["input_forget"] = int(rng.random() < 0.3)
    if operator == "GRU":
        attributes["linear_before_reset"] = int(rng.integers(0, 2))
    if rng.random() < 0.4:
        attributes["clip"] = 0.8
    return arrays, attributes


@pytest.mark.parametrize("seed", range(24))
@pytest.mark.parametrize("operator", GATES)
def test_it_is_onnx_runtimes(operator: str, seed: int) -> None:
    arrays, attributes = drawn(operator, seed)
    outputs = ["y", "y_h", "y_c"][: 3 if operator == "LSTM" else 2]
    assert_same(operator, arrays, outputs, opset=14, **attributes)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_other_activations_are_onnx_runtimes(function: str) -> None:
    arrays, attributes = drawn("RNN", 0)
    assert_same(
        "RNN", arrays, ["y", "y_h"], opset=14, **attributes,
        activations=[function], activation_alpha=[0.4], activation_beta=[0.6],
    )  # fmt: skip


@pytest.mark.parametrize("opset", [7, 14, 22])
@pytest.mark.parametrize("operator", GATES)
def test_every_version_is_onnx_runtimes(operator: str, opset: int) -> None:
    arrays, attributes = drawn(operator, 5)
    assert_same(operator, arrays, ["y", "y_h"], opset=opset, **attributes)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("operator", GATES)
def test_matrices_of_each_direction_are_in_torchs_order(operator: str, bidirectional: bool) -> None:
    """The values and the gradient of torch's module, whose parameters are taken as they are."""
    torch.manual_seed(0)
    module = MODULES[operator](4, 6, bidirectional=bidirectional).double()
    x = torch.randn(5, 3, 4, dtype=torch.float64)
    suffixes = ["l0", "l0_reverse"][: 1 + bidirectional]

    def held(name: str) -> tuple[Tensor, ...]:
        return tuple(getattr(module, f"{name}_{suffix}") for suffix in suffixes)

    biases = tuple(zip(held("bias_ih"), held("bias_hh"), strict=True))
    options: dict[str, Any] = {"direction": "bidirectional" if bidirectional else "forward"}
    options |= {"linear_before_reset": 1} if operator == "GRU" else {}
    found = OPERATORS[operator](CALL, x, held("weight_ih"), held("weight_hh"), biases, **options)[0]
    expected = module(x)[0]
    merged = found.transpose(1, 2).flatten(2)
    torch.testing.assert_close(merged, expected)
    parameters = list(module.parameters())
    for one, other in zip(
        torch.autograd.grad(merged.square().sum(), parameters),
        torch.autograd.grad(expected.square().sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("operator", GATES)
def test_batch_first_layout_is_the_other_one_turned(operator: str) -> None:
    """ONNX Runtime does not have layout 1."""
    torch.manual_seed(0)
    gates = GATES[operator]
    x, h = torch.randn(5, 3, 4), torch.randn(1, 3, 6)
    w, r = torch.randn(1, gates * 6, 4), torch.randn(1, gates * 6, 6)
    plain = OPERATORS[operator](CALL, x, w, r, None, None, h)
    turned = OPERATORS[operator](CALL, x.transpose(0, 1), w, r, None, None, h.transpose(0, 1), layout=1)
    torch.testing.assert_close(turned[0], plain[0].permute(2, 0, 1, 3))
    torch.testing.assert_close(turned[1], plain[1].transpose(0, 1))


@pytest.mark.parametrize("operator", GATES)
def test_the_gradient_is_that_of_finite_differences(operator: str) -> None:
    torch.manual_seed(1)
    gates = GATES[operator]
    shapes = [(3, 2, 2), (2, gates * 3, 2), (2, gates * 3, 3), (2, 2 * gates * 3)]
    inputs = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]

    def outputs(*given: Tensor) -> tuple[Tensor, ...]:
        found = OPERATORS[operator](CALL, *given, torch.tensor([3, 2]), direction="bidirectional")
        return tuple(value for value in found if value is not None)

    assert torch.autograd.gradcheck(outputs, inputs)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"direction": "sideways"}, "sideways"),
        ({"direction": "bidirectional"}, "1 directions"),
        ({"hidden_size": 7}, "hidden_size is 7"),
        ({"lengths": torch.tensor([9, 1, 1])}, "between 0 and the 5 steps"),
        ({"lengths": torch.tensor([1])}, "3 samples"),
        ({"activations": ["Wave"]}, "Wave"),
    ],
)
def test_parts_that_do_not_fit_are_named(given: dict[str, Any], message: str) -> None:
    lengths = given.pop("lengths", None)
    with pytest.raises(ValueError, match=message):
        OPERATORS["RNN"](CALL, torch.randn(5, 3, 4), torch.randn(1, 6, 4), torch.randn(1, 6, 6), None, lengths, **given)
