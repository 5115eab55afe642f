"""Opens a data file: regular files only, never blocking, the nearest name where there is none."""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gradcheck_cli.errors import SampleError

HEAD = 512
"""Bytes of the start that tell the formats apart."""


@dataclass(frozen=True)
class DataFile:
    """An open regular file that is not empty."""

    path: str
    """As the user wrote it."""
    stream: BinaryIO
    size: int
    """Bytes when it was opened."""
    head: bytes


@contextmanager
def open_data(path: str) -> Iterator[DataFile]:
    """Open `path`.

    Raises:
        SampleError: ``missing-data``, ``unreadable-data``, ``unsupported-data`` (no regular file), or ``empty-data``.
    """
    descriptor = _descriptor(path)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _not_regular(path, status.st_mode)
        if status.st_size == 0:
            raise SampleError("empty-data", "the file is empty", hint="write it again", file=path)
        with open(descriptor, "rb", closefd=False) as stream:
            head = stream.read(HEAD)
            stream.seek(0)
            yield DataFile(path, stream, status.st_size, head)
    finally:
        os.close(descriptor)


def exists(path: str) -> bool:
    """Tell whether anything is at `path`."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def missing(path: str) -> SampleError:
    """Return the error for a file that is not there, with the nearest name that is."""
    wanted = Path(path.replace("\0", ""))
    try:
        present = [entry.name for entry in wanted.parent.iterdir()]
    except (OSError, ValueError):
        present = []
    near = difflib.get_close_matches(wanted.name, present, n=1)
    hint = f"did you mean {wanted.parent / near[0]}?" if near else "check the name and the working directory"
    return SampleError("missing-data", "there is no such file", hint=hint, file=path)


def _descriptor(path: str) -> int:
    # Without O_NONBLOCK, opening a FIFO waits for a writer for ever.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    try:
        return os.open(path, flags)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise missing(path) from error
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        message = f"the file cannot be read: {reason}"
        raise SampleError("unreadable-data", message, hint="check its permissions", file=path) from error


def _not_regular(path: str, mode: int) -> SampleError:
    if stat.S_ISDIR(mode):
        return SampleError(
            "unsupported-data",
            "this is a directory; folders of images cannot be read yet",
            hint="pass a module:callable that returns a Dataset of it",
            file=path,
        )
    kind = "a pipe (FIFO)" if stat.S_ISFIFO(mode) else "no regular file"
    return SampleError("unsupported-data", f"this is {kind}", hint="write the data to a file and pass that", file=path)
