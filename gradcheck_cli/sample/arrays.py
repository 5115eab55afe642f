"""Turns what was read or given into tensors, and refuses what a model cannot be measured on."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from gradcheck_cli.errors import SampleError
from gradcheck_cli.records import Batch
from gradcheck_cli.tensors import MAX_DEPTH, map_tensors, named_leaves

MAX_NODES = 1_000_000
"""Containers and arrays in one sample: lists that share lists could otherwise expand without bound."""
_WIDENED = {"uint16": torch.int64, "int16": torch.int64, "uint32": torch.int64, "uint64": torch.int64}
"""Integer kinds that no layer takes."""


def tensor_of(array: np.ndarray[Any, Any], what: str, path: str = "") -> torch.Tensor:
    """Return a tensor of the array's shape and dtype (long double as float64; byte order made native).

    Raises:
        SampleError: ``object-array`` or ``unsupported-data`` for what are no numbers.
    """
    if array.dtype.hasobject:
        raise SampleError("object-array", f"{what} holds Python objects", hint="give it a numeric dtype", file=path)
    if array.dtype.kind not in "biufc":
        raise SampleError("unsupported-data", f"{what} has dtype {array.dtype}, which is no number", file=path)
    if array.dtype.itemsize > 16 or (array.dtype.kind == "f" and array.dtype.itemsize > 8):
        array = array.astype(np.float64 if array.dtype.kind == "f" else np.complex128)
    native = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    # ascontiguousarray makes a 0-dim array 1-dim, and torch warns about arrays that are not writable.
    return torch.from_numpy(native.copy() if not native.flags.writeable else native).reshape(array.shape)


def as_tensors(obj: Any, what: str, path: str = "") -> Any:
    """Return `obj` with every array, number list and tensor as a plain tensor outside any autograd graph.

    Raises:
        SampleError: ``unsupported-data`` for anything else, or containers nested or shared without bound.
    """
    return _Converter(path).convert(obj, what, 0)


class _Converter:
    def __init__(self, path: str) -> None:
        self.path = path
        self.nodes = 0

    def convert(self, obj: Any, what: str, depth: int) -> Any:
        self.nodes += 1
        if depth > MAX_DEPTH or self.nodes > MAX_NODES:
            message = f"{what} is nested over {MAX_DEPTH} levels deep, or has over {MAX_NODES} parts"
            raise SampleError("unsupported-data", message, hint="give tensors, tuples or dicts", file=self.path)
        if isinstance(obj, torch.Tensor):
            return obj if obj.is_meta else obj.detach()
        if isinstance(obj, np.ndarray):
            return tensor_of(obj, what, self.path)
        if isinstance(obj, np.generic):
            return tensor_of(np.asarray(obj), what, self.path)
        if obj is None or isinstance(obj, numbers.Number):
            return obj
        return self._container(obj, what, depth)

    def _container(self, obj: Any, what: str, depth: int) -> Any:
        if isinstance(obj, Mapping):
            return {key: self.convert(value, f"{what}.{key}", depth + 1) for key, value in obj.items()}
        if isinstance(obj, (tuple, list)):
            if obj and _is_number_list(obj):
                return _number_tensor(obj, what, self.path)
            parts = [self.convert(part, f"{what}[{index}]", depth + 1) for index, part in enumerate(obj)]
            return type(obj)(*parts) if hasattr(obj, "_fields") else type(obj)(parts)
        kind = f"{type(obj).__module__}.{type(obj).__qualname__}".removeprefix("builtins.")
        message = f"{what} is a {kind}, not a tensor, array, tuple, list or dict"
        raise SampleError("unsupported-data", message, hint="give tensors or arrays", file=self.path)


def _is_number_list(obj: Any) -> bool:
    """A list, or nested lists, of plain numbers, judged by the first element at each level."""
    for _ in range(MAX_DEPTH):
        if not isinstance(obj, list):
            return isinstance(obj, numbers.Number)
        if not obj:
            return False
        obj = obj[0]
    return False


def _number_tensor(obj: Any, what: str, path: str) -> torch.Tensor:
    try:
        return torch.tensor(obj)
    except Exception as error:  # ragged lists, strings among numbers: ValueError, TypeError, RuntimeError
        message = f"{what} is a list of numbers that forms no array"
        raise SampleError("unsupported-data", message, hint="give rows of equal length", file=path) from error


def check_content(obj: Any, what: str, path: str = "") -> None:
    """Refuse arrays without a sample, and NaN or infinity.

    Minus infinity passes in an input named as a mask: that is how additive attention masks say 'never'. Arrays still on
    disk (device ``meta``) are looked at when their rows are read.

    Raises:
        SampleError: ``empty-data`` or ``non-finite-data``.
    """
    for path_inside, tensor in named_leaves(obj):
        name = f"array {path_inside}" if path_inside else what
        if tensor.numel() == 0:
            message = f"{name} has no samples: its shape is {tuple(tensor.shape)}"
            raise SampleError("empty-data", message, hint="give at least one sample", file=path)
        if (
            tensor.layout == torch.strided
            and not tensor.is_meta
            and (tensor.is_floating_point() or tensor.is_complex())
        ):
            _check_finite(tensor, name, path)


def _check_finite(tensor: torch.Tensor, name: str, path: str) -> None:
    bad = ~torch.isfinite(tensor)
    if "mask" in name.lower() and tensor.is_floating_point():
        bad &= tensor != -torch.inf
    count = int(bad.sum())
    if count:
        first = tuple(int(i) for i in bad.nonzero()[0])
        how_many = f"{count} of {tensor.numel()} values that are NaN or infinite"
        message = f"{name} has {how_many}, the first ({tensor[first].item()}) at index {first}"
        raise SampleError("non-finite-data", message, hint="clean the data, or leave those samples out", file=path)


def placed(obj: Any, dtype: torch.dtype, device: torch.device) -> Any:
    """Return a copy of `obj`: floating tensors in `dtype`, integers in kinds that layers take, all on `device`.

    Always a copy, because some models work in place on their input.
    """

    def place(tensor: torch.Tensor) -> torch.Tensor:
        wanted = dtype if tensor.is_floating_point() else _WIDENED.get(str(tensor.dtype).removeprefix("torch."))
        return tensor.to(device=device, dtype=wanted or tensor.dtype, copy=True)

    return map_tensors(place, obj)


def shapes(obj: Any) -> str:
    """Describe the tensors in `obj` in a phrase: ``x float32 (8, 3, 5), mask bool (8, 5)``; at most eight of them."""
    parts = [
        f"{name} {str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}".strip()
        for name, tensor in named_leaves(obj)
    ]
    return ", ".join(parts[:8]) + (f" and {len(parts) - 8} more" if len(parts) > 8 else "") or "no tensor"


def inputs_of(batch: Batch) -> dict[str, object]:
    """Return the inputs by name, those by order as ``input 0``, ``input 1`` … (one alone as ``input``)."""
    if len(batch.args) == 1:
        return {"input": batch.args[0], **batch.kwargs}
    return {**{f"input {index}": value for index, value in enumerate(batch.args)}, **batch.kwargs}
