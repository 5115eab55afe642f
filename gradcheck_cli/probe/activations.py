"""Activations as they stand on the tape: which units sit on a flat side, and which are saturated.

Autograd keeps what an activation's derivative needs (its input or its result), so the statistics are read from the tape
after the forward pass; nothing runs in between, and functional, in-place and fused calls are seen like modules.

A unit is one channel. It is *flat* (dead) if on every sample and position its slope is 0, or below 1e-6 of the usual slope;
it is *saturated* if the slope of a bounded activation is below 1 % of its maximum on nearly all of them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from gradcheck_cli.probe.tape import Operation

FLAT = 1e-6
"""Slope, as a share of the usual slope 1, below which a one-sided activation counts as flat (the method's definition)."""

WEAK = 0.01
"""Slope, as a share of its maximum, below which a bounded activation counts as saturated (the method's definition)."""

ATTENTION_ROWS = 64
"""At least so many rows of each attention head are looked at, whole samples at a time."""

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]


@dataclass(slots=True)
class UnitCounts:
    """What the units of one activation did; merge over batches (and over time steps). Arrays are of shape (C,)."""

    peak: Floats | None
    """Largest evidence of life seen: a unit is flat where this is not above `floor`. None for bounded activations."""
    trough: Floats | None
    """Smallest evidence of life seen: a unit is always on where this is above `floor`. None for smooth activations."""
    floor: float
    weak: Floats | None
    """Number of elements with a slope below `WEAK` of its maximum. None for one-sided activations."""
    seen: int
    """Elements seen of each unit: samples × positions."""

    @property
    def units(self) -> int:
        """C."""
        array = self.peak if self.peak is not None else self.weak
        return 0 if array is None else len(array)

    def merge(self, other: UnitCounts) -> bool:
        """Add what another batch saw; False (and nothing changed) if its units are others."""
        if other.units != self.units:
            return False
        if self.peak is not None and other.peak is not None:
            self.peak = np.maximum(self.peak, other.peak)
        if self.trough is not None and other.trough is not None:
            self.trough = np.minimum(self.trough, other.trough)
        if self.weak is not None and other.weak is not None:
            self.weak = self.weak + other.weak
        self.seen += other.seen
        return True

    def dead(self) -> list[int]:
        """Indices of the units that were flat on everything seen."""
        return [] if self.peak is None else np.flatnonzero(self.peak <= self.floor).tolist()

    def always_on(self) -> int:
        """How many units were never flat: with the dead ones, those that do not tell one sample from another."""
        return 0 if self.trough is None else int((self.trough > self.floor).sum())

    def saturated(self, share: float) -> list[int]:
        """Indices of the units that were saturated on at least `share` of what was seen."""
        return [] if self.weak is None or not self.seen else np.flatnonzero(self.weak >= share * self.seen).tolist()


@dataclass(frozen=True)
class Activation:
    """How to read one kind of activation from its node."""

    kind: str
    read: Callable[[Operation, int], UnitCounts | None]
    """(operation, channel axis) → counts; None where the node does not hold what is needed."""
    bounded: bool = False


def lower_edge(slope: Callable[[torch.Tensor], torch.Tensor]) -> float:
    """Largest x below which |slope| stays under `FLAT`, for a smooth one-sided activation; found numerically in float64."""
    x = torch.linspace(-60.0, 0.0, 60_001, dtype=torch.float64, requires_grad=True)
    with torch.enable_grad():
        (derivative,) = torch.autograd.grad(slope(x).sum(), x)
    alive = (derivative.abs() >= FLAT).nonzero()
    return float(x.detach()[int(alive[0])]) if len(alive) else 0.0


def _others(tensor: torch.Tensor, axis: int) -> tuple[int, ...]:
    axis %= max(1, tensor.ndim)
    return tuple(other for other in range(tensor.ndim) if other != axis)


def _extremes(values: torch.Tensor, axis: int) -> tuple[Floats, Floats]:
    """(largest, smallest) value of each unit."""
    others = _others(values, axis)
    if not others:
        return _array(values), _array(values)
    return _array(values.amax(others)), _array(values.amin(others))


def _counts(hits: torch.Tensor, axis: int) -> Floats:
    others = _others(hits, axis)
    return _array(hits.sum(others) if others else hits).astype(np.float64)


def _array(tensor: torch.Tensor) -> Floats:
    result: Floats = np.atleast_1d(tensor.float().cpu().numpy())  # a single number is one unit
    return result


def _one_sided(
    attribute: str, floor: float | Callable[[Operation], float], *, kinked: bool = False
) -> Callable[[Operation, int], UnitCounts | None]:
    """Monotone below `floor`: a unit lives if any value is above it.

    Only of a `kinked` activation, linear above its floor, does it say anything that a unit is always above it.
    """

    def read(operation: Operation, axis: int) -> UnitCounts | None:
        values = getattr(operation.node, attribute).detach()
        if values.numel() == 0:
            return None
        edge = floor(operation) if callable(floor) else floor
        peak, trough = _extremes(values, axis)
        return UnitCounts(peak, trough if kinked else None, edge, None, values.numel() // peak.size)

    return read


def _between(bounds: Callable[[Operation], tuple[float, float]]) -> Callable[[Operation, int], UnitCounts | None]:
    """Exactly flat outside `bounds`: a unit lives if any value is inside."""

    def read(operation: Operation, axis: int) -> UnitCounts | None:
        values = operation.node._saved_self.detach()
        if values.numel() == 0:
            return None
        low, high = bounds(operation)
        inside = (~((values <= low) | (values >= high))).float()  # NaN is not flat
        peak, trough = _extremes(inside, axis)
        return UnitCounts(peak, trough, 0.0, None, values.numel() // peak.size)

    return read


def _bounded(attribute: str, centre: float, edge: float) -> Callable[[Operation, int], UnitCounts | None]:
    """Saturated where the result is further than `edge` from `centre`."""

    def read(operation: Operation, axis: int) -> UnitCounts | None:
        values = getattr(operation.node, attribute).detach()
        if values.numel() == 0:
            return None
        weak = _counts((values - centre).abs_() > edge, axis)
        return UnitCounts(None, None, 0.0, weak, values.numel() // weak.size)

    return read


def _softmax(operation: Operation, _axis: int) -> UnitCounts | None:
    """Rows instead of elements; a unit is a head (axis 1 of four). Slope of a row: Σ p(1−p) = 1 − Σ p²."""
    result = operation.node._saved_result.detach()
    dim = int(operation.node._saved_dim)
    dim = dim - 2**64 if dim >= 2**63 else dim
    classes = result.shape[dim]
    if result.numel() == 0 or (classes < 2 and result.ndim != 2):
        return None  # scores over a single position: another sample has more
    if classes < 2:
        # A single unit, 1 whatever it gets: its slope is no weak one, there is none.
        return UnitCounts(None, None, 0.0, np.zeros(1), len(result))
    weak = _one_hot_rows(result, dim)
    counts = _counts(weak, 1) if result.ndim == 4 and dim % 4 != 1 else _array(weak.sum().reshape(1)).astype(np.float64)
    return UnitCounts(None, None, 0.0, counts, weak.numel() // counts.size)


def _one_hot_rows(result: torch.Tensor, dim: int) -> torch.Tensor:
    """Rows whose slope Σ p(1−p) = 1 − Σ p² is below `WEAK` of its maximum."""
    return 1.0 - result.float().square().sum(dim) < WEAK * (1 - 1 / result.shape[dim])


def _fused_attention(operation: Operation, _axis: int) -> UnitCounts | None:
    """A fused kernel keeps no softmax: for the first samples it is computed again from the queries and keys that are kept."""
    node = operation.node
    samples = 1 + ATTENTION_ROWS // node._saved_query.shape[-2]
    query, key = node._saved_query.detach()[:samples].float(), node._saved_key.detach()[:samples].float()
    if query.ndim != 4 or key.shape[2] < 2 or key.shape[1] == 0:
        return None
    key = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
    scale = getattr(node, "_saved_scale", None) or query.shape[-1] ** -0.5
    scores = query @ key.transpose(-2, -1) * scale
    mask = getattr(node, "_saved_attn_mask", getattr(node, "_saved_attn_bias", None))
    if mask is not None:
        scores = scores + mask.detach()[:samples].float()
    first = 0
    if node._saved_is_causal:
        scores = scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), -math.inf)
        first = 1
    weak = _one_hot_rows(scores.softmax(-1)[:, :, first:], -1)
    counts = _counts(weak, 1)
    return UnitCounts(None, None, 0.0, counts, weak.numel() // counts.size)


def _clamp_bounds(operation: Operation) -> tuple[float, float]:
    low, high = operation.node._saved_min, operation.node._saved_max
    return (-math.inf if low is None else float(low), math.inf if high is None else float(high))


def _hardtanh_bounds(operation: Operation) -> tuple[float, float]:
    return float(operation.node._saved_min_val), float(operation.node._saved_max_val)


_SIGMOID_EDGE = 0.5 * math.sqrt(1 - WEAK)  # y(1−y) < WEAK/4
_TANH_EDGE = math.sqrt(1 - WEAK)  # 1 − y² < WEAK
_EXP_EDGE = math.log(FLAT)  # e^x < FLAT
_functional = torch.nn.functional
_GELU_EDGES = {kind: lower_edge(functools.partial(_functional.gelu, approximate=kind)) for kind in ("none", "tanh")}


def _gelu_edge(operation: Operation) -> float:
    return _GELU_EDGES[operation.node._saved_approximate]


def _softplus_edge(operation: Operation) -> float:
    return _EXP_EDGE / float(operation.node._saved_beta)


def _celu_edge(operation: Operation) -> float:
    return _EXP_EDGE * float(operation.node._saved_alpha)


def _elu_depth(operation: Operation) -> float:
    return float(operation.node._saved_alpha) * float(operation.node._saved_scale)


def _celu_depth(operation: Operation) -> float:
    return float(operation.node._saved_alpha)


def _exponential(
    edge: float | Callable[[Operation], float], depth: Callable[[Operation], float]
) -> Callable[[Operation, int], UnitCounts | None]:
    """ELU and CELU: by their input or, in place, by their result, which tends to -depth."""
    by_input = _one_sided("_saved_self", edge)
    by_result = _one_sided("_saved_result", lambda operation: -depth(operation) * (1 - FLAT))

    def read(operation: Operation, axis: int) -> UnitCounts | None:
        return (by_result if hasattr(operation.node, "_saved_result") else by_input)(operation, axis)

    return read


ACTIVATIONS: dict[str, Activation] = {
    "Relu": Activation("ReLU", _one_sided("_saved_result", 0.0, kinked=True)),
    "Threshold": Activation(
        "Threshold", _one_sided("_saved_self", lambda op: float(op.node._saved_threshold), kinked=True)
    ),
    "Clamp": Activation("Clamp", _between(_clamp_bounds)),
    "ClampMin": Activation("Clamp", _one_sided("_saved_self", lambda op: float(op.node._saved_min), kinked=True)),
    "Hardtanh": Activation("Hardtanh", _between(_hardtanh_bounds)),
    "Hardsigmoid": Activation("Hardsigmoid", _between(lambda _: (-3.0, 3.0))),
    "Hardswish": Activation("Hardswish", _one_sided("_saved_self", -3.0)),
    "Gelu": Activation("GELU", _one_sided("_saved_self", _gelu_edge)),
    "Silu": Activation("SiLU", _one_sided("_saved_self", lower_edge(_functional.silu))),
    "Mish": Activation("Mish", _one_sided("_saved_self", lower_edge(_functional.mish))),
    "Softplus": Activation("Softplus", _one_sided("_saved_self", _softplus_edge)),
    "Elu": Activation("ELU", _exponential(_EXP_EDGE, _elu_depth)),
    "Celu": Activation("CELU", _exponential(_celu_edge, _celu_depth)),
    "Sigmoid": Activation("Sigmoid", _bounded("_saved_result", 0.5, _SIGMOID_EDGE), bounded=True),
    "Tanh": Activation("Tanh", _bounded("_saved_result", 0.0, _TANH_EDGE), bounded=True),
    "Softmax": Activation("Softmax", _softmax, bounded=True),
    "SafeSoftmax": Activation("Softmax", _softmax, bounded=True),
    "ScaledDotProductFlashAttentionForCpu": Activation("Attention", _fused_attention, bounded=True),
    "ScaledDotProductFlashAttention": Activation("Attention", _fused_attention, bounded=True),
    "ScaledDotProductEfficientAttention": Activation("Attention", _fused_attention, bounded=True),
}
"""By the tape's operation name. Leaky ones (LeakyReLU, PReLU, RReLU) are never flat and so need no reading of their units."""

_LEAKY = {"LeakyRelu": "LeakyReLU", "PreluKernel": "PReLU", "Prelu": "PReLU", "RreluWithNoise": "RReLU", "Glu": "GLU",
          "LogSigmoid": "LogSigmoid", "LogSoftmax": "LogSoftmax", "Erf": "Erf"}  # fmt: skip


def activation_kind(name: str) -> str | None:
    """The activation's usual name for a tape name; None for what is no activation."""
    found = ACTIVATIONS.get(name)
    return found.kind if found else _LEAKY.get(name)


def read_units(operation: Operation, axis: int) -> UnitCounts | None:
    """Read the units of one activation on the tape; None if it has none or the node does not hold what is needed."""
    found = ACTIVATIONS.get(operation.name)
    if found is None:
        return None
    try:
        return found.read(operation, axis)
    except (AttributeError, RuntimeError):  # an in-place variant that saves something else, or a freed tensor
        return None
