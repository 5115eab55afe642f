"""Reads one ONNX tensor (``input_0.pb``): a small, strict reader of protobuf's wire format for the message TensorProto.

The `onnx` package would bring protobuf's runtime and run it over a stranger's bytes for the sake of 14 flat fields. Source:
onnx.proto3 (TensorProto) and protobuf's encoding page.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from gradcheck_cli.errors import SampleError
from gradcheck_cli.sample.arrays import tensor_of
from gradcheck_cli.sample.files import DataFile

MAX_BYTES = 2 << 30
"""Protobuf's own limit."""
_MAX_FIELD = 64
"""Field numbers above it are no TensorProto's, today or soon."""

_BFLOAT16 = 16
_DTYPES: dict[int, str] = {
    **{1: "<f4", 2: "|u1", 3: "|i1", 4: "<u2", 5: "<i2", 6: "<i4", 7: "<i8", 9: "|b1", 10: "<f2", 11: "<f8"},
    **{12: "<u4", 13: "<u8", 14: "<c8", 15: "<c16", _BFLOAT16: "<u2"},
}
_TEXT = 8
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_NUMBERS = {4: ("<f4", _FIXED32), 5: ("<i4", _VARINT), 7: ("<i8", _VARINT), 10: ("<f8", _FIXED64), 11: ("<u8", _VARINT)}
"""Fields of typed values: the numbers' dtype and their wire type where they are not packed."""
_HOLDERS = {**dict.fromkeys((1, 14), 4), **dict.fromkeys((11, 15), 10), 7: 7, 12: 11, 13: 11}
"""Data type → the field of its values; field 5 (int32) for all others."""
_DIMS, _TYPE, _SEGMENT, _STRINGS, _NAME, _RAW, _EXTERNAL, _LOCATION = 1, 2, 3, 6, 8, 9, 13, 14


@dataclass
class _Message:
    dims: list[int] = field(default_factory=list)
    data_type: int = 0
    name: str = ""
    raw: bytes | None = None
    numbers: dict[int, list[np.ndarray[Any, Any]]] = field(default_factory=dict)


def read_tensor(file: DataFile) -> tuple[str, torch.Tensor]:
    """Return the tensor's name, empty where it has none, and the tensor.

    Raises:
        SampleError: ``broken-data`` or ``unsupported-data``.
    """
    if file.size > MAX_BYTES:
        raise _broken(f"it has {file.size} bytes, over protobuf's limit of {MAX_BYTES}", file.path)
    file.stream.seek(0)
    try:
        message = _message(file.stream.read(file.size), file.path)
        return message.name, _tensor(message, file.path)
    except (SampleError, MemoryError):
        raise
    except (ValueError, IndexError, OverflowError) as error:
        raise _broken("this is no ONNX tensor, or it is damaged", file.path) from error


def _message(data: bytes, path: str) -> _Message:
    message = _Message()
    for number, wire, value in _fields(data):
        if number == _DIMS:
            message.dims += [value] if wire == _VARINT else _varints(value).view(np.int64).tolist()
        elif number == _TYPE and wire == _VARINT:
            message.data_type = value
        elif number in _NUMBERS:
            message.numbers.setdefault(number, []).append(_numbers(number, wire, value))
        elif number == _RAW and wire == _BYTES:
            message.raw = value
        elif number == _NAME and wire == _BYTES:
            message.name = value.decode("utf-8")
        elif number in (_SEGMENT, _EXTERNAL) or (number == _LOCATION and value):
            what = "its values lie in another file, or in segments"
            raise SampleError("unsupported-data", what, hint="write it as one tensor with raw data", file=path)
        elif number == _STRINGS:
            raise _text(path)
        elif number in (*range(1, 12), _LOCATION) and wire != _BYTES:
            raise ValueError
    return message


def _fields(data: bytes) -> Iterator[tuple[int, int, Any]]:
    """Yield number, wire type and value of each field: an int for varints, else the bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if not 1 <= number <= _MAX_FIELD:
            raise ValueError
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, wire, value
            continue
        if wire == _BYTES:
            length, at = _varint(data, at)
        else:
            length = {_FIXED64: 8, _FIXED32: 4}.get(wire, len(data) + 1)
        if length > len(data) - at:
            raise ValueError
        yield number, wire, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
    raise ValueError


def _varints(data: bytes) -> np.ndarray[Any, Any]:
    """Return the unsigned numbers of a packed field, all at once."""
    parts = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(parts < 0x80)
    if not len(parts):
        return np.empty(0, np.uint64)
    if not len(ends) or ends[-1] != len(parts) - 1:
        raise ValueError
    starts = np.concatenate(([0], ends[:-1] + 1))
    if (ends - starts).max() > 9:
        raise ValueError
    places = np.arange(len(parts)) - np.repeat(starts, ends - starts + 1)
    shifted = (parts & 0x7F).astype(np.uint64) << (7 * places).astype(np.uint64)
    return np.bitwise_or.reduceat(shifted, starts)


def _numbers(number: int, wire: int, value: Any) -> np.ndarray[Any, Any]:
    dtype, single = _NUMBERS[number]
    if wire not in (single, _BYTES):
        raise ValueError
    if single != _VARINT:
        return np.frombuffer(value, dtype)
    found = _varints(value) if wire == _BYTES else np.array([value], np.uint64)
    return found.astype(dtype)


def _tensor(message: _Message, path: str) -> torch.Tensor:
    if message.data_type == _TEXT:
        raise _text(path)
    dtype = _DTYPES.get(message.data_type)
    if dtype is None:
        what = f"it has ONNX data type {message.data_type}, which gradcheck does not read"
        raise SampleError("unsupported-data", what, hint="write it as float32 or int64", file=path)
    if len(message.dims) > 32 or any(size < 0 for size in message.dims):
        raise ValueError
    shape = tuple(message.dims)
    flat = _flat(message, np.dtype(dtype))
    if flat.size != math.prod(shape):
        raise _broken(f"it is declared as {shape} and has {flat.size} values", path)
    array = flat.reshape(shape)
    if message.data_type == _BFLOAT16:
        return torch.from_numpy(array.astype(np.uint16).view(np.int16)).view(torch.bfloat16)
    return tensor_of(array, "the tensor", path)


def _flat(message: _Message, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    holder = _HOLDERS.get(message.data_type, 5)
    if set(message.numbers) - {holder} or (message.raw is not None and message.numbers):
        raise ValueError
    if message.raw is not None:
        return np.frombuffer(message.raw, dtype)
    numbers = np.concatenate(message.numbers.get(holder) or [np.empty(0, _NUMBERS[holder][0])])
    if dtype.kind == "c":
        return numbers.view(dtype)
    # Half precision comes as its bits.
    return numbers.astype(np.uint16).view(dtype) if dtype.itemsize == 2 and dtype.kind == "f" else numbers.astype(dtype)


def _text(path: str) -> SampleError:
    return SampleError("unsupported-data", "it holds text", hint="give numbers", file=path)


def _broken(message: str, path: str) -> SampleError:
    return SampleError("broken-data", message, hint="write it again with onnx.numpy_helper.from_array", file=path)
