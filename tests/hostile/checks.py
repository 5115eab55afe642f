"""What must hold for every file of the corpus, whatever is in it."""

from __future__ import annotations

import re
from pathlib import Path

from hostile.case import MARKER
from hostile.corpus import Built
from hostile.names import RAW
from hostile.warm import Job, Result

MEMORY, MEMORY_OF_FILE = 1 << 28, 3
"""Bytes that a refusal may take beyond what the worker has when torch is imported, and bytes for each byte of the file."""
_REFUSAL = re.compile(r"gradcheck: error\[([a-z-]+)\]: (.+); (.+)\n")
"""What, with the file's name, and why; what to do."""
Contents = dict[str, tuple[int, int]]
"""Path → size and time of the last change."""


def contents(folder: Path) -> Contents:
    """All that lies in `folder`, but for the runs that are kept."""
    found = ((path, path.lstat()) for path in sorted(folder.rglob("*")) if ".gradcheck" not in path.parts)
    return {str(path): (status.st_size, status.st_mtime_ns) for path, status in found}


def diagnose(built: Built) -> Job:
    """The command line that gets the file; hangs end after a minute, and are then a fault."""
    arguments = ("diagnose", "--time-limit=60", *built.arguments)
    return Job(str(built.folder), arguments, runs_code=built.case.changes)


def inspect(built: Built) -> Job:
    """`gradcheck inspect` of the same file."""
    return Job(str(built.folder), ("inspect", "--", built.arguments[0]))


def faults(built: Built, result: Result, before: Contents) -> list[str]:
    """What is wrong with the answer to `diagnose`; nothing, if all is well."""
    found = [*_leaks(built, result, before), *_costs(built, result)]
    if built.case.loadable and result.status in (0, 1):
        return found
    match = _REFUSAL.fullmatch(result.stderr)
    if result.status != 2 or not match:
        return [*found, f"status {result.status}: {result.stderr[-300:]!a}"]
    if built.case.slugs and match[1] not in built.case.slugs:
        found.append(f"refused as {match[1]}, not as {built.case.slugs}: {result.stderr[-300:]!a}")
    return [*found, f"it wrote to stdout: {result.stdout[:80]!a}"] if result.stdout else found


def faults_of_inspect(built: Built, result: Result, before: Contents) -> list[str]:
    """The same for `inspect`, which may tell what the file is."""
    found = _leaks(built, result, before)
    told = result.status == 0 and result.stdout and not result.stderr
    refused = result.status == 2 and _REFUSAL.fullmatch(result.stderr) and not result.stdout
    return found if told or refused else [*found, f"status {result.status}: {result.stderr[-300:]!a}"]


def _leaks(built: Built, result: Result, before: Contents) -> list[str]:
    found = [f"it did {event}" for event in result.events]
    raw = [mark for mark in RAW if mark in result.stdout or mark in result.stderr]
    if raw:
        found.append(f"raw {raw!a} in the output")
    if (built.folder / MARKER).exists() or (built.folder.parent / MARKER).exists():
        found.append("the payload ran")
    if not built.case.changes and contents(built.folder) != before:
        found.append("the folder is not as it was")
    return found


def _costs(built: Built, result: Result) -> list[str]:
    size = max((size for size, _ in contents(built.folder).values()), default=0)
    over = result.grown - MEMORY - MEMORY_OF_FILE * size
    return [f"{over} bytes of memory too much"] if over > 0 else []
