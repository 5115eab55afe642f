"""``ai.onnx.ml``: categories: looked up, mapped to each other, as one-hot vectors. No gradient goes through a look-up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gradcheck_cli.onnx_ops.ml_features import as_array
from gradcheck_cli.onnx_ops.registry import MACHINE_LEARNING, operator

_Strings = np.ndarray[Any, Any]


@operator("OneHotEncoder", domain=MACHINE_LEARNING)
def one_hot_encoder(
    x: Any, *, cats_int64s: Sequence[int] = (), cats_strings: Sequence[str] = (), zeros: int = 1
) -> Tensor:
    """(…) → (…, categories): 1 at the place of each value's category; all 0, or an error, for one that is none."""
    values = as_array(x)
    if values.dtype != object:
        values = values.astype(np.int64)
    places = _found(values, list(cats_strings or cats_int64s))
    if not zeros and (places < 0).any():
        raise ValueError("a value is none of the categories")
    categories = torch.arange(len(cats_strings or cats_int64s))
    return (torch.from_numpy(places)[..., None] == categories).float()


@operator("CategoryMapper", domain=MACHINE_LEARNING)
def category_mapper(
    x: Any,
    *,
    cats_int64s: Sequence[int],
    cats_strings: Sequence[str],
    default_int64: int = -1,
    default_string: str = "_Unused",
) -> Any:
    """Strings to integers, or integers to strings, by two parallel lists."""
    if isinstance(x, np.ndarray):
        return _mapped(x, list(cats_strings), np.array(cats_int64s, dtype=np.int64), default_int64)
    return _mapped(as_array(x), list(cats_int64s), np.array(cats_strings, dtype=object), default_string)


@operator("LabelEncoder", domain=MACHINE_LEARNING)
def label_encoder_1(
    x: Any, *, classes_strings: Sequence[str], default_int64: int = -1, default_string: str = "_Unused"
) -> Any:
    """Version 1: strings to their places in a list, or places to strings."""
    places = np.arange(len(classes_strings))
    if isinstance(x, np.ndarray):
        return _mapped(x, list(classes_strings), places, default_int64)
    return _mapped(as_array(x), places.tolist(), np.array(classes_strings, dtype=object), default_string)


@operator("LabelEncoder", since=2, domain=MACHINE_LEARNING)
def label_encoder(
    x: Any,
    *,
    default_float: float = -0.0,
    default_int64: int = -1,
    default_string: str = "_Unused",
    default_tensor: Any = None,
    keys_floats: Sequence[float] = (),
    keys_int64s: Sequence[int] = (),
    keys_strings: Sequence[str] = (),
    keys_tensor: Any = None,
    values_floats: Sequence[float] = (),
    values_int64s: Sequence[int] = (),
    values_strings: Sequence[str] = (),
    values_tensor: Any = None,
) -> Any:
    """Each element's value by a list of keys and a parallel one of values; NaN is a key like any other."""
    keys = as_array(keys_tensor).tolist() if keys_tensor is not None else keys_strings or keys_int64s or keys_floats
    default: Any
    if values_tensor is not None:
        values = as_array(values_tensor)
        if default_tensor is not None:
            default = as_array(default_tensor).reshape(-1)[0]
        else:
            default = "_Unused" if values.dtype == object else -1 if values.dtype.kind in "iu" else -0.0
    elif values_strings:
        values, default = np.array(values_strings, dtype=object), default_string
    elif values_int64s:
        values, default = np.array(values_int64s, dtype=np.int64), default_int64
    else:
        values, default = np.array(values_floats, dtype=np.float32), default_float
    if len(keys) != len(values):
        raise ValueError(f"{len(keys)} keys and {len(values)} values do not go together")
    return _mapped(as_array(x), list(keys), values, default)


def _mapped(x: np.ndarray[Any, Any], keys: list[Any], values: np.ndarray[Any, Any], default: Any) -> Any:
    places = _found(x, keys)
    found = np.append(values, np.array([default], dtype=values.dtype))[places]  # −1 is the last
    return found if found.dtype == object else torch.from_numpy(found.reshape(x.shape))


def _found(x: np.ndarray[Any, Any], keys: list[Any]) -> np.ndarray[Any, Any]:
    """The place of each element in `keys`, the last one of several, or −1: int64 in the shape of x."""
    if x.dtype == object:
        by_name = {str(key): place for place, key in enumerate(keys)}
        flat = [by_name.get(str(each), -1) for each in x.flat]
        return np.array(flat, dtype=np.int64).reshape(x.shape)
    kept = np.array(keys, dtype=x.dtype)
    order = np.argsort(kept, kind="stable")  # NaN comes last
    if not order.size:
        return np.full(x.shape, -1)
    place = np.clip(np.searchsorted(kept, x, side="right", sorter=order) - 1, 0, None)
    candidate = order[place]
    same = (kept[candidate] == x) | (np.isnan(kept[candidate]) & np.isnan(x) if x.dtype.kind == "f" else False)
    return np.where(same, candidate, -1)
