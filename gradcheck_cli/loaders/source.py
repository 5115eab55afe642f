"""A model's file, opened once: what is sniffed, hashed and loaded are the same bytes, and nothing is written."""

from __future__ import annotations

import difflib
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from gradcheck_cli.loaders.refusals import Slug, printable, refuse

HEAD = 4096
"""Bytes from the start that are enough to tell every format but the zip-based ones."""


CHUNK = 1 << 22
"""Bytes that are read at a time where a whole file, or a whole member of an archive, is looked through."""


class Reader(Protocol):
    """Bytes that can be read at any place."""

    size: int
    """How many there are."""

    def read(self, offset: int, count: int) -> bytes:
        """Exactly `count` bytes. Raises a `ModelError` (`truncated-file`, `damaged-file`) where they are not there."""

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fills `buffer`, which is flat and of bytes; raises as `read` does."""


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
        self.parsed: dict[str, object] = {}
        """What was made of the file so far, by who made it: a pickle is not taken apart twice."""
        self._stamp = self._status()

    @property
    def data(self) -> bytes:
        """The whole file. Raises a `ModelError` (`damaged-file`) if it shrank or grew since it was opened."""
        if self._data is None:
            data = self._read(self.size + 1)
            if len(data) != self.size:
                raise self._changed()
            self._data = data
        return self._data

    @property
    def sha256(self) -> str:
        """Hex digest of the file's bytes: of `data` if that was loaded, else read once more, a chunk at a time."""
        if self._data is not None:
            return hashlib.sha256(self._data).hexdigest()
        digest = hashlib.sha256()
        buffer = memoryview(bytearray(min(CHUNK, self.size)))
        for begin in range(0, self.size, CHUNK):
            piece = buffer[: self.size - begin]
            self.read_into(begin, piece)
            digest.update(piece)
        return digest.hexdigest()

    def read(self, offset: int, count: int) -> bytes:
        """As `Reader.read`."""
        buffer = bytearray(max(0, min(count, self.size - offset)))
        if len(buffer) != count:
            raise refuse(Slug.TRUNCATED_FILE, self.path, "the file ends too early", "copy or save it again")
        self.read_into(offset, memoryview(buffer))
        return bytes(buffer)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """As `Reader.read_into`."""
        try:
            self.stream.seek(offset)
            while buffer:
                count = self.stream.readinto(buffer)  # type: ignore[attr-defined]  # a buffered reader has it
                if not count:
                    raise self._changed()
                buffer = buffer[count:]
        except OSError as error:
            raise _unreadable(self.path, error) from error

    def require_unchanged(self) -> None:
        """Refuses a file (`damaged-file`) that was written to since it was opened."""
        if self._status() != self._stamp:
            raise self._changed()

    def _status(self) -> tuple[int, int]:
        status = os.fstat(self.stream.fileno())
        return status.st_size, status.st_mtime_ns

    def _changed(self) -> Exception:
        return refuse(Slug.DAMAGED_FILE, self.path, "the file changed while it was read", "try again")

    def _read(self, count: int) -> bytes:
        try:
            self.stream.seek(0)
            return self.stream.read(count)
        except OSError as error:
            raise _unreadable(self.path, error) from error


class Memory:
    """Bytes in memory as a `Reader`."""

    def __init__(self, data: bytes, path: str) -> None:
        self.data, self.path, self.size = data, path, len(data)

    def read(self, offset: int, count: int) -> bytes:
        """As `Reader.read`."""
        piece = self.data[offset : offset + count]
        if len(piece) != count:
            raise refuse(Slug.TRUNCATED_FILE, self.path, "the file ends too early", "copy or save it again")
        return piece

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """As `Reader.read_into`."""
        buffer[:] = self.read(offset, len(buffer))


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
