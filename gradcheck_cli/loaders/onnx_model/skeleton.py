"""An ONNX file without its big weights: a small message to parse, while the weights are read straight to where they stay.

Parsed as a whole, a file of 1 GB lies in memory three times: its bytes, protobuf's copy of the weights, and the tensors.
Protobuf gives their bytes no alignment, so they are not mapped but read, once. Whatever is not as exporters write it is left
in the skeleton, for protobuf to understand or to refuse: this scan never judges a file.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import onnx
import torch
from google.protobuf.message import DecodeError

from gradcheck_cli.loaders.onnx_model import values
from gradcheck_cli.loaders.source import Source

BIG = 1 << 14
"""Bytes from which on a weight is taken out."""
_MAX_FIELDS = 2_000_000
"""Looked at in one file: a node, an initialiser and each field of an initialiser is one."""
_MAX_HEADER = 1 << 16
"""Bytes of an initialiser without its data."""
_MAX_AXES = 64
_BLOCK = 1 << 16
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
"""Wire types; the two others, of groups, are in no ONNX file."""
_GRAPH = onnx.ModelProto.GRAPH_FIELD_NUMBER
_INITIALISER = onnx.GraphProto.INITIALIZER_FIELD_NUMBER
_RAW = onnx.TensorProto.RAW_DATA_FIELD_NUMBER
_ELSEWHERE: bytes = onnx.TensorProto(data_location=onnx.TensorProto.EXTERNAL).SerializeToString()
_OTHER_DATA = ("float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data", "external_data")


class _OddError(Exception):
    """The file is not as exporters write it."""


@dataclass
class Skeleton:
    """What is left of a file, and what was taken out."""

    message: bytes
    """A ModelProto whose big initialisers have their data elsewhere, and do not say where."""
    stored: dict[str, torch.Tensor] = field(default_factory=dict)
    """Initialiser → its values, in memory of their own."""


def read(source: Source) -> Skeleton:
    """Take the big initialisers of the main graph out. Raises a `ModelError` only where the file cannot be read."""
    if sys.byteorder == "little" and source.size >= BIG:
        try:
            return _Scan(source).skeleton()
        except _OddError:
            pass
    return Skeleton(source.data)


@dataclass(frozen=True)
class _Field:
    """Where a field lies: its tag at `start`, its content from `begin` to `end`."""

    number: int
    wire: int
    start: int
    begin: int
    end: int


class _Scan:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._block, self._at = b"", 0
        self._left = _MAX_FIELDS
        self._stored: dict[str, torch.Tensor] = {}

    def skeleton(self) -> Skeleton:
        message = self._without(0, self._source.size, _GRAPH, self._graph)
        return Skeleton(message, self._stored)

    def _graph(self, graph: _Field) -> bytes | None:
        return self._without(graph.begin, graph.end, _INITIALISER, self._initialiser)

    def _initialiser(self, tensor: _Field) -> bytes | None:
        """Its message without the data, which are stored; None where it stays as it is."""
        if tensor.end - tensor.begin < BIG:
            return None
        raw = [each for each in self._fields(tensor.begin, tensor.end) if each.number == _RAW]
        if len(raw) != 1 or raw[0].wire != _LENGTH:
            return None
        (data,) = raw
        size = data.end - data.begin
        if size < BIG or tensor.end - tensor.begin - size > _MAX_HEADER:
            return None
        header = self._bytes(tensor.begin, data.start) + self._bytes(data.end, tensor.end)
        try:
            proto = onnx.TensorProto.FromString(header)
        except DecodeError as error:
            raise _OddError from error
        dtype = values.DTYPES.get(proto.data_type)
        if dtype is None or not _is_plain(proto, dtype, size) or proto.name in self._stored:
            return None
        value = torch.empty(size, dtype=torch.uint8)
        self._source.read_into(data.begin, value.numpy().data)
        self._stored[proto.name] = value.view(dtype).reshape(tuple(proto.dims))
        return header + _ELSEWHERE

    def _without(self, begin: int, end: int, number: int, replace: Any) -> bytes:
        """The fields between two places; those of one number are what `replace` gives for them, if not None."""
        pieces, kept = [], begin
        for each in self._fields(begin, end):
            content = replace(each) if each.number == number and each.wire == _LENGTH else None
            if content is not None:
                tag = (number << 3 | _LENGTH).to_bytes(1, "little")
                pieces += [self._bytes(kept, each.start), tag, _as_varint(len(content)), content]
                kept = each.end
        return b"".join([*pieces, self._bytes(kept, end)])

    def _fields(self, begin: int, end: int) -> Iterator[_Field]:
        place = begin
        while place < end:
            self._left -= 1
            if self._left < 0:
                raise _OddError
            tag, content = self._varint(place, end)
            number, wire = tag >> 3, tag & 7
            if wire == _VARINT:
                _, after = self._varint(content, end)
            elif wire == _LENGTH:
                size, content = self._varint(content, end)
                after = content + size
            elif wire in (_FIXED64, _FIXED32):
                after = content + (8 if wire == _FIXED64 else 4)
            else:
                raise _OddError
            if after > end or not number:
                raise _OddError
            yield _Field(number, wire, place, content, after)
            place = after

    def _varint(self, place: int, end: int) -> tuple[int, int]:
        """A number of at most 64 bits and the place after it."""
        value = 0
        for shift in range(0, 64, 7):
            if place >= end:
                break
            byte = self._byte(place)
            value |= (byte & 0x7F) << shift
            place += 1
            if byte < 0x80:
                return value, place
        raise _OddError

    def _byte(self, place: int) -> int:
        if not self._at <= place < self._at + len(self._block):
            self._at = place
            self._block = self._source.read(place, min(_BLOCK, self._source.size - place))
        return self._block[place - self._at]

    def _bytes(self, begin: int, end: int) -> bytes:
        return self._source.read(begin, end - begin)


def _is_plain(proto: onnx.TensorProto, dtype: torch.dtype, size: int) -> bool:
    """All its data are the raw ones, and as many as its shape says."""
    odd = proto.data_location != onnx.TensorProto.DEFAULT or proto.HasField("segment")
    if odd or len(proto.dims) > _MAX_AXES or any(len(getattr(proto, name)) for name in _OTHER_DATA):
        return False
    count = 1
    for extent in proto.dims:
        count *= max(extent, 0)
    return count * dtype.itemsize == size


def _as_varint(value: int) -> bytes:
    digits = bytearray()
    while value >= 0x80:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])
