"""What a model prints, cut into lines of bounded length, as it comes in."""

from __future__ import annotations

from collections.abc import Iterator

LONGEST = 4096
"""Bytes of a line; a longer one is given in pieces."""


class Lines:
    """Cuts a stream of bytes into lines of text, and keeps its end: what a library says before it aborts."""

    def __init__(self) -> None:
        self._rest = b""
        self._tail = b""

    @property
    def tail(self) -> bytes:
        """The last `LONGEST` bytes seen."""
        return self._tail

    def feed(self, chunk: bytes) -> Iterator[str]:
        """Give the lines that `chunk` completes, without their newlines."""
        self._tail = (self._tail + chunk)[-LONGEST:]
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            yield from _pieces(line)
        while len(self._rest) > LONGEST:
            yield _text(self._rest[:LONGEST])
            self._rest = self._rest[LONGEST:]

    def end(self) -> Iterator[str]:
        """Give what is left where the stream ends without a newline."""
        rest, self._rest = self._rest, b""
        if rest:
            yield _text(rest)


def _pieces(line: bytes) -> Iterator[str]:
    for start in range(0, max(len(line), 1), LONGEST):
        yield _text(line[start : start + LONGEST])


def _text(line: bytes) -> str:
    # A carriage return goes back to the start of the line: of a progress bar only the last state is left.
    return line.rstrip(b"\r").rsplit(b"\r")[-1].decode("utf-8", "backslashreplace")
