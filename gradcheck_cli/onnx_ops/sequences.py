"""Sequences, which are Python lists here, and optionals, which are None or their value. A list is never changed in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gradcheck_cli.onnx_ops.axes import scalar
from gradcheck_cli.onnx_ops.registry import operator


@operator("SequenceEmpty", since=11)
def sequence_empty(*, dtype: int = 1) -> list[Any]:  # noqa: ARG001
    """A sequence without elements."""
    return []


@operator("SequenceConstruct", since=11)
def sequence_construct(*inputs: Any) -> list[Any]:
    """The inputs, in order."""
    return list(inputs)


@operator("SequenceLength", since=11)
def sequence_length(sequence: Sequence[Any]) -> Tensor:
    """How many elements: 0-d."""
    return torch.tensor(len(sequence), dtype=torch.int64)


@operator("SequenceAt", since=11)
def sequence_at(sequence: Sequence[Any], position: Tensor) -> Any:
    """One element; negative positions count from the end."""
    return sequence[_place(sequence, position, len(sequence) - 1)]


@operator("SequenceErase", since=11)
def sequence_erase(sequence: Sequence[Any], position: Tensor | None = None) -> list[Any]:
    """All elements but one: the last, unless a position is given."""
    place = _place(sequence, position, len(sequence) - 1) if position is not None else len(sequence) - 1
    return [*sequence[:place], *sequence[place + 1 :]]


@operator("SequenceInsert", since=11)
def sequence_insert(sequence: Sequence[Any], item: Any, position: Tensor | None = None) -> list[Any]:
    """The elements with one more before a position, or at the end."""
    place = _place(sequence, position, len(sequence)) if position is not None else len(sequence)
    return [*sequence[:place], item, *sequence[place:]]


def _place(sequence: Sequence[Any], position: Tensor, last: int) -> int:
    place = scalar(position, "the position")
    if not -len(sequence) <= place <= last:
        raise ValueError(f"a sequence of {len(sequence)} elements has no position {place}")
    return place + len(sequence) if place < 0 else place


@operator("Optional", since=15)
def optional(x: Any = None, *, type: Any = None) -> Any:  # noqa: ARG001
    """An optional that holds the input; an empty one without."""
    return x


@operator("OptionalGetElement", since=15)
def optional_get_element(x: Any) -> Any:
    """What an optional holds; a tensor or a sequence itself."""
    if x is None:
        raise ValueError("the optional holds nothing")
    return x


@operator("OptionalHasElement", since=15)
def optional_has_element(x: Any = None) -> Tensor:
    """Whether an optional holds something; a tensor or a sequence does."""
    return torch.tensor(x is not None)
