"""What the command line and its worker say to each other: msgpack in frames, each led by its length in 4 bytes.

msgpack and not JSON, because nan and inf must survive. What comes from the worker is decoded by type: a model's own
code runs in that process and could write anything.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

import msgspec

from gradcheck_cli.loaders.facts import FileFacts
from gradcheck_cli.records import Diagnosis, Request

LARGEST = 256 * 2**20
"""Bytes of the largest frame that is taken: a report of a million layers stays under it."""

_LENGTH = struct.Struct(">I")


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the worker is started for."""

    request: Request
    inspect: bool = False
    """Only tell what the file is; of the request, only the model counts."""
    memory_limit: int | None = None
    """Bytes that the measurement may take; None: most of what the machine has free; 0: no limit."""
    debug: bool = False
    """Write the traceback of a failure to stderr."""


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """How far the work is; a total of 0 where it is not known."""

    stage: str
    done: int
    total: int


class Done(msgspec.Struct, frozen=True, tag="done"):
    """The measurement came to its end."""

    diagnosis: Diagnosis


class Inspected(msgspec.Struct, frozen=True, tag="inspected"):
    """The file was looked at."""

    facts: FileFacts


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """It did not: the fields of a `GradcheckError`."""

    slug: str
    message: str
    hint: str
    file: str
    status: int


Message = Progress | Done | Inspected | Failed


class GarbledError(Exception):
    """What came is no message."""


def frame(message: Order | Message) -> bytes:
    """Return `message` ready to be written. Raises `UnicodeEncodeError` for a lone surrogate in a text."""
    body = msgspec.msgpack.encode(message)
    if len(body) > LARGEST:
        raise ValueError(f"a message of {len(body)} bytes is over the limit of {LARGEST}")
    return _LENGTH.pack(len(body)) + body


def read_order(descriptor: int) -> Order:
    """Read the one frame that the parent sends. Raises `GarbledError` where the stream ends before it does."""
    frames = Frames()
    while chunk := os.read(descriptor, 65536):
        for body in frames.feed(chunk):
            return msgspec.msgpack.decode(body, type=Order)
    raise GarbledError("the order ended early")


def message_of(body: bytes) -> Message:
    """Decode one frame from the worker. Raises `GarbledError` for anything that is no message."""
    try:
        return _decoder().decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise GarbledError(str(error)) from error


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`, in as many pieces as it takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


class Frames:
    """Cuts a stream of bytes into frames, whatever pieces it comes in."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Give the frames that `chunk` completes. Raises `GarbledError` for a length over `LARGEST`."""
        self._buffer += chunk
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > LARGEST:
                raise GarbledError(f"a frame claims {length} bytes")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            yield body


def _decoder() -> msgspec.msgpack.Decoder[Message]:
    return msgspec.msgpack.Decoder(Message)
