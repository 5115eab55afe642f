"""Does a tensor in the file hold what it says: a known type, sane sizes, and just as much data?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import onnx
from onnx import numpy_helper

from gradcheck_cli.loaders.onnx_model import values
from gradcheck_cli.loaders.onnx_model.faults import GraphFault
from gradcheck_cli.loaders.refusals import printable

MAX_RANK = 64
"""numpy's own limit."""
MAX_DENSE = 1 << 24
"""Elements of a sparse tensor written out, or `MAX_SPARSITY` times as many as it stores."""
MAX_SPARSITY = 1000
_TYPES = onnx.TensorProto
_QUARTERS: Mapping[int, int] = {
    **{getattr(_TYPES, name): 2 for name in ("UINT4", "INT4", "FLOAT4E2M1") if hasattr(_TYPES, name)},
    **{getattr(_TYPES, name): 1 for name in ("UINT2", "INT2") if hasattr(_TYPES, name)},
}
"""Quarters of a byte that an element of a small type takes."""
_FIELDS: Mapping[int, tuple[str, int]] = {
    **{_TYPES.FLOAT: ("float_data", 1), _TYPES.COMPLEX64: ("float_data", 2)},
    **{_TYPES.DOUBLE: ("double_data", 1), _TYPES.COMPLEX128: ("double_data", 2)},
    **{_TYPES.INT64: ("int64_data", 1), _TYPES.STRING: ("string_data", 1)},
    **{_TYPES.UINT32: ("uint64_data", 1), _TYPES.UINT64: ("uint64_data", 1)},
}
"""Element type → the field for its numbers, and how many of them an element takes; all others: int32_data, one."""
_DATA = ("float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data")


def check_tensor(tensor: onnx.TensorProto, what: str, *, may_be_external: bool = False) -> None:
    """Raises GraphFault where `tensor`, which is called `what`, contradicts itself; external data are not looked at."""
    kind = tensor.data_type
    if kind not in values.DTYPES and kind not in _QUARTERS and kind != _TYPES.STRING:
        raise GraphFault(f"{what} is of the element type {kind}, which is not known here")
    count = _elements(tensor.dims, what)
    if tensor.HasField("segment"):
        raise GraphFault(f"{what} is only a part of a tensor")
    if tensor.data_location == _TYPES.EXTERNAL:
        if not may_be_external:
            raise GraphFault(f"the data of {what} lie in a file of their own, as only those of weights may")
        return
    _check_data(tensor, count, what)


def check_sparse(sparse: onnx.SparseTensorProto, what: str) -> None:
    """Raises GraphFault where a sparse tensor contradicts itself, or would be huge when written out."""
    check_tensor(sparse.values, what)
    check_tensor(sparse.indices, f"the list of places of {what}")
    size, stored = _elements(sparse.dims, what), math.prod(sparse.values.dims)
    if size > max(MAX_DENSE, MAX_SPARSITY * stored):
        raise GraphFault(f"{what} has {stored} stored values and, written out, {size}")
    shape = list(sparse.indices.dims)
    rank = len(sparse.dims)
    if not rank or sparse.indices.data_type != _TYPES.INT64 or shape not in ([stored], [stored, rank]):
        raise GraphFault(f"the list of places of {what} does not fit its {stored} values in {rank} dimensions")
    if not stored:
        return
    places = numpy_helper.to_array(sparse.indices)
    limits = list(sparse.dims) if len(shape) == 2 else size
    if (places < 0).any() or (places >= limits).any():
        raise GraphFault(f"{what} has values at places outside of its {size} elements")


def _elements(dims: Sequence[int], what: str) -> int:
    if len(dims) > MAX_RANK or any(extent < 0 for extent in dims):
        shown = ", ".join(map(str, dims[:8])) + (", …" if len(dims) > 8 else "")
        raise GraphFault(f"{what} is said to have the dimensions ({shown})")
    # As if none were 0: torch multiplies them all.
    if math.prod(max(extent, 1) for extent in dims) >= 1 << 60:
        raise GraphFault(
            f"{what} is said to have the dimensions ({', '.join(map(str, dims[:8]))}), more than any memory holds"
        )
    return math.prod(dims)


def _check_data(tensor: onnx.TensorProto, count: int, what: str) -> None:
    filled = [name for name in _DATA if len(getattr(tensor, name))]
    if tensor.HasField("raw_data"):
        if filled:
            raise GraphFault(f"{what} has its data twice, as bytes and as numbers")
        size = _bytes(tensor.data_type, count)
        if tensor.data_type == _TYPES.STRING or len(tensor.raw_data) != size:
            raise GraphFault(f"{what} has {len(tensor.raw_data)} bytes of data, and its {count} elements need {size}")
        return
    name, each = _FIELDS.get(tensor.data_type, ("int32_data", 1))
    if filled not in ([], [name]):
        raise GraphFault(f"{what} has its data as numbers of another type")
    quarters = _QUARTERS.get(tensor.data_type)
    expected = count * each if quarters is None else math.ceil(count * quarters / 4)
    if len(getattr(tensor, name)) != expected:
        raise GraphFault(f"{what} has {len(getattr(tensor, name))} numbers, and its {count} elements need {expected}")
    if name == "string_data":
        _check_text(tensor, what)


def _bytes(kind: int, count: int) -> int:
    if kind in _QUARTERS:
        return math.ceil(count * _QUARTERS[kind] / 4)
    return count * values.DTYPES[kind].itemsize if kind in values.DTYPES else 0


def _check_text(tensor: onnx.TensorProto, what: str) -> None:
    try:
        for piece in tensor.string_data:
            piece.decode("utf-8")
    except UnicodeDecodeError as error:
        raise GraphFault(f"{what} holds text that is not valid UTF-8: {printable(error.object[:20])}") from error
