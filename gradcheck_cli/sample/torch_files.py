"""Reads .pt data: a tensor, or tuples, lists and dicts of tensors. torch itself never unpickles it.

After a look at the opcodes, `_Unpickler` rebuilds the containers and leaves the tensors on disk: a storage is a member of
the archive that is not compressed, so the rows asked for lie at a known place in it.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import torch

from gradcheck_cli.errors import SampleError
from gradcheck_cli.sample.archives import check_archive, zip_names
from gradcheck_cli.sample.arrays import as_tensors
from gradcheck_cli.sample.files import DataFile, reopened
from gradcheck_cli.sample.pickles import BrokenPickleError, ForeignPickleError, check_pickle
from gradcheck_cli.sample.raw_values import read_values
from gradcheck_cli.sample.stored import StoredArray, stored

MAX_EXPANDED = 1 << 30
"""Bytes that a tensor may seem to have beyond its storage (expanded, stride 0)."""
_LOCAL_HEADER = 30
"""Bytes of a zip member's own header, before its name and extra field."""
_STORAGES = {
    **{"DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16},
    **{"BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32},
    **{"ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool},
    **{"ComplexFloatStorage": torch.complex64, "ComplexDoubleStorage": torch.complex128},
}


def read_pt(file: DataFile) -> Any:
    """Return what torch.save wrote: a tensor, or a tuple, list or dict of tensors, their values still on disk.

    Raises:
        SampleError: ``broken-data``, or ``unsupported-data`` where it holds anything but tensors.
    """
    names = zip_names(file)
    if any("/code/" in f"/{name}" for name in names):
        message = "this is a TorchScript program, not data"
        raise SampleError("unsupported-data", message, hint="pass it as the model", file=file.path)
    file.stream.seek(0)
    with zipfile.ZipFile(file.stream) as archive:
        check_archive(archive, file.path, stored=True)
        pickled = archive.read(next(name for name in names if name.split("/")[-1] == "data.pkl"))
        storages = _storages(archive, file)
    try:
        check_pickle(pickled)
    except ForeignPickleError as error:
        hint = "save a tensor, or a tuple, list or dict of tensors, with torch.save"
        raise SampleError("unsupported-data", str(error), hint=hint, file=file.path) from error
    except BrokenPickleError as error:
        raise _broken("its pickle is damaged", file.path) from error
    return as_tensors(_unpickled(pickled, storages, file), "the data", file.path)


def _unpickled(pickled: bytes, storages: dict[str, tuple[int, int]], file: DataFile) -> Any:
    try:
        return _Unpickler(pickled, storages, file).load()
    except (SampleError, MemoryError):
        raise
    except Exception as error:  # many kinds were seen on hostile files; all mean the same
        raise _broken("its pickle is damaged", file.path) from error


def _storages(archive: zipfile.ZipFile, file: DataFile) -> dict[str, tuple[int, int]]:
    """Return offset and size in bytes of each storage, by key."""
    if any(archive.read(name) != b"little" for name in archive.namelist() if name.split("/")[-1] == "byteorder"):
        hint = "save it again on this machine"
        raise SampleError("unsupported-data", "it was written on a big-endian machine", hint=hint, file=file.path)
    found = {}
    for member in archive.infolist():
        folder, _, key = member.filename.rpartition("/")
        if folder.split("/")[-1] == "data":
            file.stream.seek(member.header_offset + _LOCAL_HEADER - 4)
            lengths = file.stream.read(4)
            extra = int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
            found[key] = (member.header_offset + _LOCAL_HEADER + extra, member.file_size)
    return found


@dataclass(frozen=True)
class _Storage:
    dtype: torch.dtype | None
    """None where the tensor says it (untyped)."""
    offset: int
    size: int


class _Unpickler(pickle.Unpickler):
    """Knows only what `pickles.CALLABLE` names, each by a function of our own; imports nothing."""

    def __init__(self, pickled: bytes, storages: dict[str, tuple[int, int]], file: DataFile) -> None:
        super().__init__(io.BytesIO(pickled))
        self._storages = storages
        self._file = file

    def find_class(self, module: str, name: str) -> Any:
        known = {
            "torch._utils _rebuild_tensor_v2": self._tensor,
            "torch._utils _rebuild_tensor_v3": self._typed_tensor,
            "torch._utils _rebuild_parameter": lambda data, *_: data,
            "collections OrderedDict": OrderedDict,
            "torch Size": tuple,
        }
        if f"{module} {name}" in known:
            return known[f"{module} {name}"]
        if name.endswith("Storage"):
            return None if name == "UntypedStorage" else _STORAGES[name]
        return getattr(torch, name)  # `check_pickle` lets dtypes pass, and nothing else

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, _ = pid
        if kind != "storage":
            raise pickle.UnpicklingError
        return _Storage(dtype, *self._storages[key])

    def _tensor(self, storage: _Storage, offset: int, size: Any, stride: Any, *_: Any) -> StoredArray:
        if storage.dtype is None:
            raise pickle.UnpicklingError
        return _stored(self._file, storage, storage.dtype, int(offset), tuple(size), tuple(stride))

    def _typed_tensor(
        self, storage: _Storage, offset: int, size: Any, stride: Any, _grad: Any, _hooks: Any, dtype: Any, *_: Any
    ) -> StoredArray:
        return _stored(self._file, storage, dtype, int(offset), tuple(size), tuple(stride))


def _stored(
    file: DataFile, storage: _Storage, dtype: torch.dtype, offset: int, size: tuple[int, ...], stride: tuple[int, ...]
) -> StoredArray:
    if len(size) != len(stride) or len(size) > 64 or any(number < 0 for number in (offset, *size, *stride)):
        raise pickle.UnpicklingError
    count, room = math.prod(size), storage.size // dtype.itemsize - offset
    if count * dtype.itemsize > max(MAX_EXPANDED, storage.size):
        raise _broken(f"a tensor claims {count * dtype.itemsize} bytes and has fewer", file.path)
    if count and 1 + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) > room:
        raise _broken("a tensor reaches past the end of its values", file.path)
    start = storage.offset + offset * dtype.itemsize

    def read(rows: int) -> torch.Tensor:
        wanted = (rows, *size[1:]) if size else size
        reach = 1 + sum((n - 1) * step for n, step in zip(wanted, stride, strict=True)) if math.prod(wanted) else 0
        with reopened(file) as again:
            flat = read_values(again.stream, start, (reach,), dtype, "a tensor", file.path)
        return flat.as_strided(wanted, stride)

    return stored(size, dtype, "the data", file.path, read)


def _broken(message: str, path: str) -> SampleError:
    return SampleError("broken-data", message, hint="write the file again with torch.save", file=path)
