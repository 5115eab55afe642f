"""The two ways out: the report to stdout or to a file, everything else to stderr."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from pathlib import Path

from gradcheck_cli.errors import GradcheckError, OutputError
from gradcheck_cli.text import inert


def write(text: str, path: str | None = None, *, utf8: bool = False) -> None:
    """Write a report to the file `path`, whole or not at all, or to stdout.

    A file is in UTF-8; stdout in its own encoding, with escapes for what that lacks, unless `utf8` asks for the same bytes
    as in a file and stdout is no terminal.

    Raises `OutputError`, and `BrokenPipeError` where the reader of stdout has gone.
    """
    if path is not None:
        from gradcheck_cli import store

        store.write_whole(Path(path), text.encode())
    elif sys.stdout is None:
        raise _stdout_unusable("it is closed")
    else:
        encoding = "utf-8" if utf8 and not sys.stdout.isatty() else sys.stdout.encoding or "utf-8"
        data = text.encode(encoding, "backslashreplace")
        try:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        except OSError as error:
            raise unwritable(error) from error


def write_file(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, with its folder where that is not there. Raises `OutputError`."""
    from gradcheck_cli import store

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            "cannot-write",
            f"cannot be made a folder ({error.strerror or error})",
            hint="choose another place or make room",
            file=str(path.parent),
        ) from error
    store.write_whole(path, data)


def unwritable(error: OSError) -> Exception:
    """Give stdout up, and return what to raise: `BrokenPipeError` as it is, else an `OutputError`."""
    # Python flushes what is left when it ends, and would complain once more.
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.close(nothing)
    return error if error.errno == errno.EPIPE else _stdout_unusable(error.strerror or str(error))


def say(line: str) -> None:
    """Write one line to stderr, made inert; where stderr cannot take it, nobody is there to be told."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(f"{inert(line)}\n")
            sys.stderr.flush()


def say_error(error: GradcheckError) -> None:
    """Write the one line for what went wrong."""
    say(f"gradcheck: error[{error.slug}]: {error}")


def say_warning(error: GradcheckError) -> None:
    """Write the one line for what went wrong and did not matter much."""
    say(f"gradcheck: warning[{error.slug}]: {error}")


def _stdout_unusable(why: str) -> OutputError:
    return OutputError(
        "cannot-write",
        f"cannot be written ({why})",
        hint="make room; what was measured is kept for gradcheck report",
        file="stdout",
    )
