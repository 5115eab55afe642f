"""Is our reading of the file the right one? Its forward pass against ONNX Runtime's, and where they part, the first node.

ONNX Runtime runs with all its optimisations off, so that every node's output is there to be compared.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import torch

from gradcheck_cli.loaders.onnx_model import values
from gradcheck_cli.loaders.onnx_model.module import OnnxModule
from gradcheck_cli.loaders.refusals import Slug, printable, refuse
from gradcheck_cli.records import Batch

TOLERANCE = 1e-3
"""Largest difference, relative to the largest value of the tensor (or to 1, if that is smaller)."""
_RANDOM = frozenset(
    ("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial")
)
_Arrays = dict[str, np.ndarray[Any, Any]]


class Parity:
    """Compares one model, as it was loaded, with ONNX Runtime."""

    def __init__(self, module: OnnxModule, read: Callable[[], onnx.ModelProto], path: str, *, external: bool) -> None:
        """`read` gives the file's message once more; `external`: weights lie beside the file."""
        self._module = module
        self._read = read
        self._path = path
        self._external = external

    def __call__(self, batch: Batch) -> tuple[str, ...]:
        """Compare on `batch`; give a remark if that could not be done.

        Raises:
            ModelError: `differs-from-runtime`, with the first node that does.
        """
        if any(step.operator in _RANDOM for step in self._module.steps):
            return ("not compared with ONNX Runtime: the model draws random numbers",)
        inputs = self._module.bound(batch.args, batch.kwargs)
        feed = {name: np.ascontiguousarray(values.from_torch(value)) for name, value in inputs.items()}
        names = self._module.output_names
        try:
            expected = self._expected(feed, names)
        except Exception as error:  # its own kinds, one for each status
            reason = printable(" ".join(str(error).split()), 160)
            return (f"not compared with ONNX Runtime, which does not run it: {reason}",)
        found = self._found(batch)
        if all(difference(found[name], expected[name]) <= TOLERANCE for name in names if name in expected):
            return ()
        raise self._first_difference(feed, found)

    def _expected(self, feed: _Arrays, names: tuple[str, ...], model: onnx.ModelProto | None = None) -> _Arrays:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 4
        options.intra_op_num_threads = torch.get_num_threads()
        if model is None and self._external:
            source: Any = self._path
        else:
            source = (model or self._read()).SerializeToString()
        session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        known = {value.name for value in session.get_inputs()}
        outputs = [value.name for value in session.get_outputs() if value.name in names]
        results = session.run(outputs, {name: array for name, array in feed.items() if name in known})
        return dict(zip(outputs, results, strict=True))

    def _found(self, batch: Batch) -> dict[str, Any]:
        """Every value of our own run, in eval mode, under its name."""
        training = self._module.training
        self._module.eval()
        try:
            with torch.no_grad():
                return self._module.every_value(batch.args, batch.kwargs)
        finally:
            self._module.train(training)

    def _first_difference(self, feed: _Arrays, found: Mapping[str, Any]) -> Exception:
        model = self._read()
        names = tuple(name for node in model.graph.node for name in node.output if name in found)
        listed = {value.name for value in model.graph.output}
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in listed)
        expected: _Arrays = {}
        with contextlib.suppress(Exception):
            if not self._external:
                expected = self._expected(feed, names, model)
        for node in model.graph.node:
            for name in node.output:
                if (
                    name in expected
                    and name in found
                    and (error := difference(found[name], expected[name])) > TOLERANCE
                ):
                    return self._differs(node, error, found)
        message = "its outputs here are not those of ONNX Runtime"
        return refuse(Slug.DIFFERS_FROM_RUNTIME, self._path, message, _HINT)

    def _differs(self, node: onnx.NodeProto, error: float, found: Mapping[str, Any]) -> Exception:
        shapes = [str(tuple(found[name].shape)) for name in node.input if isinstance(found.get(name), torch.Tensor)]
        label = f"{printable(node.op_type, 40)} {printable(node.name, 80)}".strip()
        message = (
            f"its node {label}, with inputs of {', '.join(shapes) or 'no shape'}, gives other values here than in "
            f"ONNX Runtime: the largest difference is {error:.2g} of the largest value"
        )
        return refuse(Slug.DIFFERS_FROM_RUNTIME, self._path, message, _HINT)


_HINT = "please report it; --no-parity measures all the same"


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
