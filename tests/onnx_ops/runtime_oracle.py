"""One operator as a model of its own, run by our interpreter and by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import helper

from gradcheck_cli.loaders.onnx_model import values
from gradcheck_cli.loaders.onnx_model.build import build

Array = np.ndarray[Any, Any]
onnxruntime.set_default_logger_severity(4)


def model_of(
    operator: str,
    arrays: Sequence[Array | None],
    outputs: Sequence[str],
    *,
    domain: str = "",
    opset: int = 17,
    more: Mapping[str, Any] | None = None,
    **attributes: Any,
) -> onnx.ModelProto:
    """A model of one node.

    Args:
        operator: its name.
        arrays: its inputs, None for one that is left out.
        outputs: their names; one that is empty is not asked for.
        domain: of the operator.
        opset: its version.
        more: attributes as `attributes`, whatever they are called.
        attributes: the node's.
    """
    names = ["" if array is None else f"x{i}" for i, array in enumerate(arrays)]
    node = helper.make_node(operator, names, list(outputs), domain=domain, **attributes, **(more or {}))
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in zip(names, arrays, strict=True)
        if array is not None
    ]
    results = [onnx.ValueInfoProto(name=name) for name in outputs if name]
    opsets = [helper.make_opsetid("", opset if not domain else 17)]
    opsets += [helper.make_opsetid(domain, opset)] if domain else []
    return helper.make_model(helper.make_graph([node], "g", inputs, results), opset_imports=opsets, ir_version=10)


def by_runtime(model: onnx.ModelProto, arrays: Sequence[Array | None]) -> list[Array]:
    """The outputs that ONNX Runtime gives, not optimised."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found: list[Array] = session.run(None, {f"x{i}": a for i, a in enumerate(arrays) if a is not None})
    return found


def by_us(model: onnx.ModelProto, arrays: Sequence[Any]) -> list[Any]:
    """The outputs of our interpreter for numpy arrays or tensors."""
    module = build(model, outputs=tuple(output.name for output in model.graph.output)).eval()
    given = [values.to_torch(a) if isinstance(a, np.ndarray) else a for a in arrays if a is not None]
    found = module(*given)
    return list(found.values()) if isinstance(found, dict) else [found]


def assert_same(
    operator: str,
    arrays: Sequence[Array | None],
    outputs: Sequence[str] = ("y",),
    *,
    rtol: float = 1e-4,
    atol: float = 1e-5,
    unlike: Sequence[str] = (),
    same_dtype: bool = True,
    **options: Any,
) -> None:
    """Our outputs are those of ONNX Runtime, but for those in `unlike`; `options` as for `model_of`."""
    model = model_of(operator, arrays, outputs, **options)
    expected = by_runtime(model, arrays)
    with torch.no_grad():
        found = by_us(model, arrays)
    for name, one, other in zip([o for o in outputs if o], found, expected, strict=True):
        result = np.asarray(values.from_torch(one))
        wanted = np.asarray(other)
        if name in unlike:
            continue
        assert result.shape == wanted.shape, f"{name}: shape {result.shape}, expected {wanted.shape}"
        if wanted.dtype == object or wanted.dtype.kind in "US":
            assert result.astype(str).tolist() == wanted.astype(str).tolist()
            continue
        assert result.dtype == wanted.dtype or not same_dtype, f"{name}: dtype {result.dtype}, expected {wanted.dtype}"
        np.testing.assert_allclose(
            result.astype(np.float64), wanted.astype(np.float64), rtol=rtol, atol=atol, err_msg=name
        )
