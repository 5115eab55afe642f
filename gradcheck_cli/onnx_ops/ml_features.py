"""``ai.onnx.ml``: features scaled, normalised, filled in, picked and put side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gradcheck_cli.onnx_ops.axes import wrapped
from gradcheck_cli.onnx_ops.carriers import moves
from gradcheck_cli.onnx_ops.ml_scores import Values, floating, matrix, numbers
from gradcheck_cli.onnx_ops.registry import MACHINE_LEARNING, operator


@operator("Scaler", domain=MACHINE_LEARNING)
def scaler(x: Tensor, *, offset: Values = (), scale: Values = ()) -> Tensor:
    """(x − offset)·scale, both of one value or of one a feature, the last axis."""
    x = floating(x)
    for name, values in (("offset", offset), ("scale", scale)):
        if len(values) not in (0, 1, x.shape[-1] if x.dim() else 1):
            raise ValueError(f"{name} has {len(values)} values for {list(x.shape)}")
    x = x - numbers(offset, x) if len(offset) else x
    return x * numbers(scale, x) if len(scale) else x


@operator("Normalizer", domain=MACHINE_LEARNING)
def normalizer(x: Tensor, *, norm: str = "MAX") -> Tensor:
    """Each row by its norm: the largest value (MAX), the sum of sizes (L1), the Euclidean one (L2); rows of 0 stay."""
    rows = floating(x)
    if norm == "MAX":
        size = rows.amax(-1, keepdim=True)
    elif norm == "L1":
        size = rows.abs().sum(-1, keepdim=True)
    elif norm == "L2":
        size = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    else:
        raise ValueError(f"the norm {norm!r} is none of MAX, L1 and L2")
    return rows / torch.where(size == 0, 1.0, size)


@operator("Binarizer", domain=MACHINE_LEARNING)
def binarizer(x: Tensor, *, threshold: float = 0.0) -> Tensor:
    """1 where x is above the threshold, else 0."""
    return (x > threshold).to(x.dtype)


@operator("Imputer", domain=MACHINE_LEARNING)
def imputer(
    x: Tensor,
    *,
    imputed_value_floats: Values = (),
    imputed_value_int64s: Sequence[int] = (),
    replaced_value_float: float = 0.0,
    replaced_value_int64: int = 0,
) -> Tensor:
    """x with one value, or NaN, replaced: by one number, or by one a feature, the last axis."""
    values = imputed_value_floats if x.is_floating_point() else imputed_value_int64s
    if len(values) not in (1, x.shape[-1] if x.dim() else 1):
        raise ValueError(f"{len(values)} values to fill in do not fit {list(x.shape)}")
    if x.is_floating_point():
        missing = x.isnan() if math.isnan(replaced_value_float) else x == replaced_value_float
    else:
        missing = x == replaced_value_int64
    return torch.where(missing, numbers(values, x), x)


@operator("ArrayFeatureExtractor", domain=MACHINE_LEARNING)
@moves
def array_feature_extractor(x: Any, indices: Tensor) -> Any:
    """The features (…, indices) along the last axis; of a vector, (1, indices)."""
    rows = x if x.dim() > 1 else x.reshape(1, -1)
    return rows.index_select(-1, wrapped(indices.reshape(-1), rows.shape[-1], "the last axis"))


@operator("FeatureVectorizer", domain=MACHINE_LEARNING)
def feature_vectorizer(*inputs: Tensor, inputdimensions: Sequence[int]) -> Tensor:
    """Inputs (B, cᵢ), or (cᵢ,), side by side (B, Σ inputdimensions): each cut, or filled with 0, to its dimension."""
    if len(inputdimensions) != len(inputs):
        raise ValueError(f"{len(inputdimensions)} dimensions for {len(inputs)} inputs")
    parts = [_cut(matrix(x), size) for x, size in zip(inputs, inputdimensions, strict=True)]
    return torch.cat(parts, -1)


def _cut(x: Tensor, size: int) -> Tensor:
    if not 0 <= size < 1 << 31:
        raise ValueError(f"a dimension of {size}")
    return torch.nn.functional.pad(x, (0, size - x.shape[1]))


def as_array(x: Any) -> np.ndarray[Any, Any]:
    """A tensor, or an array of strings, as an array."""
    return x if isinstance(x, np.ndarray) else x.detach().cpu().numpy()
