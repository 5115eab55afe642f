"""Operators that join tensors, or split one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gradcheck_cli.onnx_ops.axes import axis_of, integers, scalar
from gradcheck_cli.onnx_ops.carriers import moves, together
from gradcheck_cli.onnx_ops.registry import Call, operator


@operator("Concat")
def concat_first(*inputs: Any, axis: int = 1) -> Any:
    """One after the other along an axis; it was 1 by default."""
    return joined(inputs, axis)


@operator("Concat", since=4)
def concat(*inputs: Any, axis: int) -> Any:
    """One after the other along an axis."""
    return joined(inputs, axis)


@operator("ConcatFromSequence", since=11)
def concat_from_sequence(sequence: Sequence[Any], *, axis: int, new_axis: int = 0) -> Any:
    """The tensors of a sequence one after the other along an axis, which is a new one with `new_axis`."""
    if not sequence:
        raise ValueError("a sequence without tensors cannot be joined")
    return stacked(sequence, axis) if new_axis else joined(sequence, axis)


def joined(inputs: Sequence[Any], axis: int) -> Any:
    """The tensors, or arrays of strings, along one of their axes."""
    rank = inputs[0].ndim
    if any(each.ndim != rank for each in inputs):  # torch lets empty vectors pass
        raise ValueError("tensors of different ranks cannot be joined")
    return together(lambda *tensors: torch.cat(tensors, axis_of(axis, rank)), *inputs)


def stacked(inputs: Sequence[Any], axis: int) -> Any:
    """The tensors, or arrays of strings, along a new axis."""
    return together(lambda *tensors: torch.stack(tensors, axis), *inputs)


@operator("Split")
@moves
def split_first(
    call: Call, x: Tensor, lengths: Tensor | None = None, *, axis: int = 0, split: Sequence[int] | None = None
) -> tuple[Tensor, ...]:
    """Parts of the lengths of the attribute or the input, or as many equal ones as there are outputs."""
    if lengths is not None:
        split = integers(lengths)
    return _parts(x, split, axis, len(call.outputs))


@operator("Split", since=13)
@moves
def split(call: Call, x: Tensor, lengths: Tensor | None = None, *, axis: int = 0) -> tuple[Tensor, ...]:
    """Parts of the lengths given, or as many equal ones as there are outputs."""
    return _parts(x, integers(lengths) if lengths is not None else None, axis, len(call.outputs))


@operator("Split", since=18)
@moves
def split_uneven(
    call: Call, x: Tensor, lengths: Tensor | None = None, *, axis: int = 0, num_outputs: int | None = None
) -> tuple[Tensor, ...]:
    """Parts of the lengths given, or `num_outputs` equal ones, of which the last may be smaller."""
    if lengths is not None:
        return _parts(x, integers(lengths), axis, 0)
    count = num_outputs if num_outputs is not None else len(call.outputs)
    if not 0 < count <= max(len(call.outputs), x.shape[axis_of(axis, x.dim())]):
        raise ValueError(f"a tensor cannot be split into {count} parts here")
    extent = x.shape[axis_of(axis, x.dim())]
    chunk = -(-extent // count)
    lengths_of = [max(0, min(chunk, extent - chunk * i)) for i in range(count)]
    return x.split(lengths_of, axis)  # type: ignore[no-any-return,no-untyped-call]


def _parts(x: Tensor, lengths: Sequence[int] | None, axis: int, count: int) -> tuple[Tensor, ...]:
    extent = x.shape[axis_of(axis, x.dim())]
    if not lengths:
        if extent % count:
            raise ValueError(f"{extent} positions cannot be split into {count} equal parts")
        lengths = [extent // count] * count
    if sum(lengths) != extent or min(lengths) < 0:
        raise ValueError(f"parts of {list(lengths)} do not make up the {extent} positions of axis {axis}")
    return x.split(list(lengths), axis)  # type: ignore[no-any-return,no-untyped-call]


@operator("SplitToSequence", since=11)
@moves
def split_to_sequence(x: Tensor, lengths: Tensor | None = None, *, axis: int = 0, keepdims: int = 1) -> list[Tensor]:
    """A sequence of parts: of the lengths given, of one length (the last may be smaller), or of single positions."""
    extent = x.shape[axis_of(axis, x.dim())]
    if lengths is None:
        return list(x.split(1, axis)) if keepdims else list(x.unbind(axis))  # type: ignore[no-untyped-call]
    if lengths.dim():
        return list(_parts(x, integers(lengths), axis, 1)) if extent or lengths.numel() else []
    chunk = scalar(lengths, "the length of the parts")
    if chunk <= 0:
        raise ValueError(f"parts cannot have the length {chunk}")
    return list(x.split(chunk, axis))  # type: ignore[no-untyped-call]
