"""Which axis of a tensor counts the units (channels) of a layer, found by following it along the tape."""

from __future__ import annotations

import math
from collections.abc import Iterable

from gradcheck_cli.probe.tape import Operation, Tape

_CHANNELS_FIRST = frozenset(
    {"Convolution", "ConvolutionOverrideable", "MkldnnConvolution", "SlowConv2D", "NativeBatchNorm", "CudnnBatchNorm",
     "NativeGroupNorm", "MiopenBatchNorm"}
)  # fmt: skip
_CHANNELS_LAST = frozenset(
    {"Addmm", "Mm", "Bmm", "Baddbmm", "Addbmm", "Mv", "Addmv", "Dot", "Linear", "NativeLayerNorm", "FusedRmsNorm",
     "Embedding", "MkldnnRnnLayer", "Bilinear", "Trilinear"}
)  # fmt: skip
_SAME_SHAPE = frozenset(
    {"Relu", "LeakyRelu", "Gelu", "Silu", "Tanh", "Sigmoid", "Elu", "NativeDropout", "Softplus", "Mish"}
)
_RESHAPES = frozenset({"View", "UnsafeView", "ReshapeAlias", "Squeeze", "Unsqueeze", "Flatten", "Unflatten"})


def shape_of(operation: Operation, output: int = 0) -> tuple[int, ...]:
    """Shape of one output of an operation, from the tape; () where it is not known."""
    metadata = operation.node._input_metadata
    return tuple(int(size) for size in metadata[output].shape) if output < len(metadata) else ()


def channel_axes(tape: Tape, wanted: Iterable[int]) -> dict[int, int]:
    """For each wanted operation, the axis of its first output that counts units; −1 for the last, without asking its rank."""
    axes: dict[int, int] = {}
    for index in sorted(_needed(tape, wanted)):  # sources first
        axes[index] = _axis(tape, tape.operations[index], axes)
    return axes


def _needed(tape: Tape, wanted: Iterable[int]) -> set[int]:
    """The wanted operations, and what is in front of them up to where the axis is certain."""
    needed: set[int] = set()
    stack = list(wanted)
    while stack:
        index = stack.pop()
        if index not in needed:
            needed.add(index)
            operation = tape.operations[index]
            if operation.name not in _CHANNELS_LAST and operation.name not in _CHANNELS_FIRST:
                stack.extend(source for source, _ in operation.inputs[:2])
    return needed


def _axis(tape: Tape, operation: Operation, axes: dict[int, int]) -> int:
    if operation.name in _CHANNELS_LAST:
        return -1
    known = [(source, axes[source]) for source, _ in operation.inputs[:2] if source in axes]
    if operation.name in _SAME_SHAPE and known and known[0][1] == -1:
        return -1
    shape = shape_of(operation)
    if operation.name in _CHANNELS_FIRST:
        return 1 if len(shape) > 1 else 0
    for source, axis in known:
        before = shape_of(tape.operations[source])
        axis = len(before) - 1 if axis == -1 else axis
        if operation.name in _RESHAPES:
            return _after_reshape(before, shape, axis)
        if operation.name in ("Transpose", "Permute"):
            return _after_permute(operation, len(shape), axis)
        if len(before) == len(shape) and axis < len(shape) and before[axis] == shape[axis]:
            return axis
    return _guess(shape)


def _guess(shape: tuple[int, ...]) -> int:
    """Features stand last in tables and sequences, and second in images."""
    return 1 if len(shape) >= 4 else max(0, len(shape) - 1)


def _after_reshape(before: tuple[int, ...], shape: tuple[int, ...], axis: int) -> int:
    """The axis in front of which as many elements stand as before."""
    if axis >= len(before):
        return _guess(shape)
    prefix = math.prod(before[:axis])
    matches = [new for new in range(len(shape)) if math.prod(shape[:new]) == prefix]
    same = [new for new in matches if shape[new] == before[axis]]
    return (same or matches or [_guess(shape)])[-1]


def _after_permute(operation: Operation, rank: int, axis: int) -> int:
    def signed(value: int) -> int:
        return (value - 2**64 if value >= 2**63 else value) % rank

    if operation.name == "Permute":
        return [signed(int(dim)) for dim in operation.node._saved_dims].index(axis)
    first, second = signed(int(operation.node._saved_dim0)), signed(int(operation.node._saved_dim1))
    return {first: second, second: first}.get(axis, axis)
