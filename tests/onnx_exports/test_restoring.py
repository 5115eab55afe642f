"""What exporters do to parameters, undone: one small graph for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from gradcheck_cli.loaders.onnx_model.build import build
from gradcheck_cli.loaders.onnx_model.module import OnnxModule
from gradcheck_cli.loaders.onnx_model.origins import may_be_parameter

RANDOM = np.random.default_rng(0)
KIND = "pkg.torch.export.graph_signature.InputSpec.kind"
FOLDED = "pkg.onnxscript.optimizer.folded_from"
SCOPES = "pkg.torch.onnx.name_scopes"


def _random(*shape: int) -> np.ndarray[Any, Any]:
    return RANDOM.normal(size=shape).astype(np.float32)


def _built(
    nodes: Sequence[onnx.NodeProto],
    weights: Mapping[str, np.ndarray[Any, Any]],
    notes: Mapping[str, tuple[str, str]] | None = None,
    kind: int = TensorProto.FLOAT,
    opset: int = 17,
) -> OnnxModule:
    """A model of one input ``x`` and one output ``y``; `notes`: initialiser → (key, value) of its metadata."""
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", kind, None)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    for name, (key, value) in (notes or {}).items():
        graph.value_info.add(name=name).metadata_props.add(key=key, value=value)
    return build(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])).eval()


def _scoped(operator: str, inputs: list[str], outputs: list[str], path: str, **attributes: Any) -> onnx.NodeProto:
    """A node as the newer exporter writes it, in the module at `path`."""
    node = helper.make_node(operator, inputs, outputs, **attributes)
    scopes = ["", *([path] if path else []), operator.lower()]
    node.metadata_props.add(key=SCOPES, value=str(scopes))
    return node


def _parameters(module: OnnxModule) -> dict[str, tuple[int, ...]]:
    return {name: tuple(parameter.shape) for name, parameter in module.named_parameters()}


def test_a_weight_written_anew_for_each_use_is_one() -> None:
    weight = _random(4, 4)
    nodes = [
        helper.make_node("MatMul", ["x", "onnx::MatMul_7"], ["h"], name="/score/MatMul"),
        helper.make_node("MatMul", ["h", "onnx::MatMul_9"], ["y"], name="/score_1/MatMul"),
    ]
    module = _built(nodes, {"onnx::MatMul_7": weight, "onnx::MatMul_9": weight.copy()})
    assert _parameters(module) == {"score.weight": (4, 4)}
    x = torch.randn(3, 4)
    twin = torch.tensor(weight, requires_grad=True)
    (x @ twin @ twin).sum().backward()  # type: ignore[no-untyped-call]
    module(x).sum().backward()
    torch.testing.assert_close(module.get_parameter("score.weight").grad, twin.grad)


def test_equal_weights_of_two_modules_stay_two() -> None:
    weight = _random(4, 4)
    nodes = [
        helper.make_node("MatMul", ["x", "onnx::MatMul_7"], ["h"], name="/first/MatMul"),
        helper.make_node("MatMul", ["h", "onnx::MatMul_9"], ["y"], name="/second/MatMul"),
    ]
    module = _built(nodes, {"onnx::MatMul_7": weight, "onnx::MatMul_9": weight.copy()})
    assert set(_parameters(module)) == {"first.weight", "second.weight"}


def test_a_tied_head_reads_its_table() -> None:
    table = _random(6, 4)
    nodes = [
        helper.make_node("Gather", ["wte.weight", "x"], ["h"], name="/wte/Gather"),
        helper.make_node("MatMul", ["h", "onnx::MatMul_5"], ["y"], name="/lm_head/MatMul"),
    ]
    module = _built(
        nodes, {"wte.weight": table, "onnx::MatMul_5": np.ascontiguousarray(table.T)}, kind=TensorProto.INT64
    )
    assert _parameters(module) == {"wte.weight": (6, 4)}
    ids = torch.tensor([1, 5, 1])
    twin = torch.tensor(table, requires_grad=True)
    (twin[ids] @ twin.T).square().sum().backward()  # type: ignore[no-untyped-call]
    module(ids).square().sum().backward()
    torch.testing.assert_close(module.get_parameter("wte.weight").grad, twin.grad)


def test_a_folded_constant_gets_the_name_of_its_parameter() -> None:
    nodes = [_scoped("MatMul", ["x", "val_3"], ["h"], "head"), _scoped("Mul", ["h", "val_4"], ["y"], "")]
    notes = {
        "val_3": (FOLDED, "['head.weight', 'val_1']"),
        "val_4": (FOLDED, "['arange', 'rotary.inv_freq']"),
        "other": (KIND, "PARAMETER"),
    }
    module = _built(nodes, {"val_3": _random(4, 5), "val_4": _random(5), "other": _random(1)}, notes)
    assert _parameters(module) == {"head.weight": (4, 5)}


def test_a_repeated_token_is_one() -> None:
    token = _random(1, 1, 4)
    nodes = [_scoped("Concat", ["expand", "x"], ["y"], "", axis=1)]
    notes = {"expand": (FOLDED, "['cls_token', 'val_1']"), "other": (KIND, "PARAMETER")}
    module = _built(nodes, {"expand": np.repeat(token, 3, 0), "other": _random(1)}, notes)
    assert _parameters(module) == {"cls_token": (1, 1, 4)}
    x = torch.randn(3, 2, 4)
    torch.testing.assert_close(module(x)[:, :1], torch.tensor(token).expand(3, 1, 4))


def test_a_parametrised_weight_that_was_computed_ahead() -> None:
    nodes = [_scoped("Conv", ["x", "mul"], ["y"], "conv")]
    folded = "['conv.parametrizations.weight.original0', 'conv.parametrizations.weight.original1', 'norm']"
    module = _built(nodes, {"mul": _random(3, 2, 1, 1)}, {"mul": (FOLDED, folded)})
    assert _parameters(module) == {"conv.weight": (3, 2, 1, 1)}


def test_buffers_are_no_parameters() -> None:
    nodes = [
        _scoped("Add", ["x", "table"], ["h"], ""),
        _scoped("Exp", ["log_scale"], ["s"], ""),
        _scoped("Mul", ["h", "s"], ["y"], ""),
    ]
    notes = {"table": (KIND, "BUFFER"), "log_scale": (KIND, "PARAMETER")}
    module = _built(nodes, {"table": _random(4), "log_scale": _random(1)}, notes)
    assert _parameters(module) == {"log_scale": (1,)}


def test_a_new_batch_norm_does_not_learn_its_statistics() -> None:
    """Its mean is equal to its bias, its variance to its weight, and exporters write equal values once."""
    names = ["bn.weight", "bn.bias", "bn.bias", "bn.weight"]
    nodes = [_scoped("BatchNormalization", ["x", *names], ["y"], "bn")]
    weights = {"bn.weight": np.ones(3, np.float32), "bn.bias": np.zeros(3, np.float32)}
    module = _built(nodes, weights, dict.fromkeys(weights, (KIND, "PARAMETER")))
    assert set(_parameters(module)) == {"bn.weight", "bn.bias"}
    x = torch.randn(4, 3)
    module(x).square().sum().backward()
    twin = torch.nn.BatchNorm1d(3).eval()
    twin(x).square().sum().backward()
    torch.testing.assert_close(module.get_parameter("bn.bias").grad, twin.bias.grad)
    torch.testing.assert_close(module.get_parameter("bn.weight").grad, twin.weight.grad)


def test_a_shared_initialiser_keeps_its_owner() -> None:
    """The first module that reads it need not be the one that it is called after."""
    nodes = [
        _scoped("LayerNormalization", ["x", "second.weight", "second.bias"], ["h"], "first"),
        _scoped("LayerNormalization", ["h", "second.weight", "second.bias"], ["y"], "second"),
    ]
    weights = {"second.weight": np.ones(4, np.float32), "second.bias": np.zeros(4, np.float32)}
    module = _built(nodes, weights, dict.fromkeys(weights, (KIND, "PARAMETER")))
    assert set(_parameters(module)) == {"first.weight", "first.bias", "second.weight", "second.bias"}
    assert module.get_parameter("first.weight") is not module.get_parameter("second.weight")


def test_group_norm_is_one_operator_again() -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["a"], name="/norm/Reshape"),
        helper.make_node(
            "InstanceNormalization", ["a", "ones", "zeros"], ["b"], name="/norm/InstanceNormalization", epsilon=1e-3
        ),
        helper.make_node("Shape", ["x"], ["s"], name="/norm/Shape"),
        helper.make_node("Reshape", ["b", "s"], ["c"], name="/norm/Reshape_1"),
        helper.make_node("Mul", ["c", "onnx::Mul_5"], ["d"], name="/norm/Mul"),
        helper.make_node("Add", ["d", "onnx::Add_6"], ["y"], name="/norm/Add"),
    ]
    weight, bias = _random(6, 1, 1), _random(6, 1, 1)
    weights = {
        **{"shape": np.array([0, 2, -1]), "ones": np.ones(2, np.float32), "zeros": np.zeros(2, np.float32)},
        **{"onnx::Mul_5": weight, "onnx::Add_6": bias},
    }
    module = _built(nodes, weights)
    assert [step.operator for step in module.steps] == ["GroupNormalization"]
    assert _parameters(module) == {"norm.weight": (6,), "norm.bias": (6,)}
    x = torch.randn(2, 6, 4, 4)
    expected = torch.nn.functional.group_norm(x, 2, torch.tensor(weight).flatten(), torch.tensor(bias).flatten(), 1e-3)
    torch.testing.assert_close(module(x), expected)


def test_a_weight_that_goes_round_in_a_loop() -> None:
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["h_in", "w_in"], ["m"], name="net/while/MatMul"),
            helper.make_node("Tanh", ["m"], ["h_out"], name="net/while/Tanh"),
            helper.make_node("Identity", ["c_in"], ["c_out"]),
            helper.make_node("Identity", ["w_in"], ["w_out"]),
        ],
        "body",
        [helper.make_tensor_value_info(n, t, s) for n, t, s in (
            ("i", TensorProto.INT64, []), ("c_in", TensorProto.BOOL, []),
            ("h_in", TensorProto.FLOAT, None), ("w_in", TensorProto.FLOAT, None),
        )],
        [helper.make_tensor_value_info(n, t, None) for n, t in (
            ("c_out", TensorProto.BOOL), ("h_out", TensorProto.FLOAT), ("w_out", TensorProto.FLOAT),
        )],
    )  # fmt: skip
    loop = helper.make_node("Loop", ["count", "", "x", "kernel:0"], ["y", "last"], name="net/while", body=body)
    module = _built([loop], {"count": np.array(3), "kernel:0": 0.3 * _random(4, 4)})
    assert list(_parameters(module).values()) == [(4, 4)]
    module(torch.randn(2, 4)).sum().backward()
    assert all(parameter.grad is not None for parameter in module.parameters())


def test_the_path_of_a_module_that_is_not_called_itself() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "onnx::MatMul_3"], ["h"], name="/decoder/proj/MatMul"),
        helper.make_node("Add", ["h", "model.decoder.proj.bias"], ["y"], name="/decoder/proj/Add"),
    ]
    module = _built(nodes, {"onnx::MatMul_3": _random(4, 5), "model.decoder.proj.bias": _random(5)})
    assert set(_parameters(module)) == {"model.decoder.proj.weight", "model.decoder.proj.bias"}


def test_names_of_keras() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "functional_1/stem_1/convolution/merged_input:0"], ["a"], name="Conv__12"),
        helper.make_node("Relu", ["a"], ["b"], name="functional_1/act_1/Relu"),
        helper.make_node(
            "MatMul",
            ["b", "functional_1/head_1/Cast/ReadVariableOp:0"],
            ["y"],
            name="functional_1/head_1/Tensordot/MatMul",
        ),
    ]
    weights = {nodes[0].input[1]: _random(2, 2, 1, 1), nodes[2].input[1]: _random(3, 4)}
    assert set(_parameters(_built(nodes, weights))) == {"stem.weight", "head.weight"}


def test_values_of_the_exporter_are_no_parameters() -> None:
    for name in (
        "val_12",
        "expand_1",
        "arange",
        "scalar_tensor_default_2",
        "getitem_3",
        "convert_element_type_default",
    ):
        assert not may_be_parameter(name)
    for name in ("cls_token", "logit_scale", "layers.0.gamma", "pos_embed"):
        assert may_be_parameter(name)
