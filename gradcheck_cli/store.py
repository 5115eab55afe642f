"""Runs kept as their JSON reports in ``.gradcheck/`` of the working directory: the last one, and a short history."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from gradcheck_cli.errors import GradcheckError, OutputError, UsageError
from gradcheck_cli.records import Diagnosis
from gradcheck_cli.render import json_v1

FOLDER = Path(".gradcheck")
LAST = FOLDER / "last.json"
HISTORY = FOLDER / "history"
"""Runs as ``000007-3f2a9c1b0d4e.json``: a number that only grows, and the start of the model's hash."""
KEPT = 50
"""Runs in the history; the oldest go."""
START = 4096
"""Bytes in which a run says what it is."""


def keep(diagnosis: Diagnosis) -> None:
    """Make `diagnosis` the last run, and the newest of the history.

    A run of a model that gives the same bytes as the run before it of that model is not kept twice. Raises `OutputError`
    (``cannot-write``) where the folder cannot be written.
    """
    try:
        HISTORY.mkdir(parents=True, exist_ok=True)
        ignore = FOLDER / ".gitignore"
        if not ignore.exists():
            write_whole(ignore, b"*\n")
    except OSError as error:
        raise _cannot_write(FOLDER, error) from error
    data = json_v1.render(diagnosis).encode()
    write_whole(LAST, data)
    _remember(diagnosis, data)


def last() -> Diagnosis:
    """Return the last run. Raises `UsageError` (``no-kept-run``), or `GradcheckError` (``broken-report``)."""
    if not LAST.is_file():
        raise UsageError(
            "no-kept-run",
            "no run is kept in this directory",
            hint="measure a model first: gradcheck diagnose MODEL",
            file=str(FOLDER),
        )
    return read(str(LAST))


def history(sha256: str | None = None) -> tuple[Path, ...]:
    """Return the files of the history, the oldest first; with a model's hash, of that model only."""
    pattern = f"*-{_digest(sha256)}.json" if sha256 is not None else "*-*.json"
    return tuple(sorted(path for path in HISTORY.glob(pattern) if path.name.partition("-")[0].isdigit()))


def is_run(name: str) -> bool:
    """Whether `name` is a file that says it is a run, whatever it is called; a model is not opened further than that."""
    path = Path(name)
    try:
        if not path.is_file():
            return False
        with path.open("rb") as stream:
            start = stream.read(START)
    except (OSError, ValueError):
        return False
    return start.lstrip().startswith(b"{") and b'"schema_version"' in start


def read(name: str) -> Diagnosis:
    """Return the run in the file `name`. Raises `GradcheckError` (``no-such-run`` or ``broken-report``)."""
    path = Path(name)
    try:
        if not path.is_file():
            raise UsageError("no-such-run", "there is no such file", hint="write one with --json", file=name)
        return json_v1.parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise _broken(f"the run cannot be read: {why}", name) from error
    except UsageError:
        raise
    except GradcheckError as error:
        raise _broken(error.message, name) from error


def _remember(diagnosis: Diagnosis, data: bytes) -> None:
    digest = _digest(diagnosis.model.sha256 or diagnosis.model.path)
    kept = history()
    same = [path for path in kept if path.stem.endswith(f"-{digest}")]
    try:
        if same and same[-1].read_bytes() == data:
            return
        number = int(kept[-1].name.partition("-")[0]) + 1 if kept else 1
        write_whole(HISTORY / f"{number:06d}-{digest}.json", data)
        for path in kept[: max(0, len(kept) + 1 - KEPT)]:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise _cannot_write(HISTORY, error) from error


def _digest(model: str) -> str:
    """Return the start of a model's hash; of a model without a file, that of its name's."""
    is_hash = len(model) == 64 and set(model) <= set("0123456789abcdef")
    return (model if is_hash else hashlib.sha256(model.encode("utf-8", "surrogatepass")).hexdigest())[:12]


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


def _broken(why: str, name: str) -> GradcheckError:
    return GradcheckError("broken-report", why, hint="measure the model again: gradcheck diagnose MODEL", file=name)
