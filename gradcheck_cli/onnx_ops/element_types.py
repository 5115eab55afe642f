"""Element types: the numbers of ``TensorProto.DataType``, and what several dtypes have in common."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

DTYPES = {
    1: torch.float32,
    2: torch.uint8,
    3: torch.int8,
    4: torch.uint16,
    5: torch.int16,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    10: torch.float16,
    11: torch.float64,
    12: torch.uint32,
    13: torch.uint64,
    14: torch.complex64,
    15: torch.complex128,
    16: torch.bfloat16,
    17: torch.float8_e4m3fn,
    18: torch.float8_e4m3fnuz,
    19: torch.float8_e5m2,
    20: torch.float8_e5m2fnuz,
    24: torch.float8_e8m0fnu,
}
"""ONNX element type → torch dtype; strings and the types of 2 and 4 bits have none."""


def torch_dtype(number: int) -> torch.dtype:
    """The dtype of an ONNX element type. Raises ValueError where torch has none."""
    if number not in DTYPES:
        raise ValueError(f"the element type {number} cannot be computed with")
    return DTYPES[number]


def promoted(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The same tensors in one dtype, that which holds them all.

    The standard wants one dtype from the start; a model that is run in another precision than its file's has constants in
    the old one.
    """
    dtypes = {tensor.dtype for tensor in tensors}
    if len(dtypes) == 1:
        return tensors
    widest = functools.reduce(torch.promote_types, dtypes)
    return tuple(tensor.to(widest) for tensor in tensors)


def widened(x: Tensor) -> Tensor:
    """`x` in float32 if it is a smaller float: for what torch computes in float32 and float64 only."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
