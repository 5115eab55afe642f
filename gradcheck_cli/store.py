"""The last run, kept as its JSON report in ``.gradcheck/`` of the working directory, to be shown again."""

from __future__ import annotations

import os
from pathlib import Path

from gradcheck_cli.errors import GradcheckError, OutputError, UsageError
from gradcheck_cli.records import Diagnosis
from gradcheck_cli.render import json_v1

FOLDER = Path(".gradcheck")
LAST = FOLDER / "last.json"


def keep(diagnosis: Diagnosis) -> None:
    """Make `diagnosis` the last run. Raises `OutputError` (``cannot-write``) where the folder cannot be written."""
    try:
        FOLDER.mkdir(exist_ok=True)
        ignore = FOLDER / ".gitignore"
        if not ignore.exists():
            write_whole(ignore, b"*\n")
    except OSError as error:
        raise _cannot_write(FOLDER, error) from error
    write_whole(LAST, json_v1.render(diagnosis).encode())


def last() -> Diagnosis:
    """Return the last run. Raises `UsageError` (``no-kept-run``), or `GradcheckError` (``broken-report``)."""
    if not LAST.is_file():
        raise UsageError(
            "no-kept-run",
            "no run is kept in this directory",
            hint="measure a model first: gradcheck diagnose MODEL",
            file=str(FOLDER),
        )
    try:
        return json_v1.parse(LAST.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise _broken(f"the kept run cannot be read: {why}") from error
    except GradcheckError as error:
        raise _broken(error.message) from error


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: under another name beside it, then moved into place.

    A device, a pipe or a socket is written as it is. Raises `OutputError` (``cannot-write``).
    """
    try:
        place = path.resolve()  # a link stays a link
        if place.exists() and not place.is_file():
            place.write_bytes(data)
            return
        beside = place.with_name(f".gradcheck-{os.getpid()}.tmp")
        try:
            with beside.open("xb") as stream:
                stream.write(data)
            beside.replace(place)
        finally:
            beside.unlink(missing_ok=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: links that go in a circle, before Python 3.13
        raise _cannot_write(path, error) from error


def _cannot_write(path: Path, error: Exception) -> OutputError:
    return OutputError(
        "cannot-write",
        f"cannot be written ({getattr(error, 'strerror', None) or error})",
        hint="choose another place or make room",
        file=str(path),
    )


def _broken(why: str) -> GradcheckError:
    return GradcheckError(
        "broken-report", why, hint="measure the model again: gradcheck diagnose MODEL", file=str(LAST)
    )
