"""A model's file, opened once: what is sniffed, hashed and loaded are the same bytes, and nothing is written."""

from __future__ import annotations

import difflib
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from gradcheck_cli.loaders.refusals import Slug, printable, refuse

HEAD = 4096
"""Bytes from the start that are enough to tell every format but the zip-based ones."""


class Source:
    """An open regular file. `data` is read at most once, and only if a loader wants it."""

    def __init__(self, path: str, stream: BinaryIO, size: int) -> None:
        self.path = path
        """As the user wrote it."""
        self.stream = stream
        self.size = size
        """Bytes when it was opened."""
        self.head = self._read(HEAD)
        self._data: bytes | None = None

    @property
    def data(self) -> bytes:
        """The whole file. Raises a `ModelError` (`damaged-file`) if it shrank or grew since it was opened."""
        if self._data is None:
            data = self._read(self.size + 1)
            if len(data) != self.size:
                raise refuse(Slug.DAMAGED_FILE, self.path, "the file changed while it was read", "try again")
            self._data = data
        return self._data

    @property
    def sha256(self) -> str:
        """Hex digest of `data`, the bytes that are really loaded."""
        return hashlib.sha256(self.data).hexdigest()

    def _read(self, count: int) -> bytes:
        try:
            self.stream.seek(0)
            return self.stream.read(count)
        except OSError as error:
            raise _unreadable(self.path, error) from error


@contextmanager
def open_source(path: str) -> Iterator[Source]:
    """Opens `path` without ever blocking on it; only regular, non-empty files pass.

    Raises:
        ModelError: `missing-file`, `unreadable-file`, `not-a-regular-file` or `empty-file`.
    """
    try:
        # O_NONBLOCK: opening a FIFO would otherwise wait for a writer for ever.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except (OSError, ValueError) as error:
        raise _cannot_open(path, error) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _not_regular(path, status.st_mode)
        if status.st_size == 0:
            raise refuse(Slug.EMPTY_FILE, path, "the file is empty", "save the model again")
        with open(descriptor, "rb", closefd=False) as stream:
            yield Source(path, stream, status.st_size)
    finally:
        os.close(descriptor)


def missing(path: str) -> Exception:
    """The error for a file that is not there, with the nearest name that is."""
    wanted = Path(printable(path, 400))
    try:
        present = [entry.name for entry in wanted.parent.iterdir()]
    except (OSError, ValueError):
        present = []
    near = difflib.get_close_matches(wanted.name, present, n=1)
    hint = f"did you mean {printable(wanted.parent / near[0])}?" if near else "check the name and the working directory"
    return refuse(Slug.MISSING_FILE, path, "there is no such file", hint)


def _cannot_open(path: str, error: OSError | ValueError) -> Exception:
    if isinstance(error, (FileNotFoundError, ValueError)):
        return missing(path)
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - a Path cannot be built from every string
    except OSError:
        return _unreadable(path, error)
    return _unreadable(path, error) if stat.S_ISREG(mode) else _not_regular(path, mode)


def _unreadable(path: str, error: OSError) -> Exception:
    reason = (error.strerror or type(error).__name__).lower()
    return refuse(Slug.UNREADABLE_FILE, path, f"the file cannot be read: {reason}", "check its permissions")


def _not_regular(path: str, mode: int) -> Exception:
    kinds = {
        stat.S_IFIFO: "a pipe (FIFO)",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFDIR: "a directory",
    }
    kind = kinds.get(stat.S_IFMT(mode), "no regular file")
    hint = "write the model to a regular file first and pass that"
    return refuse(Slug.NOT_A_REGULAR_FILE, path, f"this is {kind}", hint)
