"""Reads .safetensors data: a strict look at the header, then the rows asked for. Needs no library.

The layout: eight bytes of length, little-endian, a JSON object of that length, then the values of all tensors, one after
the other, without gaps or overlaps. Source: the safetensors format description.
"""

from __future__ import annotations

import json
import math
from typing import Any

import torch

from gradcheck_cli.errors import SampleError
from gradcheck_cli.sample.files import DataFile, reopened
from gradcheck_cli.sample.raw_values import read_values
from gradcheck_cli.sample.stored import stored

MAX_HEADER = 100_000_000
"""Bytes: the format's own limit."""
MAX_ENTRIES = 100_000
_DTYPES = {
    **{"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16},
    **{"I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "BOOL": torch.bool},
    **{"U64": torch.uint64, "U32": torch.uint32, "U16": torch.uint16, "U8": torch.uint8, "C64": torch.complex64},
    **{"F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2},
}


def is_safetensors(file: DataFile) -> bool:
    """Tell by the length of the header, which fits into the file, and the brace behind it."""
    return file.head[8:9] == b"{" and _header_length(file.head) <= file.size - 8


def read_safetensors(file: DataFile) -> dict[str, torch.Tensor]:
    """Return the arrays of the file by name, in the file's order, their values still on disk.

    Raises:
        SampleError: ``broken-data`` or ``unsupported-data``.
    """
    length = _header_length(file.head)
    if length > MAX_HEADER:
        raise _broken(f"its header has {length} bytes, over the limit of {MAX_HEADER}", file.path)
    entries = _entries(file, length)
    begin, found = 0, {}
    for name, (dtype, shape, start, end) in sorted(entries.items(), key=lambda item: item[1][2:]):
        if start != begin:
            raise _broken(f"array {name} leaves a gap, or lies over another", file.path)
        if end - start != math.prod(shape) * dtype.itemsize:
            declared = f"{str(dtype).removeprefix('torch.')} {shape}"
            raise _broken(f"array {name} is declared as {declared} and has {end - start} bytes", file.path)
        begin, found[name] = end, _stored(file, name, dtype, shape, 8 + length + start)
    if begin != file.size - 8 - length:
        raise _broken("the file is longer or shorter than its header says", file.path)
    return {name: found[name] for name in entries}


def _stored(file: DataFile, name: str, dtype: torch.dtype, shape: tuple[int, ...], offset: int) -> torch.Tensor:
    what = f"array {name}"

    def read(rows: int) -> torch.Tensor:
        wanted = (rows, *shape[1:]) if shape else shape
        with reopened(file) as again:
            return read_values(again.stream, offset, wanted, dtype, what, file.path)

    return stored(shape, dtype, what, file.path, read)


def _header_length(head: bytes) -> int:
    return int.from_bytes(head[:8], "little")


Entry = tuple[torch.dtype, tuple[int, ...], int, int]


def _entries(file: DataFile, length: int) -> dict[str, Entry]:
    file.stream.seek(8)
    text = file.stream.read(length)
    if text.count(b"{") > MAX_ENTRIES:
        raise _broken("its header has too many parts", file.path)
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise _broken("its header is no JSON, or names an array twice", file.path) from error
    if not isinstance(header, dict):
        raise _broken("its header is no JSON object", file.path)
    header.pop("__metadata__", None)
    return {str(name): _entry(name, value, file.path) for name, value in header.items()}


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _entry(name: str, value: Any, path: str) -> Entry:
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise _broken(f"array {name} is not declared with dtype, shape and data_offsets", path)
    shape, offsets, kind = value["shape"], value["data_offsets"], value["dtype"]
    if (
        not _is_sizes(shape)
        or len(shape) > 32
        or not _is_sizes(offsets)
        or len(offsets) != 2
        or offsets[0] > offsets[1]
    ):
        raise _broken(f"array {name} has a broken shape or offsets", path)
    dtype = _DTYPES.get(kind) if isinstance(kind, str) else None
    if dtype is None:
        hint = "write it as one of " + ", ".join(_DTYPES)
        raise SampleError("unsupported-data", f"array {name} has an unknown dtype", hint=hint, file=path)
    return dtype, tuple(shape), offsets[0], offsets[1]


def _is_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(size) is int and 0 <= size < 2**63 for size in value)


def _broken(message: str, path: str) -> SampleError:
    return SampleError("broken-data", message, hint="write the file again with safetensors.torch.save_file", file=path)
