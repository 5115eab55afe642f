"""If, Loop and Scan against ONNX Runtime, and their gradients: also in what a body takes from around it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from runtime_oracle import Array, by_runtime

from gradcheck_cli.loaders.onnx_model.build import build

FLOAT, INT, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
RNG = np.random.default_rng(0)


def value(name: str, kind: int = FLOAT, shape: list[int] | None = None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def node(operator: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    names = [name if name != "-" else "" for name in inputs.split()]
    return helper.make_node(operator, names, outputs.split(), **attributes)


def model(
    nodes: list[onnx.NodeProto], inputs: list[onnx.ValueInfoProto], outputs: list[str], opset: int
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "g", inputs, [onnx.ValueInfoProto(name=name) for name in outputs])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10 if opset > 8 else 4)


def body(
    nodes: list[onnx.NodeProto], inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto]
) -> onnx.GraphProto:
    return helper.make_graph(nodes, "body", inputs, outputs)


def same(made: onnx.ModelProto, arrays: list[Array]) -> None:
    expected = by_runtime(made, arrays)
    found = build(made, outputs=tuple(output.name for output in made.graph.output))(*map(torch.from_numpy, arrays))
    results = list(found.values()) if isinstance(found, dict) else [found]
    for one, other in zip(results, expected, strict=True):
        np.testing.assert_allclose(one.detach().numpy(), other, rtol=1e-5, atol=1e-6)


def gradient_agrees(made: onnx.ModelProto, arrays: list[Array]) -> None:
    module = build(made, outputs=tuple(output.name for output in made.graph.output))
    floating = [number for number, x in enumerate(arrays) if x.dtype == np.float32]
    leaves = [torch.from_numpy(arrays[number]).double().requires_grad_() for number in floating]

    def run(*moved: torch.Tensor) -> tuple[torch.Tensor, ...]:
        values: list[Any] = [torch.from_numpy(np.asarray(x)) for x in arrays]
        for number, x in zip(floating, moved, strict=True):
            values[number] = x
        found = module(*values)
        return tuple(found.values()) if isinstance(found, dict) else (found,)

    assert torch.autograd.gradcheck(run, leaves, fast_mode=True)


def branches(opset: int) -> onnx.ModelProto:
    """c ? x·w : tanh(x), both from around the branches."""
    yes = body([node("Mul", "x1 x2", "a")], [], [value("a")])
    no = body([node("Tanh", "x1", "b")], [], [value("b")])
    chosen = node("If", "x0", "y", then_branch=yes, else_branch=no)
    return model([chosen], [value("x0", BOOL, []), value("x1", FLOAT, [3]), value("x2", FLOAT, [3])], ["y"], opset)


@pytest.mark.parametrize("condition", [True, False])
@pytest.mark.parametrize("opset", [7, 11, 13, 17, 21])
def test_if_is_onnx_runtimes(condition: bool, opset: int) -> None:
    arrays: list[Array] = [np.array(condition), *(RNG.standard_normal(3).astype(np.float32) for _ in range(2))]
    same(branches(opset), arrays)
    gradient_agrees(branches(opset), arrays)


def powers(opset: int) -> onnx.ModelProto:
    """s ← tanh(s·w) for n rounds, or until |s| is small; all s on the way, and i·s."""
    nodes = [
        node("Mul", "s x3", "t"),
        node("Tanh", "t", "u"),
        node("ReduceSum", "u", "sum", keepdims=0),
        node("Abs", "sum", "size"),
        node("Constant", "", "low", value=onnx.numpy_helper.from_array(np.array(0.05, np.float32))),
        node("Greater", "size low", "on"),
        node("Cast", "i", "fi", to=FLOAT),
        node("Mul", "fi u", "iu"),
        node("Identity", "u", "seen"),
    ]
    inputs = [value("i", INT, []), value("going", BOOL, []), value("s", FLOAT, [3])]
    outputs = [value("on", BOOL, []), value("u", FLOAT, [3]), value("seen", FLOAT, [3]), value("iu", FLOAT, [3])]
    loop = node("Loop", "x0 x1 x2", "y all weighted", body=body(nodes, inputs, outputs))
    given = [value("x0", INT, []), value("x1", BOOL, []), value("x2", FLOAT, [3]), value("x3", FLOAT, [3])]
    return model([loop], given, ["y", "all", "weighted"], opset)


@pytest.mark.parametrize("rounds", [0, 1, 4, 50])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("opset", [8, 11, 13, 17])
def test_loop_is_onnx_runtimes(rounds: int, first: bool, opset: int) -> None:
    arrays: list[Array] = [
        np.array(rounds),
        np.array(first),
        *(RNG.standard_normal(3).astype(np.float32) for _ in range(2)),
    ]
    same(powers(opset), arrays)
    if rounds == 4 and first:
        gradient_agrees(powers(opset), arrays)


def cell(rank: int = 1) -> onnx.GraphProto:
    """s ← tanh(s·w + x); gives s, and x·s."""
    nodes = [node("Mul", "s w", "a"), node("Add", "a x", "b"), node("Tanh", "b", "t"), node("Mul", "x t", "out")]
    shape = [3] * rank
    return body(
        nodes,
        [value("s", FLOAT, shape), value("x", FLOAT, shape)],
        [value("t", FLOAT, shape), value("out", FLOAT, shape)],
    )


@pytest.mark.parametrize("direction", [0, 1])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("opset", [9, 11, 17])
def test_scan_is_onnx_runtimes(direction: int, axis: int, opset: int) -> None:
    if opset == 9 and axis < 0:
        pytest.skip("it counts from the front in this version")
    options = {"scan_input_axes": [axis], "scan_output_axes": [axis], "scan_input_directions": [direction]}
    scan = node(
        "Scan", "x0 x1", "y all", body=cell(), num_scan_inputs=1, scan_output_directions=[1 - direction], **options
    )
    shape = [3, 4] if axis else [4, 3]
    made = model(
        [scan], [value("x0", FLOAT, [3]), value("x1", FLOAT, shape), value("w", FLOAT, [3])], ["y", "all"], opset
    )
    made.graph.input[2].name = "w"
    arrays = [RNG.standard_normal(s).astype(np.float32) for s in ([3], shape, [3])]
    feed = dict(zip(("x0", "x1", "w"), arrays, strict=True))
    expected = by_names(made, feed)
    found = build(made, outputs=("y", "all"))(*map(torch.from_numpy, arrays))
    for one, other in zip(found.values(), expected, strict=True):
        np.testing.assert_allclose(one.numpy(), other, rtol=1e-5, atol=1e-6)
    gradient_agrees(made, arrays)


def by_names(made: onnx.ModelProto, feed: dict[str, Array]) -> list[Array]:
    import onnxruntime

    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    found: list[Array] = session.run(None, feed)
    return found


@pytest.mark.parametrize("lengths", [None, [4, 2]])
@pytest.mark.parametrize("direction", [0, 1])
def test_scan_of_version_8_goes_over_a_batch(lengths: list[int] | None, direction: int) -> None:
    scan = node(
        "Scan", "n x0 x1" if lengths else "- x0 x1", "y all", body=cell(), num_scan_inputs=1, directions=[direction]
    )
    given = [value("x0", FLOAT, [2, 3]), value("x1", FLOAT, [2, 4, 3]), value("w", FLOAT, [3])]
    made = model([scan], [*([value("n", INT, [2])] if lengths else []), *given], ["y", "all"], 8)
    arrays = [RNG.standard_normal(s).astype(np.float32) for s in ((2, 3), (2, 4, 3), (3,))]
    feed = dict(zip(("x0", "x1", "w"), arrays, strict=True)) | ({"n": np.array(lengths)} if lengths else {})
    expected = by_names(made, feed)
    ordered = [*([np.array(lengths)] if lengths else []), *arrays]
    found = build(made, outputs=("y", "all"))(*map(torch.from_numpy, ordered))
    for one, other in zip(found.values(), expected, strict=True):
        np.testing.assert_allclose(one.numpy(), other, rtol=1e-5, atol=1e-6)
    gradient_agrees(made, ordered)


def test_a_loop_of_no_rounds_gives_empty_scan_outputs_of_the_declared_type() -> None:
    found = build(powers(17), outputs=("y", "all"))(torch.tensor(0), torch.tensor(True), torch.ones(3), torch.ones(3))
    assert found["all"].shape == (0, 3)
    assert found["all"].dtype == torch.float32
