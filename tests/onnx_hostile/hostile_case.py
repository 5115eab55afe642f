"""What a hostile ONNX file is: a function that writes it, and what may come of it. The honest model that most are made from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

DIAGNOSED = "diagnosed"
"""Instead of a slug: the file is measured."""
FLOAT = TensorProto.FLOAT
INT64 = TensorProto.INT64


@dataclass(frozen=True)
class Case:
    """One file."""

    name: str
    write: Callable[[Path], Path]
    """Writes it into an empty folder and gives its path."""
    outcomes: tuple[str, ...]
    """Slugs of errors, or `DIAGNOSED`."""
    says: str
    """Stands in the message, where it is refused."""


CASES: dict[str, Case] = {}


def writes(*outcomes: str, says: str = "") -> Callable[[Callable[[Path], Path]], Callable[[Path], Path]]:
    """Register a function that writes a file."""

    def register(write: Callable[[Path], Path]) -> Callable[[Path], Path]:
        name = write.__name__.strip("_").replace("_", "-")
        assert name not in CASES
        CASES[name] = Case(name, write, outcomes, says)
        return write

    return register


def makes(*outcomes: str, says: str = "") -> Callable[[Callable[[], onnx.ModelProto | bytes]], Any]:
    """Register a function that makes a model, or the bytes of a file."""

    def register(make: Callable[[], onnx.ModelProto | bytes]) -> Any:
        def write(folder: Path) -> Path:
            return saved(make(), folder)

        write.__name__ = make.__name__
        writes(*outcomes, says=says)(write)
        return make

    return register


def saved(model: onnx.ModelProto | bytes, folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    return path


# ------------------------------------------------------------------------------------------------- what they are made of


def value(name: str, dims: Sequence[int | str | None] | None = ("N", 4), kind: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, dims)


def weight(name: str, *dims: int) -> onnx.TensorProto:
    numbers = np.random.default_rng(len(name)).standard_normal(dims).astype(np.float32)
    return numpy_helper.from_array(numbers, name)


def whole(name: str, *numbers: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(numbers, np.int64), name)


def scalar(name: str, number: Any) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(number), name)


def model(
    nodes: Iterable[onnx.NodeProto],
    tensors: Iterable[onnx.TensorProto] = (),
    inputs: Iterable[onnx.ValueInfoProto] | None = None,
    outputs: Iterable[onnx.ValueInfoProto] | None = None,
    functions: Iterable[onnx.FunctionProto] = (),
    opset: int = 18,
    domains: Sequence[str] = (),
) -> onnx.ModelProto:
    """A model from x, of (N, 4), to y."""
    graph = helper.make_graph(
        list(nodes),
        "main",
        [value("x")] if inputs is None else list(inputs),
        [value("y", None)] if outputs is None else list(outputs),
        list(tensors),
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=opsets, functions=list(functions), ir_version=10)


def honest() -> onnx.ModelProto:
    """Two layers and a ReLU."""
    return model(
        [
            helper.make_node("Gemm", ["x", "first.weight", "first.bias"], ["a"], name="first"),
            helper.make_node("Relu", ["a"], ["b"], name="relu"),
            helper.make_node("Gemm", ["b", "second.weight", "second.bias"], ["y"], name="second"),
        ],
        [
            weight("first.weight", 4, 8),
            weight("first.bias", 8),
            weight("second.weight", 8, 3),
            weight("second.bias", 3),
        ],
    )


def changed(change: Callable[[onnx.ModelProto], Any]) -> onnx.ModelProto:
    """The honest model after `change`."""
    found = honest()
    change(found)
    return found


def after_layer(*nodes: onnx.NodeProto, tensors: Iterable[onnx.TensorProto] = (), **rest: Any) -> onnx.ModelProto:
    """A layer from x to h, and then `nodes`, which give y."""
    layer = helper.make_node("Gemm", ["x", "layer.weight"], ["h"], name="layer")
    return model([layer, *nodes], [weight("layer.weight", 4, 4), *tensors], **rest)
