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
    identity: tuple[int, ...] = ()
    """Device, inode, size and time of the last change: the same while the file is the same."""


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
            identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
            yield DataFile(path, stream, status.st_size, head, identity)
    finally:
        os.close(descriptor)


@contextmanager
def reopened(file: DataFile) -> Iterator[DataFile]:
    """Open again, to read values, the file whose headers were read before.

    Raises:
        SampleError: ``changed-data`` where it is no longer the same, and as `open_data`.
    """
    with open_data(file.path) as again:
        if again.identity != file.identity:
            hint = "try again when nothing writes to it"
            raise SampleError("changed-data", "the file changed while it was read", hint=hint, file=file.path)
        yield again


def exists(path: str) -> bool:
    """Tell whether anything is at `path`."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def is_folder(path: str) -> bool:
    """Tell whether `path` is a folder."""
    try:
        return Path(path).is_dir()
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
        message = "this is a folder, where a file is needed"
        return SampleError("unsupported-data", message, hint="pass a file", file=path)
    kind = "a pipe (FIFO)" if stat.S_ISFIFO(mode) else "no regular file"
    return SampleError("unsupported-data", f"this is {kind}", hint="write the data to a file and pass that", file=path)
