"""Reads .npy and .npz: the header first, then the rows asked for, never past what the file has; never a pickle."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Any

import numpy as np
import torch
from numpy.lib import format as npy

from gradcheck_cli.errors import SampleError
from gradcheck_cli.sample.archives import check_archive
from gradcheck_cli.sample.arrays import tensor_of
from gradcheck_cli.sample.files import DataFile, reopened
from gradcheck_cli.sample.stored import StoredArray, stored

_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_REWRITE = "write the file again with numpy.save or numpy.savez"
_MAX_HEADER = 1 << 16
_CHUNK = 1 << 24
"""Bytes read at a time, so that a member that ends early costs no more than it has."""

Opener = Callable[[], AbstractContextManager[IO[bytes]]]


@dataclass(frozen=True)
class _Array:
    """One array as its header declares it."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    offset: int
    """Of the values in the stream."""


def read_npy(file: DataFile) -> torch.Tensor:
    """Return the one array of a .npy file, its values still on disk.

    Raises:
        SampleError: ``broken-data``, ``object-array`` or ``unsupported-data``.
    """

    @contextmanager
    def opened() -> Iterator[IO[bytes]]:
        with reopened(file) as again:
            yield again.stream

    return _array(file.stream, opened, file.size, "the array", file.path)


def read_npz(file: DataFile) -> dict[str, torch.Tensor]:
    """Return the arrays of a .npz file by key, in the file's order, their values still on disk.

    Raises:
        SampleError: ``broken-data``, ``object-array`` or ``unsupported-data``.
    """
    file.stream.seek(0)
    with zipfile.ZipFile(file.stream) as archive:
        check_archive(archive, file.path, stored=False)
        return {_key(member, file.path): _member(archive, member, file) for member in archive.infolist()}


def _key(member: zipfile.ZipInfo, path: str) -> str:
    name = member.filename.removesuffix(".npy")
    if PurePosixPath(name).name != name or "\\" in name:
        raise SampleError("broken-data", "an array's name has a path in it", hint=_REWRITE, file=path)
    return name


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, file: DataFile) -> StoredArray:
    what = f"array {member.filename.removesuffix('.npy')}"

    @contextmanager
    def opened() -> Iterator[IO[bytes]]:
        with reopened(file) as again, zipfile.ZipFile(again.stream) as archive, archive.open(member) as stream:
            yield stream

    with _damage_named(what, file.path), archive.open(member) as stream:
        return _array(stream, opened, member.file_size, what, file.path)


@contextmanager
def _damage_named(what: str, path: str) -> Iterator[None]:
    try:
        yield
    except (SampleError, MemoryError):
        raise
    except Exception as error:  # zipfile, zlib and the file system raise many kinds on garbage; all mean the same
        raise _broken(f"{what} is damaged", path) from error


def _array(stream: IO[bytes], opened: Opener, size: int, what: str, path: str) -> StoredArray:
    array = _header(stream, what, path)
    _check_dtype(array.dtype, what, path)
    count, room = math.prod(array.shape) * array.dtype.itemsize, size - array.offset
    if count > room:
        declared = f"{array.dtype} {array.shape}, {count} bytes"
        raise _broken(f"{what} is declared as {declared}, and the file has {max(room, 0)} for it", path)

    def read(rows: int) -> torch.Tensor:
        with _damage_named(what, path), opened() as stream:
            return tensor_of(_values(stream, array, rows, what, path), what, path)

    kind = tensor_of(np.empty((0,), array.dtype), what, path).dtype
    return stored(array.shape, kind, what, path, read)


def _values(stream: IO[bytes], array: _Array, rows: int, what: str, path: str) -> np.ndarray[Any, Any]:
    """Read the first `rows` rows. In Fortran order each column is a run of its own."""
    shape = (rows, *array.shape[1:]) if array.shape else ()
    _skip(stream, array.offset)
    if not array.fortran or rows == (array.shape[0] if array.shape else 0):
        data = _exactly(stream, math.prod(shape) * array.dtype.itemsize, what, path)
        flat = np.frombuffer(data, dtype=array.dtype, count=math.prod(shape))
        return flat.reshape(shape[::-1]).T if array.fortran else flat.reshape(shape)
    gap = (array.shape[0] - rows) * array.dtype.itemsize
    columns = bytearray()
    for _ in range(math.prod(shape[1:])):
        columns += _exactly(stream, rows * array.dtype.itemsize, what, path)
        _skip(stream, gap)
    return np.frombuffer(columns, dtype=array.dtype).reshape(shape[::-1]).T


def _skip(stream: IO[bytes], count: int) -> None:
    if count:
        stream.seek(count, 1)


def _exactly(stream: IO[bytes], count: int, what: str, path: str) -> bytearray:
    data = bytearray()
    while len(data) < count:
        piece = stream.read(min(count - len(data), _CHUNK))
        if not piece:
            raise _broken(f"{what} is cut short", path)
        data += piece
    return data


def _header(stream: IO[bytes], what: str, path: str) -> _Array:
    try:
        version = npy.read_magic(stream)
        begin = stream.tell()
        length = int.from_bytes(stream.read(2 if version == (1, 0) else 4), "little")
        if length > _MAX_HEADER:  # numpy would make room for all of it first
            raise ValueError(length)
        stream.seek(begin)
        shape, fortran, dtype = _HEADERS[version](stream)
    except Exception as error:  # the header is parsed as a Python literal: garbage provokes every kind
        raise _broken(f"{what} has a broken header", path) from error
    if len(shape) > 32 or any(size < 0 for size in shape):
        raise _broken(f"{what} has a broken header", path)
    return _Array(shape, fortran, dtype, stream.tell())


def _check_dtype(dtype: np.dtype[Any], what: str, path: str) -> None:
    if dtype.hasobject:
        message = f"{what} holds Python objects, which only a pickle can store and which could run code"
        raise SampleError("object-array", message, hint="save it with a numeric dtype", file=path)
    if dtype.kind not in "biufc":
        message = f"{what} has dtype {dtype}, which is no number"
        raise SampleError("unsupported-data", message, hint="save it as numbers", file=path)


def _broken(message: str, path: str) -> SampleError:
    return SampleError("broken-data", message, hint=_REWRITE, file=path)
