"""Gets the data itself, wherever it is: a file, a Python entry point, or already in memory."""

from __future__ import annotations

import itertools
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset

from gradcheck_cli.errors import SampleError
from gradcheck_cli.sample.arrays import as_tensors, check_content
from gradcheck_cli.sample.blame import first_line
from gradcheck_cli.sample.entry_points import called, is_entry_point, working_directory_first
from gradcheck_cli.sample.files import exists, is_folder, open_data
from gradcheck_cli.sample.folders import read_folder
from gradcheck_cli.sample.interface import read
from gradcheck_cli.sample.signature import TARGET_NAMES
from gradcheck_cli.sample.tables import Table

IN_MEMORY = "in-memory"


def fetch(data: object, rows: int) -> tuple[Any, str]:
    """Return what `data` names, not yet converted, and where it came from (path, entry point, or ``in-memory``).

    No more than the first `rows` samples of it will be used. A folder gives an `ImageFolder` or `TestData`.

    Raises:
        SampleError: it is missing, broken, unsupported, or its code failed.
    """
    if not isinstance(data, (str, os.PathLike)):
        return data, IN_MEMORY
    path = os.fspath(data)
    if is_entry_point(path) and not exists(path):
        return called(path), path
    if is_folder(path):
        return read_folder(path, rows), path
    with open_data(path) as file:
        return read(file, rows), path


def tensors_of(content: Any, source: str) -> Any:
    """Return `content` as tensors, checked for emptiness, NaN and infinity."""
    file = "" if source == IN_MEMORY else source
    data = as_tensors(content, "the data", file)
    if isinstance(data, (Mapping, tuple, list)) and not data:
        raise SampleError("empty-data", "the data has no array in it", hint="give at least one", file=file)
    check_content(data, "the data", file)
    return data


def is_stream(content: Any) -> bool:
    """Tell whether `content` gives batches or samples one by one (DataLoader, Dataset, iterator), not arrays."""
    if isinstance(content, (torch.Tensor, np.ndarray, np.generic, Mapping, tuple, list, str, bytes)):
        return False
    return isinstance(content, Iterable) or (hasattr(content, "__getitem__") and hasattr(content, "__len__"))


def stream_batches(content: Any, source: str, batch_size: int, batches: int) -> list[Any]:
    """Return the first `batches` batches: a DataLoader's or iterator's as they come, a Dataset's collated.

    Raises:
        SampleError: ``empty-data``, ``data-failed`` where the user's code raises, and as `tensors_of`.
    """
    file = "" if source == IN_MEMORY else source
    try:
        with working_directory_first():
            raw = list(itertools.islice(_batches(content, batch_size), batches))
    except Exception as error:  # the user's code may raise anything
        message = f"reading the data raised {type(error).__name__}: {first_line(error)}"
        hint = "samples must be tensors, arrays or numbers that torch's default_collate takes"
        raise SampleError("data-failed", message, hint=hint, file=file) from error
    if not raw:
        raise SampleError("empty-data", "the data gives no samples", hint="give at least one sample", file=file)
    return [tensors_of(batch, source) for batch in raw]


def _batches(content: Any, batch_size: int) -> Iterator[Any]:
    is_samples = hasattr(content, "__getitem__") and hasattr(content, "__len__")
    if not isinstance(content, DataLoader) and (is_samples or isinstance(content, IterableDataset)):
        content = DataLoader(content, batch_size=batch_size)
    return iter(content)


def target_of(target: object, keys: Collection[str], rows: int) -> tuple[Any, str | None]:
    """Return the target that was given apart from the data, and the key of the data that names it: one of them is None.

    `keys` are the data's. Raises:
        SampleError: the file is broken, or holds several arrays and none has a target's name.
    """
    if not isinstance(target, (str, os.PathLike)):
        return (None if target is None else tensors_of(target, IN_MEMORY)), None
    name = os.fspath(target)
    if name in keys or not (exists(name) or is_entry_point(name)):
        return None, name
    content, source = fetch(name, rows)
    found = tensors_of(content.columns if isinstance(content, Table) else content, source)
    if not isinstance(found, Mapping):
        return found, None
    key = next((name for name in TARGET_NAMES if name in found), None)
    if key is None and len(found) > 1:
        hint = f"name the target one of {', '.join(TARGET_NAMES)}"
        message = f"the file has {', '.join(map(str, found))}, and which is the target is not clear"
        raise SampleError("ambiguous-data", message, hint=hint, file=source)
    return (found[key] if key is not None else next(iter(found.values()))), None
