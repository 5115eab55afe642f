"""Operators that make tensors from attributes, shapes and single numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gradcheck_cli.onnx_ops.axes import integers
from gradcheck_cli.onnx_ops.carriers import moves
from gradcheck_cli.onnx_ops.element_types import torch_dtype
from gradcheck_cli.onnx_ops.registry import operator


@operator("Constant")
def constant(
    *,
    value: Any = None,
    sparse_value: Tensor | None = None,
    value_float: float | None = None,
    value_floats: Sequence[float] | None = None,
    value_int: int | None = None,
    value_ints: Sequence[int] | None = None,
    value_string: str | None = None,
    value_strings: Sequence[str] | None = None,
) -> Any:
    """The value of the one attribute that is there; a sparse one is made dense."""
    tensors = [each for each in (value, sparse_value) if each is not None]
    tensors += [torch.tensor(each, dtype=torch.float32) for each in (value_float, value_floats) if each is not None]
    tensors += [torch.tensor(each, dtype=torch.int64) for each in (value_int, value_ints) if each is not None]
    tensors += [np.array(each, dtype=object) for each in (value_string, value_strings) if each is not None]
    if len(tensors) != 1:
        raise ValueError(f"a Constant has one value, not {len(tensors)}")
    return tensors[0]


@operator("ConstantOfShape", since=9)
def constant_of_shape(shape: Tensor, *, value: Any = None) -> Any:
    """One value everywhere: a view of it, so that no file can ask for more memory than it has itself."""
    if value is None:
        value = torch.zeros(1)
    sizes = integers(shape)
    if math.prod(value.shape) != 1 or any(extent < 0 for extent in sizes):
        raise ValueError(f"there is no constant of {math.prod(value.shape)} values in the shape {sizes}")
    return _filled(value, sizes)


@moves
def _filled(value: Tensor, sizes: list[int]) -> Tensor:
    return value.reshape(()).expand(sizes)


@operator("EyeLike", since=9)
def eye_like(x: Tensor, *, dtype: int | None = None, k: int = 0) -> Tensor:
    """1 on the diagonal j − i = k of a matrix of the shape of `x`, else 0."""
    if x.dim() != 2:
        raise ValueError(f"EyeLike takes a matrix, not a tensor of {x.dim()} dimensions")
    rows, columns = (torch.arange(extent, device=x.device) for extent in x.shape)
    kind = torch_dtype(dtype) if dtype is not None else x.dtype
    return (columns - rows.unsqueeze(1) == k).to(kind)


@operator("Range", since=11)
def range_(start: Tensor, limit: Tensor, delta: Tensor, *, stash_type: int = 1) -> Tensor:  # noqa: ARG001
    """start + i · delta for all i from 0 on that stay before `limit`; half floats are computed in float32."""
    start, limit, delta = (each.reshape(()) for each in (start, limit, delta))
    if not bool(delta != 0):
        raise ValueError("the steps of a Range cannot be 0")
    if not start.is_floating_point():
        span, step = int(limit) - int(start), int(delta)
        return torch.arange(max(0, -(-span // step))).mul(step).add(int(start)).to(start.dtype)
    dtype = start.dtype
    if dtype in (torch.float16, torch.bfloat16):
        start, limit, delta = start.float(), limit.float(), delta.float()
    count = math.ceil(float(limit - start) / float(delta))
    return (start + torch.arange(max(0, count), device=start.device) * delta).to(dtype)
