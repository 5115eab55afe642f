"""What only the first versions of operators say, which neither node tests nor ONNX Runtime know: against numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper
from runtime_oracle import Array, assert_same, by_us, model_of

from gradcheck_cli.loaders.onnx_model.build import build
from gradcheck_cli.loaders.onnx_model.program import NodeError

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 3, 4, 5)).astype(np.float32)


def ours(operator: str, arrays: list[Array], outputs: tuple[str, ...] = ("y",), **options: Any) -> list[np.ndarray]:
    return [found.detach().numpy() for found in by_us(model_of(operator, arrays, outputs, **options), arrays)]


BINARY: dict[str, Any] = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide, "Pow": np.power}
COMPARING: dict[str, Any] = {"Equal": np.equal, "Less": np.less, "Greater": np.greater}
LOGICAL: dict[str, Any] = {"And": np.logical_and, "Or": np.logical_or, "Xor": np.logical_xor}


def operands(operator: str, shape: tuple[int, ...]) -> tuple[Array, Array]:
    a, b = np.abs(X) + 0.5, np.abs(RNG.standard_normal(shape).astype(np.float32)) + 0.5
    if operator in LOGICAL:
        return a > 1, b > 1
    if operator == "Equal":
        return a.astype(np.int32), b.astype(np.int32)
    return a, b


@pytest.mark.parametrize("operator", [*BINARY, *COMPARING, *LOGICAL])
@pytest.mark.parametrize(
    ("shape", "axis"),
    [((1,), None), ((5,), None), ((4, 5), None), ((3, 4), 1), ((3,), 1), ((2,), 0), ((2, 3, 4, 5), None), ((3, 4), -3)],
)
@pytest.mark.parametrize("opset", [1, 6])
def test_the_second_operand_is_aligned_by_axis(
    operator: str, shape: tuple[int, ...], axis: int | None, opset: int
) -> None:
    a, b = operands(operator, shape)
    options: dict[str, Any] = {"broadcast": 1, "opset": opset} | ({} if axis is None else {"axis": axis})
    start = (4 - len(shape) if axis is None else axis % 4) if shape != (1,) else 3
    aligned = b.reshape(*shape, *[1] * (4 - start - len(shape)))
    function = (BINARY | COMPARING | LOGICAL)[operator]
    np.testing.assert_allclose(ours(operator, [a, b], **options)[0], function(a, aligned), rtol=1e-5)


def test_without_the_attribute_nothing_is_broadcast() -> None:
    with pytest.raises(NodeError, match="broadcast is not set"):
        ours("Add", [X, X[0, 0, 0]], opset=6)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("operator", ["Softmax", "LogSoftmax", "Hardmax"])
def test_softmax_once_made_a_matrix_of_its_input(operator: str, axis: int) -> None:
    assert_same(operator, [X], axis=axis, opset=9)
    rows = torch.from_numpy(X).reshape(int(np.prod(X.shape[:axis])), -1)
    if operator == "Softmax":
        np.testing.assert_allclose(
            ours(operator, [X], axis=axis, opset=1)[0], rows.softmax(1).reshape(X.shape), rtol=1e-5
        )


@pytest.mark.parametrize(("name", "opset"), [("paddings", 1), ("pads", 2)])
@pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
def test_pad_had_its_widths_as_an_attribute(name: str, opset: int, mode: str) -> None:
    options: dict[str, Any] = {name: [0, 0, 1, 2, 0, 0, 2, 1], "mode": mode, "opset": opset}
    more: dict[str, Any] = {"value": 1.5} if mode == "constant" else {}
    expected = np.pad(X, [(0, 0), (0, 0), (1, 2), (2, 1)], mode, **({"constant_values": 1.5} if more else {}))  # type: ignore[call-overload]
    np.testing.assert_array_equal(ours("Pad", [X], **options, **more)[0], expected)


def test_tile_and_top_k_went_along_one_axis() -> None:
    tiles, axis = np.array([2], np.float32), np.array([1], np.float32)
    np.testing.assert_array_equal(ours("Tile", [X, tiles, axis], opset=1)[0], np.tile(X, (1, 2, 1, 1)))
    values, places = ours("TopK", [X], ("v", "i"), k=2, axis=1, opset=1)
    expected = np.argsort(-X, 1)[:, :2]
    np.testing.assert_array_equal(places, expected)
    np.testing.assert_array_equal(values, np.take_along_axis(X, expected, 1))


@pytest.mark.parametrize("slopes", [1, 3])
@pytest.mark.parametrize("opset", [1, 6])
def test_prelu_had_a_slope_a_channel(slopes: int, opset: int) -> None:
    slope = np.linspace(0.1, 0.5, slopes, dtype=np.float32)
    found = ours("PRelu", [X, slope], opset=opset)[0]
    np.testing.assert_allclose(found, np.where(X < 0, X * slope.reshape(-1, 1, 1), X), rtol=1e-6)


def test_lp_pool_had_a_floating_p() -> None:
    found = ours("LpPool", [X], kernel_shape=[2, 2], p=3.0, opset=1)[0]
    windows = np.lib.stride_tricks.sliding_window_view(np.abs(X) ** 3, (2, 2), (2, 3))
    np.testing.assert_allclose(found, windows.sum((-1, -2)) ** (1 / 3), rtol=1e-5)
    found = ours("GlobalLpPool", [X], p=3.0, opset=1)[0]
    np.testing.assert_allclose(found, (np.abs(X) ** 3).sum((2, 3), keepdims=True) ** (1 / 3), rtol=1e-5)


@pytest.mark.parametrize("is_test", [0, 1])
@pytest.mark.parametrize("opset", [1, 6])
def test_batch_normalisation_trained_unless_it_was_a_test(is_test: int, opset: int) -> None:
    scale, shift, mean, var = (RNG.random(3).astype(np.float32) for _ in range(4))
    more: dict[str, Any] = {"consumed_inputs": [0] * 5} if opset == 1 else {}
    found = ours(
        "BatchNormalization", [X, scale, shift, mean, var], is_test=is_test, epsilon=1e-3, opset=opset, **more
    )[0]
    m, v = (mean, var) if is_test else (X.mean((0, 2, 3)), X.var((0, 2, 3)))
    m, v, s, b = (each.reshape(-1, 1, 1) for each in (m, v, scale, shift))
    np.testing.assert_allclose(found, (X - m) / np.sqrt(v + 1e-3) * s + b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("opset", [1, 6])
def test_dropout_had_its_ratio_as_an_attribute(opset: int) -> None:
    assert np.array_equal(ours("Dropout", [X], ratio=0.25, is_test=1, opset=opset)[0], X)


def test_gemm_had_to_be_told_to_broadcast() -> None:
    a, b, c = (RNG.standard_normal(s).astype(np.float32) for s in ((2, 3), (3, 4), (4,)))
    found = ours("Gemm", [a, b, c], broadcast=1, alpha=0.5, beta=2.0, opset=6)[0]
    np.testing.assert_allclose(found, 0.5 * a @ b + 2 * c, rtol=1e-5)


def test_cast_named_its_type() -> None:
    assert ours("Cast", [X], to="INT32", opset=1)[0].dtype == np.int32
    with pytest.raises(NodeError, match="no element type 'WORD'"):
        ours("Cast", [X], to="WORD", opset=1)


def test_concat_and_split_had_defaults() -> None:
    np.testing.assert_array_equal(ours("Concat", [X, X], opset=1)[0], np.concatenate([X, X], 1))
    first, second = ours("Split", [X], ("a", "b"), axis=2, split=[1, 3], opset=1)
    np.testing.assert_array_equal(first, X[:, :, :1])
    np.testing.assert_array_equal(second, X[:, :, 1:])
    lengths = np.array([2, 3], np.int64)
    second = ours("Split", [X, lengths], ("a", "b"), axis=3, opset=1)[1]
    np.testing.assert_array_equal(second, X[..., 2:])


def test_consumed_inputs_mean_nothing() -> None:
    found = ours("Relu", [X], consumed_inputs=[1], opset=1)[0]
    np.testing.assert_array_equal(found, np.maximum(X, 0))


def test_reshape_had_its_shape_as_an_attribute() -> None:
    np.testing.assert_array_equal(ours("Reshape", [X], shape=[0, -1], opset=1)[0], X.reshape(2, -1))


def test_clip_and_reduce_had_attributes() -> None:
    np.testing.assert_array_equal(ours("Clip", [X], min=-0.5, opset=1)[0], np.maximum(X, -0.5))
    np.testing.assert_allclose(ours("ReduceSum", [X], axes=[1, 3], keepdims=0, opset=1)[0], X.sum((1, 3)), rtol=1e-5)


def test_loop_of_version_1_runs() -> None:
    """The condition comes from the body; a scan output collects."""
    body = helper.make_graph(
        [
            helper.make_node("Add", ["s", "s"], ["t"]),
            helper.make_node("Identity", ["going"], ["on"]),
            helper.make_node("Identity", ["t"], ["seen"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("s", TensorProto.FLOAT, [2]),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("t", TensorProto.FLOAT, [2]),
            helper.make_tensor_value_info("seen", TensorProto.FLOAT, [2]),
        ],
    )
    node = helper.make_node("Loop", ["n", "", "x"], ["y", "all"], body=body)
    inputs = [
        helper.make_tensor_value_info("n", TensorProto.INT64, []),
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [2]),
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("y", "all")]
    graph = helper.make_graph([node], "g", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 8)], ir_version=4)
    x = torch.tensor([1.0, -2.0], requires_grad=True)
    found = build(model, outputs=("y", "all"))(torch.tensor(3), x)
    assert found["y"].tolist() == [8, -16]
    assert found["all"].tolist() == [[2, -4], [4, -8], [8, -16]]
    found["all"].sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [14, 14]
