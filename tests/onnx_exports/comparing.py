"""An export against ONNX Runtime, value by value, and against the PyTorch original, gradient by gradient."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import numpy as np
import onnx
import onnx.inliner
import onnxruntime
import torch
from torch import Tensor, nn

from gradcheck_cli.loaders.onnx_model import build as building
from gradcheck_cli.loaders.onnx_model import values
from gradcheck_cli.loaders.onnx_model.module import OnnxModule

NOISE = 1e-6
"""A gradient this much smaller than the whole model's is rounding noise, and is compared with the whole's."""
Feed = dict[str, np.ndarray[Any, Any]]
onnxruntime.set_default_logger_severity(4)


# ------------------------------------------------------------------------------------------------------------ the values


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
    with mock.patch.object(building, "fuse", lambda *_: None):
        plain = building.build(copied(model)).eval()
    for module in (plain, building.build(copied(model)).eval()):
        with torch.no_grad():
            found = module.every_value((), feed)
        assert set(module.output_names) <= set(found)
        result = max(result, _compared(found, expected), key=lambda each: (each.worst, each.tensors))
    return result


def _compared(found: Mapping[str, Any], expected: Mapping[str, Any]) -> ValuesResult:
    result = ValuesResult()
    for name, wanted in expected.items():
        if name not in found or not isinstance(wanted, np.ndarray) or wanted.dtype.kind != "f":
            continue
        result.tensors += 1
        error = deviation(np.asarray(values.from_torch(found[name])), wanted)
        if error > result.worst:
            result.worst, result.where = error, name
    return result


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
    return dict(zip(outputs, session.run(outputs, {n: np.ascontiguousarray(a) for n, a in feed.items() if n in known}), strict=True))


def inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """Without functions, as our loader sees it."""
    return onnx.inliner.inline_local_functions(model) if model.functions else model


def copied(model: onnx.ModelProto) -> onnx.ModelProto:
    """`build` uses its model up."""
    return onnx.ModelProto.FromString(model.SerializeToString())


# --------------------------------------------------------------------------------------------------------- the gradients


@dataclass
class GradientsResult:
    """How far our gradients are from the PyTorch original's, and what became of each of its parameters."""

    same: list[str] = field(default_factory=list)
    """Under its name, with its values."""
    transposed: list[str] = field(default_factory=list)
    scaled: list[str] = field(default_factory=list)
    """A folded batch norm multiplied it: compared by the chain rule."""
    folded: list[str] = field(default_factory=list)
    """Of a batch norm that the file does not have."""
    dropped: list[str] = field(default_factory=list)
    """All zero, and not written."""
    unused: list[str] = field(default_factory=list)
    """Without a gradient in the original."""
    lost: list[str] = field(default_factory=list)
    """Missing, and nothing of the above: an error."""
    changed: list[str] = field(default_factory=list)
    """There, with other values: an error."""
    extra: list[str] = field(default_factory=list)
    """Ours, and not the original's."""
    worst: float = 0.0
    where: str = ""


def loss_of(outputs: Iterable[Tensor]) -> Tensor:
    """A random question to all floating outputs, the same at every call."""
    generator = torch.Generator().manual_seed(5)
    floating = [output for output in outputs if output.is_floating_point()]
    asked = [(torch.randn(output.shape, generator=generator).to(output.dtype) * output.nan_to_num(0, 0, 0)).sum() for output in floating]
    return torch.stack([each.to(torch.float64) for each in asked]).sum()


def compare_gradients(model: onnx.ModelProto, original: nn.Module, inputs: tuple[Any, ...]) -> GradientsResult:
    """Of `loss_of`, on both sides, parameter by parameter."""
    ours = building.build(copied(model)).eval()
    feed = feed_of(model, inputs)
    found = _gradients(ours, loss_of(flat(ours(**_by_identifier(ours, feed)))))
    floating = {value.name for value in model.graph.output if value.type.tensor_type.elem_type in values.FLOATING}
    assert set(ours.output_names) == floating
    wanted = _gradients(original, loss_of(flat(original(*inputs))))
    return _Matching(dict(original.named_parameters()), wanted, dict(ours.named_parameters()), found, original).result


def _by_identifier(module: OnnxModule, feed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return dict(feed)


def _gradients(module: nn.Module, loss: Tensor) -> dict[str, Tensor | None]:
    names, parameters = zip(*((n, p) for n, p in module.named_parameters() if p.requires_grad), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, parameters, allow_unused=True), strict=True))


class _Matching:
    def __init__(
        self,
        theirs: Mapping[str, Tensor],
        wanted: Mapping[str, Tensor | None],
        ours: Mapping[str, Tensor],
        found: Mapping[str, Tensor | None],
        original: nn.Module,
    ) -> None:
        self.original = original
        self.result = GradientsResult()
        self.total = float(sum(g.double().square().sum() for g in wanted.values() if g is not None) ** 0.5)
        for name, gradient in wanted.items():
            mine = [n for n in ours if n == name]
            if gradient is None:
                self.result.unused.append(name)
            elif not mine:
                self._missing(name, theirs[name], gradient)
            else:
                own = found[name]
                self._match(name, theirs[name], gradient, ours[name], torch.zeros_like(ours[name]) if own is None else own)
        self.result.extra = [name for name in ours if name not in theirs]

    def _missing(self, name: str, value: Tensor, gradient: Tensor) -> None:
        owner = self.original.get_submodule(name.rpartition(".")[0])
        if isinstance(owner, nn.modules.batchnorm._BatchNorm):
            self.result.folded.append(name)
        elif not value.any():
            self.result.dropped.append(name)
        elif not gradient.any():
            self.result.unused.append(name)
        else:
            self.result.lost.append(name)

    def _match(self, name: str, theirs: Tensor, wanted: Tensor, ours: Tensor, found: Tensor) -> None:
        result = self.result
        if _equal(ours, theirs):
            result.same.append(name)
        elif theirs.dim() == 2 and _equal(ours, theirs.T):
            result.transposed.append(name)
            found = found.T
        elif theirs.numel() == ours.numel() and _equal(ours.reshape(theirs.shape), theirs):
            result.same.append(name)
            found = found.reshape(theirs.shape)
        elif (factors := _factors(theirs, ours)) is not None:
            result.scaled.append(name)
            found = found * factors
        else:
            result.changed.append(name)
            return
        error = float((found.double() - wanted.double()).norm() / max(float(wanted.double().norm()), NOISE * self.total, 1e-30))
        if not error <= result.worst:
            result.worst, result.where = error, name


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and bool(torch.allclose(one, other, rtol=1e-6, atol=1e-9))


def _factors(theirs: Tensor, ours: Tensor) -> Tensor | None:
    """What an output channel was multiplied by, if all that became of `theirs` is that."""
    if theirs.shape != ours.shape or theirs.dim() < 2:
        return None
    for axis in (0, 1):
        others = [d for d in range(theirs.dim()) if d != axis]
        factors = (ours * theirs).double().sum(others, keepdim=True) / theirs.double().square().sum(others, keepdim=True).clamp(min=1e-30)
        if torch.allclose(theirs.double() * factors, ours.double(), rtol=1e-4, atol=1e-6 * float(ours.abs().max())):
            return factors.to(theirs.dtype)
    return None
