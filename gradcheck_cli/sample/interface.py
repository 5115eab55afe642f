"""The table of data formats: what can be read, and what cannot yet, with what to do today. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from gradcheck_cli.errors import SampleError
from gradcheck_cli.sample.archives import zip_names

if TYPE_CHECKING:
    from gradcheck_cli.sample.files import DataFile

Reader = Callable[["DataFile"], Any]
"""Gives a tensor, or a tuple, list or dict of tensors. Raises a `SampleError`."""


@dataclass(frozen=True)
class Format:
    """One format that can be read."""

    slug: str
    recognises: Callable[[DataFile], bool]
    """By content, never by name: a wrong suffix is no reason to refuse."""
    read: Reader


def _is_npy(file: DataFile) -> bool:
    return file.head.startswith(b"\x93NUMPY")


def _is_npz(file: DataFile) -> bool:
    names = zip_names(file)
    return bool(names) and all(name.endswith(".npy") for name in names)


def _is_pt(file: DataFile) -> bool:
    return any(name.split("/")[-1] == "data.pkl" for name in zip_names(file))


def _read_npy(file: DataFile) -> Any:
    from gradcheck_cli.sample.numpy_files import read_npy

    return read_npy(file)


def _read_npz(file: DataFile) -> Any:
    from gradcheck_cli.sample.numpy_files import read_npz

    return read_npz(file)


def _read_pt(file: DataFile) -> Any:
    from gradcheck_cli.sample.torch_files import read_pt

    return read_pt(file)


FORMATS = (
    Format("npy", _is_npy, _read_npy),
    Format("npz", _is_npz, _read_npz),
    Format("pt", _is_pt, _read_pt),
)

_AS_ARRAYS = "save the arrays with numpy.savez('data.npz', x=x, y=y) and pass that"
NOT_YET = {
    ".safetensors": ("safetensors data", _AS_ARRAYS),
    ".csv": ("a table of comma-separated values", "numpy.loadtxt it, then " + _AS_ARRAYS),
    ".parquet": ("a Parquet table", _AS_ARRAYS),
    ".pb": ("an ONNX tensor", "turn it into an array with onnx.numpy_helper.to_array, then " + _AS_ARRAYS),
    ".h5": ("an HDF5 file", _AS_ARRAYS),
    ".pkl": ("a pickle, which could run code", _AS_ARRAYS),
}
"""By suffix: what the file is, and what to do today."""


def read(file: DataFile) -> Any:
    """Return what `file` holds: a tensor, or a tuple, list or dict of tensors.

    Raises:
        SampleError: ``unsupported-data`` for any other format, ``broken-data`` for one of ours that is damaged.
    """
    for candidate in FORMATS:
        if candidate.recognises(file):
            return candidate.read(file)
    raise _refusal(file)


def _refusal(file: DataFile) -> SampleError:
    suffix = PurePath(file.path).suffix.lower()
    if suffix in (".npy", ".npz", ".pt", ".pth"):
        return SampleError(
            "broken-data",
            f"its content is no {suffix} file ({_seems(file.head)})",
            hint="write it again with numpy.save, numpy.savez or torch.save",
            file=file.path,
        )
    what, todo = NOT_YET.get(suffix, (f"no data file that gradcheck knows ({_seems(file.head)})", _AS_ARRAYS))
    message = f"this is {what}; .npz, .npy and .pt can be read today"
    return SampleError("unsupported-data", message, hint=todo, file=file.path)


def _seems(head: bytes) -> str:
    if head.startswith(b"PK"):
        return "it is a zip archive of something else"
    if head.startswith(b"\x80"):
        return "it is a pickle, or was written by torch before 1.6"
    try:
        head.decode("utf-8")
    except UnicodeDecodeError:
        return "it is binary"
    return "it is text" if b"\0" not in head else "it is binary"
