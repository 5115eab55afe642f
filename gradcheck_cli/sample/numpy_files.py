"""Reads .npy and .npz: the header first, then exactly the bytes that it declares and the file has; never a pickle."""

from __future__ import annotations

import math
import zipfile
from pathlib import PurePosixPath
from typing import IO, Any

import numpy as np
import torch
from numpy.lib import format as npy

from gradcheck_cli.errors import SampleError
from gradcheck_cli.sample.archives import check_archive
from gradcheck_cli.sample.arrays import tensor_of
from gradcheck_cli.sample.files import DataFile

_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_REWRITE = "write the file again with numpy.save or numpy.savez"


def read_npy(file: DataFile) -> torch.Tensor:
    """Return the one array of a .npy file.

    Raises:
        SampleError: ``broken-data``, ``object-array`` or ``unsupported-data``.
    """
    return _read(file.stream, file.size, "the array", file.path)


def read_npz(file: DataFile) -> dict[str, torch.Tensor]:
    """Return the arrays of a .npz file by key, in the file's order.

    Raises:
        SampleError: ``broken-data``, ``object-array`` or ``unsupported-data``.
    """
    file.stream.seek(0)
    with zipfile.ZipFile(file.stream) as archive:
        check_archive(archive, file.path, stored=False)
        return {_key(member, file.path): _member(archive, member, file.path) for member in archive.infolist()}


def _key(member: zipfile.ZipInfo, path: str) -> str:
    name = member.filename.removesuffix(".npy")
    if PurePosixPath(name).name != name or "\\" in name:
        raise SampleError("broken-data", "an array's name has a path in it", hint=_REWRITE, file=path)
    return name


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: str) -> torch.Tensor:
    name = member.filename.removesuffix(".npy")
    try:
        with archive.open(member) as stream:
            return _read(stream, member.file_size, f"array {name}", path)
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError) as error:
        raise _broken(f"array {name} is damaged", path) from error
    except Exception as error:
        if isinstance(error, (SampleError, MemoryError)):
            raise
        raise _broken(f"array {name} is damaged", path) from error  # zlib.error and whatever else garbage provokes


def _read(stream: IO[bytes], size: int, what: str, path: str) -> torch.Tensor:
    shape, fortran, dtype = _header(stream, what, path)
    _check_dtype(dtype, what, path)
    count = math.prod(shape) * dtype.itemsize
    room = size - stream.tell()
    if count > room:
        message = f"{what} is declared as {dtype} {shape}, {count} bytes, and the file has {max(room, 0)} for it"
        raise _broken(message, path)
    data = stream.read(count)
    if len(data) != count:
        raise _broken(f"{what} is cut short", path)
    flat = np.frombuffer(bytearray(data), dtype=dtype, count=math.prod(shape))
    array = flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)
    return tensor_of(array, what, path)


def _header(stream: IO[bytes], what: str, path: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    try:
        version = npy.read_magic(stream)
        shape, fortran, dtype = _HEADERS[version](stream)
    except Exception as error:  # the header is parsed as a Python literal: garbage provokes every kind
        raise _broken(f"{what} has a broken header", path) from error
    if len(shape) > 32 or any(size < 0 for size in shape):
        raise _broken(f"{what} has a broken header", path)
    return shape, fortran, dtype


def _check_dtype(dtype: np.dtype[Any], what: str, path: str) -> None:
    if dtype.hasobject:
        message = f"{what} holds Python objects, which only a pickle can store and which could run code"
        raise SampleError("object-array", message, hint="save it with a numeric dtype", file=path)
    if dtype.kind not in "biufc":
        message = f"{what} has dtype {dtype}, which is no number"
        raise SampleError("unsupported-data", message, hint="save it as numbers", file=path)


def _broken(message: str, path: str) -> SampleError:
    return SampleError("broken-data", message, hint=_REWRITE, file=path)
