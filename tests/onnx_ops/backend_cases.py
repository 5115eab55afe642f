"""The ONNX backend node tests, run against our operators: forward against the expected outputs.

Run by hand: ``python tests/onnx_ops/backend_cases.py [--only Conv,MaxPool] [--gradients] [--failures]``
"""

from __future__ import annotations

import argparse
import functools
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import torch

from gradcheck_cli.loaders.onnx_model import values
from gradcheck_cli.loaders.onnx_model.build import build

DRAWN = frozenset({"Bernoulli"})
"""Operators whose expected output was drawn: only the shape, the type and which values there are can be compared."""


@dataclass(frozen=True)
class Case:
    """One node test of the standard."""

    name: str
    model: onnx.ModelProto
    sets: list[tuple[list[Any], list[Any]]]
    rtol: float
    atol: float

    @property
    def node(self) -> onnx.NodeProto:
        """The node that it is about; of an operator that is spelled out, the first."""
        node: onnx.NodeProto = self.model.graph.node[-1]
        return node

    @property
    def operator(self) -> tuple[str, str]:
        """Its (domain, name)."""
        return self.node.domain.removeprefix(
            "ai.onnx"
        ) if self.node.domain == "ai.onnx" else self.node.domain, self.node.op_type

    @property
    def operators(self) -> set[str]:
        """Names of the operators in the main graph."""
        return {node.op_type for node in self.model.graph.node}

    @property
    def expanded(self) -> bool:
        """Whether it spells its operator out as the standard's function."""
        return "_expanded" in self.name


@functools.cache
def all_cases() -> tuple[Case, ...]:
    """Every node test that the installed `onnx` knows."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found = collect_testcases(None)
    return tuple(
        Case(
            case.name,
            case.model,
            [(list(given), list(wanted)) for given, wanted in case.data_sets or ()],
            case.rtol,
            case.atol,
        )
        for case in found
        if case.model is not None
    )


def is_floating(info: onnx.ValueInfoProto) -> bool:
    """Whether a value, or what a sequence or an optional of it holds, is floating."""
    kind = info.type
    while kind.WhichOneof("value") in ("sequence_type", "optional_type"):
        kind = getattr(kind, str(kind.WhichOneof("value"))).elem_type
    return kind.tensor_type.elem_type in values.FLOATING


def floating_cases(*, expanded: bool = True) -> Iterator[Case]:
    """Those with floating inputs and outputs; `expanded`: also those that spell an operator out as its function."""
    for case in all_cases():
        graph = case.model.graph
        if not any(map(is_floating, graph.input)) or not any(map(is_floating, graph.output)):
            continue
        if expanded or not case.expanded:
            yield case


def as_input(value: Any) -> Any:
    """A test's input as our operators take it."""
    if isinstance(value, list):
        return [as_input(item) for item in value]
    if isinstance(value, onnx.TensorProto):
        return values.tensor(value)
    if value is None:
        return None
    return values.to_torch(np.asarray(value))


def check_forward(case: Case) -> None:
    """Raises AssertionError, or whatever our code raises, where an output is not the expected one."""
    module = build(_copy(case.model), outputs=tuple(output.name for output in case.model.graph.output))
    module.eval()
    for inputs, expected in case.sets:
        arguments = [as_input(value) for value in inputs]
        with torch.no_grad():
            found = module(*arguments)
        results = list(found.values()) if isinstance(found, dict) else [found]
        assert len(results) == len(expected), f"{len(results)} outputs, expected {len(expected)}"
        for info, result, wanted in zip(case.model.graph.output, results, expected, strict=True):
            compare(values.from_torch(result), wanted, info, case)


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    return copied


def compare(result: Any, wanted: Any, info: onnx.ValueInfoProto | None, case: Case, loose: float = 0.0) -> None:
    """Raises AssertionError where an output is not the expected one; `loose`: how far, relative to the largest value."""
    if wanted is None:
        assert result is None
        return
    if isinstance(wanted, list):
        assert len(result) == len(wanted)
        for one, other in zip(result, wanted, strict=True):
            compare(one, other, None, case, loose)
        return
    if isinstance(wanted, onnx.TensorProto):
        wanted = onnx.numpy_helper.to_array(wanted)
    wanted, result = np.asarray(wanted), np.asarray(result)
    assert result.shape == wanted.shape, f"shape {result.shape}, expected {wanted.shape}"
    if wanted.dtype == object or wanted.dtype.kind in "US":
        assert result.astype(str).tolist() == wanted.astype(str).tolist()
        return
    small = info is not None and info.type.tensor_type.elem_type in values.SMALL
    assert small or result.dtype.kind == wanted.dtype.kind or "V" in (wanted.dtype.kind, result.dtype.kind), (
        f"dtype {result.dtype}, expected {wanted.dtype}"
    )
    kind = np.complex128 if wanted.dtype.kind == "c" else np.float64
    one, other = result.astype(kind), wanted.astype(kind)
    if any(case.name.startswith(f"test_{name.lower()}") for name in DRAWN):
        assert set(one.ravel().tolist()) <= {0.0, 1.0}
        return
    step = max(_precision(case), loose)
    largest = float(np.abs(other[np.isfinite(other)]).max(initial=0.0))
    np.testing.assert_allclose(one, other, rtol=max(case.rtol, 2 * step), atol=max(case.atol, 2 * step * largest))


def _precision(case: Case) -> float:
    """Distance from 1 to the next number in the least precise type of the case: roundings may differ by that much."""
    bfloat16 = ml_dtypes.finfo(ml_dtypes.bfloat16).eps  # type: ignore[no-untyped-call]
    steps = {onnx.TensorProto.BFLOAT16: bfloat16, onnx.TensorProto.FLOAT16: np.finfo(np.float16).eps}
    kinds = {info.type.tensor_type.elem_type for info in (*case.model.graph.input, *case.model.graph.output)}
    return max(float(steps.get(kind, np.finfo(np.float32).eps)) for kind in kinds)


def main() -> None:
    """Run and print."""
    from backend_gradients import check_gradient

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", default="", help="operators, with commas")
    parser.add_argument("--gradients", action="store_true")
    parser.add_argument("--failures", action="store_true", help="print each failure")
    options = parser.parse_args()
    torch.set_num_threads(1)
    only = set(options.only.split(",")) if options.only else set()
    counts: Counter[str] = Counter()
    bad: Counter[str] = Counter()
    for case in floating_cases():
        if only and not case.operators & only and not any(case.name.startswith(f"test_{o.lower()}") for o in only):
            continue
        counts["cases"] += 1
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if options.gradients:
                    counts["compared"] += check_gradient(case)
                else:
                    check_forward(case)
        except Exception as error:
            counts["failed"] += 1
            bad["/".join(sorted(case.operators))[:50]] += 1
            if options.failures:
                message = " ".join(str(error).split())[:300]
                sys.stdout.write(f"{case.name}: {type(error).__name__}: {message}\n")
    sys.stdout.write(f"{dict(counts)}\n" + ("" if options.failures else f"{bad.most_common(60)}\n"))


if __name__ == "__main__":
    main()
