"""Weights in files beside the model: mapped, not copied, and only from the model's own folder."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import onnx
import torch

from gradcheck_cli.loaders.onnx_model import values
from gradcheck_cli.loaders.refusals import Slug, printable, refuse

_TOGETHER = "keep the model and its data files in one folder"


def read(graph: onnx.GraphProto, path: str, known: Collection[str] = ()) -> dict[str, Any]:
    """Initialiser → tensor over the mapped file, for those not `known` whose data lie outside of the model.

    Raises:
        ModelError: `unsafe-path` for a file outside the model's folder, `missing-file`, `truncated-file` or `damaged-file`.
    """
    files: dict[str, np.memmap[Any, Any]] = {}
    return {
        proto.name: _tensor(proto, path, files)
        for proto in graph.initializer
        if proto.data_location == onnx.TensorProto.EXTERNAL and proto.name not in known
    }


def _tensor(proto: onnx.TensorProto, path: str, files: dict[str, np.memmap[Any, Any]]) -> torch.Tensor:
    entries = {each.key: each.value for each in proto.external_data}
    location = entries.get("location", "")
    dtype = values.DTYPES.get(proto.data_type)
    if dtype is None:
        raise _damaged(
            path, f"its weight {printable(proto.name, 60)} lies in a file of its own in a type that is not read there"
        )
    if location not in files:
        files[location] = _mapped(path, location)
    count = _product(proto.dims, path)
    size = count * dtype.itemsize
    try:
        offset, length = int(entries.get("offset", 0)), int(entries.get("length", size) or size)
    except ValueError as error:
        raise _damaged(path, f"it says where {printable(proto.name, 60)} lies in no numbers") from error
    data = files[location]
    if length != size or offset < 0 or offset + size > len(data):
        message = f"its weight {printable(proto.name, 60)} is not within {printable(location, 80)}"
        raise refuse(Slug.TRUNCATED_FILE, path, message, "copy the data file again")
    if not size:
        return torch.empty(tuple(proto.dims), dtype=dtype)
    piece = torch.from_numpy(data[offset : offset + size])
    if offset % dtype.itemsize:
        piece = piece.clone()
    return piece.view(dtype).reshape(tuple(proto.dims))


def opened(path: str, location: str) -> BinaryIO:
    """The data file at `location`, to be closed by the caller; of the model at `path`, and in its folder.

    Raises:
        ModelError: `unsafe-path`, `missing-file`, `unreadable-file`, or `damaged-file` for what is no regular file.
    """
    folder = Path(path).parent
    if not location or "\0" in location or Path(location).is_absolute() or ".." in Path(location).parts:
        raise _outside(path, location)
    try:
        file = (folder / location).resolve()
        if not file.is_relative_to(folder.resolve()):
            raise _outside(path, location)
        # The resolved name has no links in it; O_NONBLOCK: opening a pipe would wait for a writer.
        flags = [getattr(os, name, 0) for name in ("O_NONBLOCK", "O_CLOEXEC", "O_NOFOLLOW")]
        stream = os.fdopen(os.open(file, os.O_RDONLY | sum(flags)), "rb")
    except FileNotFoundError as error:
        message = f"its data file {printable(location, 80)} is missing"
        raise refuse(Slug.MISSING_FILE, path, message, _TOGETHER) from error
    except IsADirectoryError as error:
        raise _irregular(path, location) from error
    except (OSError, RuntimeError, ValueError) as error:
        message = f"its data file {printable(location, 80)} cannot be read"
        raise refuse(Slug.UNREADABLE_FILE, path, message, "check its name and its permissions") from error
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise _irregular(path, location)
    return stream


def _mapped(path: str, location: str) -> np.memmap[Any, Any]:
    with opened(path, location) as stream:
        if not os.fstat(stream.fileno()).st_size:
            return np.zeros(0, dtype=np.uint8)  # type: ignore[return-value]  # nothing can be mapped of it
        return np.memmap(stream, dtype=np.uint8, mode="c")


def _product(dims: Any, path: str) -> int:
    count = 1
    for extent in dims:
        if extent < 0:
            raise _damaged(path, "a weight has a negative size")
        count *= extent
    return count


def _outside(path: str, location: str) -> Exception:
    message = f"its weights are said to lie in {printable(location, 80) or 'a file without a name'}, outside of the model's folder"
    return refuse(Slug.UNSAFE_PATH, path, message, _TOGETHER)


def _irregular(path: str, location: str) -> Exception:
    return _damaged(path, f"its data file {printable(location, 80)} is no regular file")


def _damaged(path: str, message: str) -> Exception:
    return refuse(Slug.DAMAGED_FILE, path, message, "export the model again")
