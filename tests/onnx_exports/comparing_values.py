"""An export against ONNX Runtime, value by value."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
import onnx
import onnx.inliner
import onnxruntime
import torch
from torch import Tensor

from gradcheck_cli.loaders.onnx_model import build as building
from gradcheck_cli.loaders.onnx_model import values

Feed = dict[str, np.ndarray[Any, Any]]
onnxruntime.set_default_logger_severity(4)


@dataclass
class ValuesResult:
    """How far our values are from ONNX Runtime's."""

    tensors: int = 0
    """Floating ones that were compared: outputs and intermediate."""
    worst: float = 0.0
    """Largest difference, relative to the largest value of the tensor."""
    where: str = ""


def flat(value: Any) -> list[Tensor]:
    """The tensors in nested inputs or outputs, in order."""
    if isinstance(value, Tensor):
        return [value]
    if dataclasses.is_dataclass(value) and not isinstance(value, dict):
        value = vars(value)
    if isinstance(value, dict):
        value = list(value.values())
    return [tensor for item in value for tensor in flat(item)] if isinstance(value, (list, tuple)) else []


def feed_of(model: onnx.ModelProto, inputs: Iterable[Any]) -> dict[str, Tensor]:
    """Name of the input in the file → tensor. Exporters drop inputs that are not used: those must be named after forward's."""
    stored = {value.name for value in model.graph.initializer}
    names = [value.name for value in model.graph.input if value.name not in stored]
    given = flat(list(inputs))
    assert len(names) == len(given), f"inputs {names}, given {len(given)}"
    return dict(zip(names, given, strict=True))


def compare_values(model: onnx.ModelProto, feed: Mapping[str, Tensor]) -> ValuesResult:
    """Every floating tensor of the main graph, both as the file spells it and after our fusions."""
    model = inlined(model)
    expected = by_runtime(model, {name: values.from_torch(value) for name, value in feed.items()})
    result = ValuesResult()
    with mock.patch.multiple(building, fuse=lambda *_: None, fuse_groups=lambda *_: None):
        plain = building.build(copied(model)).eval()
    for module in (plain, building.build(copied(model)).eval()):
        with torch.no_grad():
            found = module.every_value((), feed)
        assert set(module.output_names) <= set(found)
        made = {name for step in module.steps for name in step.outputs}
        result = max(result, _compared(found, expected, set(found) - made), key=lambda each: (each.worst, each.tensors))
    return result


def _compared(found: Mapping[str, Any], expected: Mapping[str, Any], held: Collection[str]) -> ValuesResult:
    """`held`: parameters and constants, whose axes of size 1 we may have left out."""
    result = ValuesResult()
    for name, wanted in expected.items():
        own = found.get(name)
        if own is None or not isinstance(wanted, np.ndarray) or wanted.dtype.kind != "f":
            continue  # not computed, or not floating
        result.tensors += 1
        one = np.asarray(values.from_torch(own))
        error = deviation(one.reshape(wanted.shape) if name in held and one.size == wanted.size else one, wanted)
        if error > result.worst:
            result.worst, result.where = error, name
    return result


def is_faithful(model: onnx.ModelProto, original: torch.nn.Module, inputs: tuple[Any, ...]) -> bool:
    """Whether the exporter wrote what it was given: ONNX Runtime's outputs are the original's."""
    expected = by_runtime(inlined(model), {n: values.from_torch(v) for n, v in feed_of(model, inputs).items()})
    with torch.no_grad():
        outputs = flat(original(*inputs))
    names = [value.name for value in model.graph.output]
    pairs = [
        (each.numpy(), expected[name]) for name, each in zip(names, outputs, strict=True) if each.is_floating_point()
    ]
    return all(deviation(own, wanted) <= 1e-3 for own, wanted in pairs)


def deviation(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    """Largest difference relative to the largest finite value of `other`; infinite where shapes or non-finite values differ."""
    if one.shape != other.shape:
        return float("inf")
    one, other = one.astype(np.float64), other.astype(np.float64)
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    if same.all():
        return 0.0
    if not (np.isfinite(one[~same]).all() and np.isfinite(other[~same]).all()):
        return float("inf")
    scale = np.abs(other[np.isfinite(other)]).max(initial=0.0)
    return float(np.abs(one[~same] - other[~same]).max() / max(scale, 1e-3))


def by_runtime(model: onnx.ModelProto, feed: Feed) -> dict[str, Any]:
    """Every output of every node of the main graph, not optimised."""
    wide = copied(model)
    listed = {value.name for value in wide.graph.output}
    names = [name for node in wide.graph.node for name in node.output if name and name not in listed]
    wide.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(wide.SerializeToString(), options, providers=["CPUExecutionProvider"])
    outputs = [value.name for value in session.get_outputs()]
    known = {value.name for value in session.get_inputs()}
    results = session.run(outputs, {name: np.ascontiguousarray(array) for name, array in feed.items() if name in known})
    return dict(zip(outputs, results, strict=True))


def inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """Without functions, as our loader sees it."""
    whole: onnx.ModelProto = onnx.inliner.inline_local_functions(model) if model.functions else model
    return whole


def copied(model: onnx.ModelProto) -> onnx.ModelProto:
    """`build` uses its model up."""
    copy: onnx.ModelProto = onnx.ModelProto.FromString(model.SerializeToString())
    return copy
