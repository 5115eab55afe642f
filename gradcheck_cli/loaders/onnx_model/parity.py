"""Is our reading of the file the right one? Its forward pass against ONNX Runtime's, and where they part, the first node.

ONNX Runtime runs with all its optimisations off, so that every node's output is there to be compared.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx
import torch

from gradcheck_cli.loaders.onnx_model import runtime, values
from gradcheck_cli.loaders.onnx_model.module import OnnxModule
from gradcheck_cli.loaders.onnx_model.program import Step
from gradcheck_cli.loaders.refusals import Slug, printable, refuse
from gradcheck_cli.records import Batch

TOLERANCE = 1e-3
"""Largest difference, relative to the largest value of the tensor (or to 1, if that is smaller)."""
SAMPLES = 4
"""How many of a batch are compared."""
_RANDOM = frozenset(
    ("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial")
)
_RANDOM_REMARK = "not compared with ONNX Runtime: the model draws random numbers"


class Parity:
    """Compares one model, as it was loaded, with ONNX Runtime."""

    def __init__(self, module: OnnxModule, message: bytes, stored: Mapping[str, Any], path: str) -> None:
        """`message`: the file's, serialised; `stored`: initialiser → value, for those whose data do not lie in it."""
        self._module = module
        self._message = message
        self._stored = stored
        self._path = path

    def __call__(self, batch: Batch) -> tuple[str, ...]:
        """Compare on `batch`; give a remark if that could not be done.

        Raises:
            ModelError: `differs-from-runtime`, with the first node that does so on the inputs that it gets here.
        """
        if _draws(self._module.steps):
            return (_RANDOM_REMARK,)
        names = self._module.output_names
        batch = self._few(batch)
        try:
            found = self._found(batch, every=False)
        except Exception:  # the measurement will tell it in full
            return ()
        try:
            feed = self._feed(batch)
            expected = runtime.outputs_of(self._model(), self._stored, feed, names)
        except Exception as error:  # its own kinds, one for each status
            reason = printable(" ".join(str(error).split()), 160)
            return (f"not compared with ONNX Runtime, which does not run it: {reason}",)
        if all(difference(found[name], expected[name]) <= TOLERANCE for name in names if name in expected):
            return ()
        every = self._found(batch, every=True)
        if any(_drops(step, every) for step in self._module.steps):
            return (_RANDOM_REMARK,)
        differs = self._first_difference(feed, every)
        if differs is None:
            return (_AMPLIFIED_REMARK,)
        raise differs

    def _few(self, batch: Batch) -> Batch:
        """Its first samples, where the file leaves open how many there are: a wrong operator is wrong on these, too."""
        given = [*batch.args, *batch.kwargs.values()]
        whole = all(isinstance(each, torch.Tensor) and each.shape[:1] == (batch.size,) for each in given)
        if batch.size <= SAMPLES or not whole:
            return batch
        graph = self._model().graph
        stored = {value.name for value in graph.initializer}
        if not all(_is_open(value) for value in graph.input if value.name not in stored):
            return batch
        args = tuple(each[:SAMPLES] for each in batch.args)
        return Batch(args, {name: each[:SAMPLES] for name, each in batch.kwargs.items()}, size=SAMPLES)

    def _feed(self, batch: Batch) -> runtime.Arrays:
        inputs = self._module.bound(batch.args, batch.kwargs)
        arrays = {name: values.from_torch(value) for name, value in inputs.items()}
        return {name: np.ascontiguousarray(array) for name, array in arrays.items()}

    def _model(self) -> onnx.ModelProto:
        return runtime.written_out(onnx.ModelProto.FromString(self._message))

    def _found(self, batch: Batch, *, every: bool) -> dict[str, Any]:
        """The outputs of our own run, or every value, in eval mode, under their names."""
        training = self._module.training
        self._module.eval()
        try:
            with torch.no_grad():
                if every:
                    return self._module.every_value(batch.args, batch.kwargs)
                found = self._module(*batch.args, **batch.kwargs)
                return found if isinstance(found, dict) else {self._module.output_names[0]: found}
        finally:
            self._module.train(training)

    def _first_difference(self, feed: runtime.Arrays, found: Mapping[str, Any]) -> Exception | None:
        """The first node that gives other values for the same inputs; None where all only hand on what rounding has become."""
        nodes = list(self._model().graph.node)
        names = [name for node in nodes for name in node.output if name in found]
        expected: runtime.Arrays = {}
        with contextlib.suppress(Exception):
            expected = runtime.outputs_of(self._model(), self._stored, feed, names)
        parted = False
        for node in nodes:
            errors = [difference(found[name], expected[name]) for name in node.output if name in expected]
            if max(errors, default=0.0) > TOLERANCE:
                alone = self._alone(node, found)
                if alone is None and not parted:
                    alone = max(errors)
                if alone is not None and alone > TOLERANCE:
                    return self._differs(node, alone, found)
                parted = True
        message = "its outputs here are not those of ONNX Runtime"
        return None if parted else refuse(Slug.DIFFERS_FROM_RUNTIME, self._path, message, _HINT)

    def _alone(self, node: onnx.NodeProto, found: Mapping[str, Any]) -> float | None:
        """How much one node differs on the very inputs that it gets here; None where it cannot be run alone."""
        if any(attribute.type == onnx.AttributeProto.GRAPH for attribute in node.attribute):
            return None
        try:
            given = {name: np.ascontiguousarray(values.from_torch(found[name])) for name in node.input if name}
            names = [name for name in node.output if name in found]
            results = runtime.outputs_of(_single(self._model(), node, given), {}, given, names)
            return max(difference(found[name], results[name]) for name in names)
        except Exception:  # sequences, types that have no array, what ONNX Runtime does not run
            return None

    def _differs(self, node: onnx.NodeProto, error: float, found: Mapping[str, Any]) -> Exception:
        shapes = [str(tuple(found[name].shape)) for name in node.input if isinstance(found.get(name), torch.Tensor)]
        label = f"{printable(node.op_type, 40)} {printable(node.name, 80)}".strip()
        message = (
            f"its node {label}, with inputs of {', '.join(shapes) or 'no shape'}, gives other values here than in "
            f"ONNX Runtime: the largest difference is {error:.2g} of the largest value"
        )
        return refuse(Slug.DIFFERS_FROM_RUNTIME, self._path, message, _HINT)


_AMPLIFIED_REMARK = (
    "its outputs differ from ONNX Runtime's, and no single node's do for the same inputs: the model amplifies rounding"
)
_HINT = "please report it; --no-parity measures all the same"


def _single(model: onnx.ModelProto, node: onnx.NodeProto, given: runtime.Arrays) -> onnx.ModelProto:
    """A model of this node alone, in the same versions of the operators."""
    inputs = [
        onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in given.items()
    ]
    graph = onnx.helper.make_graph([node], "one", inputs, [])
    return onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


def _is_open(value: onnx.ValueInfoProto) -> bool:
    """Whether the file leaves open how many samples an input has."""
    sizes = value.type.tensor_type.shape.dim
    return bool(sizes) and not sizes[0].HasField("dim_value")


def _draws(steps: Iterable[Step]) -> bool:
    """Whether one of them, or of their bodies, draws random numbers in eval mode too."""
    return any(step.operator in _RANDOM or any(_draws(body.steps) for body in step.bodies.values()) for step in steps)


def _drops(step: Step, found: Mapping[str, Any]) -> bool:
    """Whether it is a dropout that the file itself has switched on, or one in a body, where that is not known."""
    if any(inner.operator == "Dropout" or inner.bodies for body in step.bodies.values() for inner in body.steps):
        return True
    switch = step.inputs[2] if step.operator == "Dropout" and len(step.inputs) > 2 else None
    return switch is not None and bool(found.get(switch, True))


def difference(found: Any, expected: Any) -> float:
    """Largest difference relative to the largest expected value (or to 1); infinite where shapes or NaNs differ."""
    if isinstance(expected, list) or isinstance(found, (list, tuple)):
        if not isinstance(expected, list) or len(expected) != len(found):
            return float("inf")
        return max((difference(one, other) for one, other in zip(found, expected, strict=True)), default=0.0)
    if found is None or expected is None or not isinstance(found, torch.Tensor):
        return 0.0
    one = values.from_torch(found)
    other = np.asarray(expected)
    if one.shape != other.shape:
        return float("inf")
    if other.dtype == object or not other.size:
        return 0.0
    kind = np.complex128 if other.dtype.kind == "c" else np.float64
    one, other = one.astype(kind), other.astype(kind)
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    if same.all():
        return 0.0
    if not (np.isfinite(one[~same]).all() and np.isfinite(other[~same]).all()):
        return float("inf")
    finite = np.abs(other[np.isfinite(other)])
    return float(np.abs(one[~same] - other[~same]).max() / max(1.0, finite.max(initial=0.0)))
