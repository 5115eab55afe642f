"""The ONNX backend node tests, run against our operators: forward against the expected outputs, gradients by `gradcheck`.

    python tests/onnx_ops/backend_cases.py [--only Conv,MaxPool] [--gradients] [--failures]
"""

from __future__ import annotations

import argparse
import functools
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch

from gradcheck_cli.loaders.onnx_model import values
from gradcheck_cli.loaders.onnx_model.build import build


@dataclass(frozen=True)
class Case:
    """One node test of the standard."""

    name: str
    model: onnx.ModelProto
    sets: list[tuple[list[Any], list[Any]]]
    rtol: float
    atol: float

    @property
    def operators(self) -> set[str]:
        """Names of the operators in the main graph."""
        return {node.op_type for node in self.model.graph.node}


@functools.cache
def all_cases() -> tuple[Case, ...]:
    """Every node test that the installed `onnx` knows."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found = collect_testcases(None)
    return tuple(Case(c.name, c.model, [tuple(s) for s in c.data_sets], c.rtol, c.atol) for c in found if c.model is not None)


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
        if expanded or "_expanded" not in case.name:
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
    module = build(case.model, outputs=tuple(output.name for output in case.model.graph.output))
    module.eval()
    for inputs, expected in case.sets:
        arguments = [as_input(value) for value in inputs]
        with torch.no_grad():
            found = module(*arguments)
        results = list(found.values()) if isinstance(found, dict) else [found]
        assert len(results) == len(expected), f"{len(results)} outputs, expected {len(expected)}"
        for info, result, wanted in zip(case.model.graph.output, results, expected, strict=True):
            _compare(values.from_torch(result), wanted, info, case)


def _compare(result: Any, wanted: Any, info: onnx.ValueInfoProto | None, case: Case) -> None:
    if wanted is None:
        assert result is None
        return
    if isinstance(wanted, list):
        assert len(result) == len(wanted)
        for one, other in zip(result, wanted, strict=True):
            _compare(one, other, None, case)
        return
    if isinstance(wanted, onnx.TensorProto):
        wanted = onnx.numpy_helper.to_array(wanted)
    wanted = np.asarray(wanted)
    result = np.asarray(result)
    assert result.shape == wanted.shape, f"shape {result.shape}, expected {wanted.shape}"
    if wanted.dtype == object or wanted.dtype.kind in "US":
        assert result.astype(str).tolist() == wanted.astype(str).tolist()
        return
    small = info is not None and info.type.tensor_type.elem_type in values.SMALL
    assert small or result.dtype.kind == wanted.dtype.kind or "V" in (wanted.dtype.kind, result.dtype.kind), (
        f"dtype {result.dtype}, expected {wanted.dtype}"
    )
    kind = np.complex128 if wanted.dtype.kind == "c" else np.float64
    np.testing.assert_allclose(result.astype(kind), wanted.astype(kind), rtol=case.rtol, atol=case.atol)


def check_gradient(case: Case) -> bool:
    """Compare autograd with finite differences in float64, on the floating inputs; False where there is nothing to compare.

    Raises an error where they differ.
    """
    outputs = tuple(output.name for output in case.model.graph.output if is_floating(output))
    module = build(case.model, outputs=outputs)
    module.eval()
    module.double()
    arguments = [as_input(value) for value in case.sets[0][0]]
    places = [i for i, value in enumerate(arguments) if isinstance(value, torch.Tensor) and value.is_floating_point() and 0 < value.numel()]
    if not places:
        return False

    def scalar(*floating: torch.Tensor) -> tuple[torch.Tensor, ...]:
        full = list(arguments)
        for place, value in zip(places, floating, strict=True):
            full[place] = value
        found = module(*full)
        flat = found.values() if isinstance(found, dict) else [found]
        kept = [t for item in flat for t in (item if isinstance(item, list) else [item]) if t is not None and t.is_floating_point()]
        return tuple(t.double() for t in kept if t.numel())

    floating = [arguments[i].detach().double().requires_grad_() for i in places]
    outs = scalar(*floating)
    if not any(t.requires_grad for t in outs):
        return False
    return bool(torch.autograd.gradcheck(scalar, floating, eps=1e-6, atol=1e-4, rtol=1e-3, fast_mode=True, nondet_tol=1e-9))


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
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
                print(f"{case.name}: {type(error).__name__}: {' '.join(str(error).split())[:300]}", flush=True)
    print(dict(counts))
    if not options.failures:
        print(bad.most_common(60))


if __name__ == "__main__":
    main()
