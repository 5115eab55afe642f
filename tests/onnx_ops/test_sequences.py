"""Sequences and optionals: as ONNX Runtime has them, with gradients through their elements."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from runtime_oracle import by_runtime

from gradcheck_cli.loaders.onnx_model import values
from gradcheck_cli.loaders.onnx_model.build import build
from gradcheck_cli.loaders.onnx_model.program import NodeError

A, B = (np.random.default_rng(seed).standard_normal((2, 3)).astype(np.float32) for seed in (0, 1))


def chain(*nodes: onnx.NodeProto, opset: int = 17, constants: dict[str, Any] | None = None) -> onnx.ModelProto:
    """A model of inputs x0, x1 (2, 3) and the output y."""
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 3]) for name in ("x0", "x1")]
    initial = [onnx.numpy_helper.from_array(np.array(value), name) for name, value in (constants or {}).items()]
    graph = helper.make_graph(list(nodes), "g", inputs, [onnx.ValueInfoProto(name="y")], initial)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def node(operator: str, *names: str, to: str = "y", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, list(names), [to], **attributes)


MADE = node("SequenceConstruct", "x0", "x1", "x0", to="s")
CHAINS = {
    "at": chain(MADE, node("SequenceAt", "s", "one"), constants={"one": np.int64(1)}),
    "at the end": chain(MADE, node("SequenceAt", "s", "place"), constants={"place": np.int64(-2)}),
    "length": chain(MADE, node("SequenceLength", "s")),
    "erase the last": chain(MADE, node("SequenceErase", "s", to="t"), node("ConcatFromSequence", "t", axis=0)),
    "erase one": chain(
        MADE,
        node("SequenceErase", "s", "p", to="t"),
        node("ConcatFromSequence", "t", axis=1),
        constants={"p": np.int64(0)},
    ),
    "stack": chain(MADE, node("ConcatFromSequence", "s", axis=-1, new_axis=1)),
    "insert": chain(
        node("SequenceEmpty", to="e"),
        node("SequenceInsert", "e", "x1", to="f"),
        node("SequenceInsert", "f", "x0", "p", to="s"),
        node("ConcatFromSequence", "s", axis=0),
        constants={"p": np.int64(0)},
    ),
    "split": chain(
        node("SplitToSequence", "x0", "p", to="s", axis=1),
        node("ConcatFromSequence", "s", axis=0),
        constants={"p": np.int64(1)},
    ),
    "split without the axis": chain(
        node("SplitToSequence", "x0", to="s", axis=1, keepdims=0), node("ConcatFromSequence", "s", axis=0)
    ),
    "optional": chain(node("Optional", "x1", to="o"), node("OptionalGetElement", "o")),
    "optional sequence": chain(
        MADE, node("Optional", "s", to="o"), node("OptionalGetElement", "o", to="t"), node("SequenceLength", "t")
    ),
    "has": chain(node("Optional", "x1", to="o"), node("OptionalHasElement", "o")),
}


@pytest.mark.parametrize("name", CHAINS)
def test_chains_are_onnx_runtimes(name: str) -> None:
    expected = by_runtime(CHAINS[name], [A, B])[0]
    found = build(CHAINS[name], outputs=("y",))(torch.from_numpy(A), torch.from_numpy(B))
    np.testing.assert_array_equal(values.from_torch(found), expected)


@pytest.mark.parametrize("name", ["at", "erase one", "stack", "insert", "split", "optional"])
def test_gradients_go_through_the_elements(name: str) -> None:
    inputs = [torch.from_numpy(x).double().requires_grad_() for x in (A, B)]
    module = build(CHAINS[name], outputs=("y",))
    assert torch.autograd.gradcheck(lambda *x: module(*x), inputs, fast_mode=True)


def test_what_is_not_there_is_said() -> None:
    model = chain(MADE, node("SequenceAt", "s", "p"), constants={"p": np.int64(3)})
    with pytest.raises(NodeError, match="a sequence of 3 elements has no position 3"):
        build(model, outputs=("y",))(torch.from_numpy(A), torch.from_numpy(B))
    kind = helper.make_tensor_type_proto(TensorProto.FLOAT, [2, 3])
    model = chain(node("Optional", to="o", type=kind), node("OptionalGetElement", "o"))
    with pytest.raises(NodeError, match="holds nothing"):
        build(model, outputs=("y",))(torch.from_numpy(A), torch.from_numpy(B))
