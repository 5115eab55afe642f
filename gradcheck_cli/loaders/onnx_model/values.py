"""ONNX tensors and attributes as torch tensors and plain Python values."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import torch
from onnx import numpy_helper

DTYPES: Mapping[int, torch.dtype] = {
    onnx.TensorProto.FLOAT: torch.float32,
    onnx.TensorProto.UINT8: torch.uint8,
    onnx.TensorProto.INT8: torch.int8,
    onnx.TensorProto.UINT16: torch.uint16,
    onnx.TensorProto.INT16: torch.int16,
    onnx.TensorProto.INT32: torch.int32,
    onnx.TensorProto.INT64: torch.int64,
    onnx.TensorProto.BOOL: torch.bool,
    onnx.TensorProto.FLOAT16: torch.float16,
    onnx.TensorProto.DOUBLE: torch.float64,
    onnx.TensorProto.UINT32: torch.uint32,
    onnx.TensorProto.UINT64: torch.uint64,
    onnx.TensorProto.COMPLEX64: torch.complex64,
    onnx.TensorProto.COMPLEX128: torch.complex128,
    onnx.TensorProto.BFLOAT16: torch.bfloat16,
    onnx.TensorProto.FLOAT8E4M3FN: torch.float8_e4m3fn,
    onnx.TensorProto.FLOAT8E4M3FNUZ: torch.float8_e4m3fnuz,
    onnx.TensorProto.FLOAT8E5M2: torch.float8_e5m2,
    onnx.TensorProto.FLOAT8E5M2FNUZ: torch.float8_e5m2fnuz,
    onnx.TensorProto.FLOAT8E8M0: torch.float8_e8m0fnu,
}
"""ONNX element type → torch dtype; the types of 2 and 4 bits and strings have none."""
FLOATING = frozenset(number for number, dtype in DTYPES.items() if dtype.is_floating_point)
SMALL = frozenset(
    getattr(onnx.TensorProto, name)
    for name in ("UINT4", "INT4", "UINT2", "INT2", "FLOAT4E2M1")
    if hasattr(onnx.TensorProto, name)
)
"""Element types of less than a byte: held as int8, uint8 or float32."""
_BITS = {2: torch.uint16, 1: torch.uint8}


def to_torch(array: np.ndarray[Any, Any]) -> Any:
    """A torch tensor of the same values, in the same memory where that can be; strings stay a numpy array of objects."""
    if array.dtype == object or array.dtype.kind in "US":
        return array.astype(object)
    name = array.dtype.name
    if name in ("int4", "int2"):
        return torch.from_numpy(array.astype(np.int8))
    if name in ("uint4", "uint2"):
        return torch.from_numpy(array.astype(np.uint8))
    if name == "float4_e2m1fn":
        return torch.from_numpy(array.astype(np.float32))
    if name == "bfloat16" or name.startswith("float8"):
        dtype = getattr(torch, name)
        bits: Any = np.uint16 if name == "bfloat16" else np.uint8
        return _shared(array.view(bits)).view(dtype)
    return _shared(array)


def from_torch(value: Any) -> Any:
    """A numpy array of the same values, for ONNX Runtime and for comparisons; lists and absent values stay such."""
    if isinstance(value, (list, tuple)):
        return [from_torch(item) for item in value]
    if not isinstance(value, torch.Tensor):
        return value
    value = value.detach().cpu()
    name = str(value.dtype).removeprefix("torch.")
    if name == "bfloat16" or name.startswith("float8"):
        bits = value.contiguous().view(_BITS[value.element_size()]).numpy()
        return bits.view(getattr(ml_dtypes, name))
    return value.numpy()


def tensor(proto: onnx.TensorProto) -> Any:
    """The values of a TensorProto whose data lie in it."""
    return to_torch(numpy_helper.to_array(proto))


def attribute(proto: onnx.AttributeProto) -> Any:
    """The value of an attribute; graphs stay protos, since only the compiler knows what to make of them."""
    value = onnx.helper.get_attribute_value(proto)
    if proto.type == onnx.AttributeProto.STRING:
        return value.decode("utf-8", "replace")
    if proto.type == onnx.AttributeProto.STRINGS:
        return [item.decode("utf-8", "replace") for item in value]
    if proto.type == onnx.AttributeProto.TENSOR:
        return tensor(value)
    if proto.type == onnx.AttributeProto.TENSORS:
        return [tensor(item) for item in value]
    if proto.type == onnx.AttributeProto.SPARSE_TENSOR:
        return sparse(value)
    return value


def sparse(proto: onnx.SparseTensorProto) -> torch.Tensor:
    """A SparseTensorProto as a dense tensor."""
    values, indices = tensor(proto.values), tensor(proto.indices)
    dense = torch.zeros(tuple(proto.dims), dtype=values.dtype)
    if indices.dim() == 1:
        dense.view(-1)[indices] = values
    else:
        dense[tuple(indices.T)] = values
    return dense


def _shared(array: np.ndarray[Any, Any]) -> torch.Tensor:
    """A tensor in the same memory. That of a file's bytes is not writable, of which torch warns; nothing here writes to it."""
    if not array.flags.c_contiguous or not array.dtype.isnative:
        array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(array)
