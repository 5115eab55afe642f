"""``ai.onnx.ml``: maps, which are Python dicts here; a floating value in one is a 0-d tensor, so that it has its gradient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gradcheck_cli.onnx_ops.casting import converted
from gradcheck_cli.onnx_ops.ml_scores import labels_of
from gradcheck_cli.onnx_ops.registry import MACHINE_LEARNING, operator

Key = int | str

_ELEMENTS = {"TO_FLOAT": 1, "TO_INT64": 7, "TO_STRING": 8}
_LONGEST = 1 << 24
"""Elements of a tensor that a map is spread over: the file alone says how many."""


@operator("ZipMap", domain=MACHINE_LEARNING)
def zip_map(
    x: Tensor, *, classlabels_int64s: Sequence[int] | None = None, classlabels_strings: Sequence[str] | None = None
) -> list[dict[Any, Tensor]]:
    """Scores (B, classes) as one map of label → score for each sample."""
    labels = labels_of(classlabels_int64s, classlabels_strings)
    rows = x if x.dim() > 1 else x[None]
    if rows.shape[-1] != len(labels):
        raise ValueError(f"{len(labels)} labels for {rows.shape[-1]} columns")
    return [dict(zip(labels, row.unbind(), strict=True)) for row in rows]


@operator("DictVectorizer", domain=MACHINE_LEARNING)
def dict_vectorizer(
    x: Mapping[Key, Any], *, int64_vocabulary: Sequence[int] = (), string_vocabulary: Sequence[str] = ()
) -> Any:
    """The map's values (1, words) in the order of the vocabulary, 0 or an empty string where it has none."""
    words: list[Any] = list(string_vocabulary or int64_vocabulary)
    strange = [key for key in x if key not in set(words)]
    if strange:
        raise ValueError(f"the key {strange[0]!r} is not in the vocabulary")
    return _row([x.get(word) for word in words])


@operator("CastMap", domain=MACHINE_LEARNING)
def cast_map(x: Mapping[int, Any], *, cast_to: str = "TO_FLOAT", map_form: str = "DENSE", max_map: int = 1) -> Any:
    """The map's values (1, C) in the order of their keys; or, if SPARSE, each at its key among `max_map` places."""
    if cast_to not in _ELEMENTS or map_form not in ("DENSE", "SPARSE"):
        raise ValueError(f"cast_to {cast_to!r} or map_form {map_form!r} is not known")
    if map_form == "DENSE":
        row = _row([x[key] for key in sorted(x)])
    elif not 0 <= max_map <= _LONGEST or any(not 0 <= key < max_map for key in x):
        raise ValueError(f"the keys of the map do not fit into {max_map} places")
    else:
        row = _row([x.get(key) for key in range(max_map)])
    return converted(row, _ELEMENTS[cast_to])


def _row(values: list[Any]) -> Any:
    """Tensors, numbers or strings as (1, C); None is 0 or an empty string."""
    if any(isinstance(value, str) for value in values):
        return np.array([[value or "" for value in values]], dtype=object)
    first = next((value for value in values if value is not None), 0.0)
    kind = first.dtype if isinstance(first, Tensor) else torch.float32 if isinstance(first, float) else torch.int64
    return torch.stack([torch.as_tensor(0 if v is None else v, dtype=kind) for v in values])[None]
