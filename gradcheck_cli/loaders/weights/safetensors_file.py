"""Reads the header of a safetensors file more strictly than its specification asks.

Source of the format: https://huggingface.co/docs/safetensors: eight bytes of length, JSON, then the values without holes.
"""

from __future__ import annotations

import json
import math
from typing import Any

from gradcheck_cli.loaders.archive import Region
from gradcheck_cli.loaders.refusals import Slug, printable, refuse
from gradcheck_cli.loaders.source import Source
from gradcheck_cli.loaders.weights.contents import Weights
from gradcheck_cli.loaders.weights.stored import ITEMSIZE, MAX_EXTENT, StoredTensor, stored_tensor

MAX_HEADER = 32 << 20
MAX_CONTAINERS = 600_000
"""Lists and dicts in the header: three for each tensor."""
MAX_DIMENSIONS = 64
_METADATA = "__metadata__"
_DTYPES = {
    **{"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"},
    **{"I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8"},
    **{"U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool"},
    **{"F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "C64": "complex64"},
}


def read_safetensors(source: Source) -> Weights:
    """The tensors of a safetensors file, by name; of the values nothing is read.

    Raises:
        ModelError: `damaged-file` or `truncated-file` for a header that breaks the format or contradicts the file.
    """
    length = int.from_bytes(source.head[:8], "little")
    if source.size < 8 or length > source.size - 8:
        raise refuse(Slug.TRUNCATED_FILE, source.path, "the file ends within its header", _AGAIN)
    if length > MAX_HEADER:
        raise _damaged(source, f"its header has {length} bytes, over the limit of {MAX_HEADER}")
    header = _json(source, source.read(8, length))
    tensors = {name: _tensor(source, name, entry, 8 + length) for name, entry in header.items() if name != _METADATA}
    _check_metadata(source, header.get(_METADATA, {}))
    _check_cover(source, tensors, 8 + length)
    if not tensors:
        raise refuse(Slug.NOT_A_MODEL, source.path, "the file holds no tensors", "save the weights again")
    return Weights(tensors)


def _json(source: Source, text: bytes) -> dict[str, Any]:
    if text[:1] != b"{" or text.count(b"{") + text.count(b"[") > MAX_CONTAINERS:
        raise _damaged(source, "its header is no list of tensors")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("its header has a name twice")
        return found

    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        twice = str(error) if "twice" in str(error) else "its header is no readable JSON"
        raise _damaged(source, twice) from error
    if not isinstance(header, dict):
        raise _damaged(source, "its header is no list of tensors")
    return header


def _tensor(source: Source, name: str, entry: Any, start: int) -> StoredTensor:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise _damaged(source, f"the entry of {printable(name, 60)} is not of the format")
    shape, offsets = entry["shape"], entry["data_offsets"]
    dtype = _DTYPES.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
    if dtype is None:
        raise _damaged(source, f"{printable(name, 60)} is of the unknown dtype {printable(entry['dtype'], 20)}")
    if not (_are_extents(shape) and _are_extents(offsets) and len(offsets) == 2 and len(shape) <= MAX_DIMENSIONS):
        raise _damaged(source, f"the shape or the place of {printable(name, 60)} is impossible")
    begin, end = offsets
    if end - begin != math.prod(shape) * ITEMSIZE[dtype] or start + end > source.size:
        raise _damaged(source, f"the values of {printable(name, 60)} do not fit its shape, or the file")
    stride = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
    tensor = stored_tensor(dtype, tuple(shape), stride, 0, Region(source, start + begin, end - begin))
    if tensor is None:
        raise _damaged(source, f"the shape of {printable(name, 60)} is impossible")
    return tensor


def _are_extents(value: Any) -> bool:
    return isinstance(value, list) and all(type(number) is int and 0 <= number < MAX_EXTENT for number in value)


def _check_metadata(source: Source, metadata: Any) -> None:
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _damaged(source, "its metadata is no table of texts")


def _check_cover(source: Source, tensors: dict[str, StoredTensor], start: int) -> None:
    """Every byte after the header belongs to exactly one tensor."""
    end = start
    for region in sorted((tensor.storage for tensor in tensors.values()), key=lambda part: (part.begin, part.size)):
        if region.begin != end:
            raise _damaged(source, "its tensors overlap, or leave holes between them")
        end += region.size
    if end != source.size:
        raise _damaged(source, "it has bytes that belong to no tensor")


def _damaged(source: Source, message: str) -> Exception:
    return refuse(Slug.DAMAGED_FILE, source.path, message, _AGAIN)


_AGAIN = "copy or save the file again"
