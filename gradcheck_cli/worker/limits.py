"""The limits that the worker puts on itself before it opens the model: a boundary, not a courtesy (POSIX)."""

from __future__ import annotations

import contextlib
import os
import resource
import tempfile
from pathlib import Path

FREE_SHARE = 0.9
"""Share of the machine's free memory that a measurement may take where the user names no limit."""


def forbid_core_dumps_and_files(*, may_write: bool) -> None:
    """No core dump; and no byte written to any file unless `may_write`, which the user's own code may need."""
    _lower(resource.RLIMIT_CORE, 0)
    # Python finds the folder for temporary files, which torch asks for, by writing one; it then remembers it. In it torch
    # would make another for its compiler's cache, which nothing here uses.
    with contextlib.suppress(FileNotFoundError):
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", tempfile.gettempdir())
    if not may_write:
        _lower(resource.RLIMIT_FSIZE, 0)


def limit_memory(size: int | None) -> int:
    """Let the address space grow by `size` bytes from here and return what was set; 0: not limited.

    None takes `FREE_SHARE` of what is free. Call it after torch is imported, which alone maps several GB and uses few
    of them. Without ``/proc`` (macOS) nothing is set: the kernel there does not enforce it either.
    """
    mapped, free = _mapped(), _free()
    size = int(free * FREE_SHARE) if size is None and free is not None else size
    if not size or mapped is None:
        return 0
    _lower(resource.RLIMIT_AS, mapped + size)
    return size


def _lower(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))


def _mapped() -> int | None:
    """Bytes of this process's address space in use."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return None


def _free() -> int | None:
    """Bytes that the machine, and the container around us, can still give."""
    known = [size for size in (_free_in_machine(), _free_in_container()) if size is not None]
    return min(known, default=None)


def _free_in_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _free_in_container(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    try:
        limit = int((root / "memory.max").read_text())
        used = int((root / "memory.current").read_text())
        inactive = dict(line.split() for line in (root / "memory.stat").read_text().splitlines()).get(
            "inactive_file", "0"
        )
    except (OSError, ValueError):  # no cgroup v2, or the limit is the word "max"
        return None
    return max(limit - used + int(inactive), 0)
