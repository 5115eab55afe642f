"""The table of data formats: what can be read, and what cannot, with what to do instead. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from gradcheck_cli.errors import SampleError
from gradcheck_cli.sample.archives import zip_names

if TYPE_CHECKING:
    from gradcheck_cli.sample.files import DataFile

Reader = Callable[["DataFile", int], Any]
"""``read(file, rows)`` gives a tensor, or a tuple, list or dict of tensors, or a `Table`, of which no more than the first
`rows` rows will be asked for. Raises a `SampleError`."""


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


def _read_npy(file: DataFile, rows: int) -> Any:  # noqa: ARG001 - read when cut
    from gradcheck_cli.sample.numpy_files import read_npy

    return read_npy(file)


def _read_npz(file: DataFile, rows: int) -> Any:  # noqa: ARG001 - read when cut
    from gradcheck_cli.sample.numpy_files import read_npz

    return read_npz(file)


def _read_pt(file: DataFile, rows: int) -> Any:  # noqa: ARG001 - read when cut
    from gradcheck_cli.sample.torch_files import read_pt

    return read_pt(file)


def _is_safetensors(file: DataFile) -> bool:
    from gradcheck_cli.sample.safetensors_files import is_safetensors

    return is_safetensors(file)


def _read_safetensors(file: DataFile, rows: int) -> Any:  # noqa: ARG001 - read when cut
    from gradcheck_cli.sample.safetensors_files import read_safetensors

    return read_safetensors(file)


def _is_parquet(file: DataFile) -> bool:
    return file.head.startswith(b"PAR1")


def _read_parquet(file: DataFile, rows: int) -> Any:
    from gradcheck_cli.sample.parquet_files import read_parquet

    return read_parquet(file, rows)


def _is_onnx_tensor(file: DataFile) -> bool:
    # Protobuf has no magic number, so here the name decides.
    return PurePath(file.path).suffix.lower() == ".pb"


def _read_onnx_tensor(file: DataFile, rows: int) -> Any:  # noqa: ARG001 - one message, whole
    from gradcheck_cli.sample.onnx_tensors import read_tensor

    return read_tensor(file)[1]


def _is_csv(file: DataFile) -> bool:
    from gradcheck_cli.sample.csv_files import is_text

    return is_text(file)


def _read_csv(file: DataFile, rows: int) -> Any:
    from gradcheck_cli.sample.csv_files import read_csv

    return read_csv(file, rows)


FORMATS = (
    Format("npy", _is_npy, _read_npy),
    Format("npz", _is_npz, _read_npz),
    Format("pt", _is_pt, _read_pt),
    Format("safetensors", _is_safetensors, _read_safetensors),
    Format("parquet", _is_parquet, _read_parquet),
    Format("onnx-tensor", _is_onnx_tensor, _read_onnx_tensor),
    Format("csv", _is_csv, _read_csv),
)
"""In the order in which they are asked: those with a signature first."""

_AS_ARRAYS = "save the arrays with numpy.savez('data.npz', x=x, y=y) and pass that"
NOT_READ = {
    ".h5": ("an HDF5 file", _AS_ARRAYS),
    ".pkl": ("a pickle, which could run code", _AS_ARRAYS),
    ".png": ("a single image", "put the images into a folder and pass that"),
    ".jpg": ("a single image", "put the images into a folder and pass that"),
}
"""By suffix: what the file is, and what to do instead."""


def read(file: DataFile, rows: int) -> Any:
    """Return what `file` holds, as `Reader` says.

    Raises:
        SampleError: ``unsupported-data`` for any other format, ``broken-data`` for one of ours that is damaged.
    """
    for candidate in FORMATS:
        if candidate.recognises(file):
            return candidate.read(file, rows)
    raise _refusal(file)


def _refusal(file: DataFile) -> SampleError:
    suffix = PurePath(file.path).suffix.lower()
    if suffix in (".npy", ".npz", ".pt", ".pth", ".safetensors", ".csv", ".parquet"):
        return SampleError(
            "broken-data",
            f"its content is no {suffix} file ({_seems(file.head)})",
            hint="write it again with the library of its format",
            file=file.path,
        )
    what, todo = NOT_READ.get(suffix, (f"no data file that gradcheck knows ({_seems(file.head)})", _AS_ARRAYS))
    message = f"this is {what}; .npz, .npy, .pt, .safetensors, .csv, .parquet, .pb and folders can be read"
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
