"""Which report goes where: one format to stdout, any number of files, all rendered before the first is written."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from gradcheck_cli.cli import output
from gradcheck_cli.cli.options import FLAGS, Options
from gradcheck_cli.errors import UsageError
from gradcheck_cli.render.interface import FORMATS, format_of

SPOKEN = ("text", "github")
"""Formats that are read where they come out, in the characters of that place; all others are for a file."""


@dataclass(frozen=True)
class Destination:
    """One report to be written."""

    format: str
    """A name of `FORMATS`."""
    path: str | None
    """None for stdout."""


def destinations(options: Options, formats: Collection[str] = tuple(FORMATS)) -> tuple[Destination, ...]:
    """Return what `options` ask to be written, files before stdout, so that a closed pipe costs no file.

    The one format flag that may be given goes to stdout, unless a file takes its format; the file ``-`` is stdout.

    Raises:
        UsageError: two flags, a format that is not among `formats`, or two reports for one file.
    """
    flag = _flag(options)
    files = [_destination(given, flag) for given in options.output]
    twice = {file.path for file in files if [other.path for other in files].count(file.path) > 1}
    if twice:
        place = min(path or "stdout" for path in twice)
        raise _usage(f"two reports would be written to {place}", "name another file for one of them")
    chosen = sorted(files, key=lambda file: file.path is None)
    if flag is not None and flag not in {file.format for file in files}:
        if None in {file.path for file in files}:
            raise _usage(f"two reports would be written to stdout, one by --{flag}", "name a file for one of them")
        chosen.append(Destination(flag, None))
    elif flag is None and not files and not options.quiet:
        chosen.append(Destination("text", None))
    for destination in chosen:
        if destination.format not in formats:
            raise UsageError(
                "unknown-format",
                f"this cannot be written as {destination.format}",
                hint=f"use one of: {', '.join(formats)}",
            )
    return tuple(chosen)


def write(
    chosen: tuple[Destination, ...], rendered: Callable[[Destination], str], events: Mapping[Path, bytes] | None = None
) -> None:
    """Render everything, then write it, `events` first; raises `OutputError`, and `BrokenPipeError` for stdout alone."""
    reports = [(rendered(destination), destination.path) for destination in chosen]
    for place, data in (events or {}).items():
        output.write_file(place, data)
    for (text, path), destination in zip(reports, chosen, strict=True):
        output.write(text, path, utf8=destination.format not in SPOKEN)


def _flag(options: Options) -> str | None:
    given = [name for name in FLAGS if getattr(options, name)]
    if len(given) > 1:
        flags = " and ".join(f"--{name}" for name in given)
        raise _usage(f"{flags} cannot both go to stdout", f"write one to a file: --output {given[-1]}:FILE")
    return given[0] if given else None


def _destination(given: str, flag: str | None) -> Destination:
    prefix, colon, path = given.partition(":")
    if colon and prefix in FORMATS:
        if not path:
            raise _usage(f"--output {given} names no file", f"write --output {given}FILE")
        return Destination(prefix, None if path == "-" else path)
    if given == "-":
        return Destination(flag or "text", None)
    # A mistyped format must not become the name of a file; one letter is a drive, and ./a:b is a file all the same.
    if colon and len(prefix) > 1 and prefix.isalpha():
        nearest = difflib.get_close_matches(prefix, FORMATS, n=1)
        hint = f"did you mean {nearest[0]}?" if nearest else f"use one of: {', '.join(FORMATS)}; or a file: ./{given}"
        raise UsageError("unknown-format", f"there is no report format {prefix!r}", hint=hint)
    return Destination(format_of(Path(given).name) or flag or "text", given)


def _usage(message: str, hint: str) -> UsageError:
    return UsageError("usage", message, hint=hint)
