"""Reads .pt data: a tensor, or tuples, lists and dicts of tensors, weights-only and after a look at its opcodes."""

from __future__ import annotations

import zipfile
from typing import Any

import torch

from gradcheck_cli.errors import SampleError
from gradcheck_cli.sample.archives import check_archive, zip_names
from gradcheck_cli.sample.arrays import as_tensors
from gradcheck_cli.sample.files import DataFile
from gradcheck_cli.sample.pickles import BrokenPickleError, ForeignPickleError, check_pickle
from gradcheck_cli.tensors import leaves

MAX_EXPANDED = 1 << 30
"""Bytes that a tensor may seem to have beyond its storage (expanded, stride 0)."""


def read_pt(file: DataFile) -> Any:
    """Return what torch.save wrote: a tensor, or a tuple, list or dict of tensors, on the CPU.

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
    try:
        check_pickle(pickled)
    except ForeignPickleError as error:
        hint = "save a tensor, or a tuple, list or dict of tensors, with torch.save"
        raise SampleError("unsupported-data", str(error), hint=hint, file=file.path) from error
    except BrokenPickleError as error:
        raise _broken("its pickle is damaged", file.path) from error
    return _load(file)


def _load(file: DataFile) -> Any:
    file.stream.seek(0)
    try:
        content = torch.load(file.stream, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # ten kinds were seen on hostile files; all mean the same
        raise _broken("torch cannot load it", file.path) from error
    data = as_tensors(content, "the data", file.path)
    for tensor in leaves(data):
        apparent = tensor.numel() * tensor.element_size()
        if apparent > max(MAX_EXPANDED, tensor.untyped_storage().nbytes()):
            raise _broken(f"a tensor claims {apparent} bytes and has fewer", file.path)
    return data


def _broken(message: str, path: str) -> SampleError:
    return SampleError("broken-data", message, hint="write the file again with torch.save", file=path)
