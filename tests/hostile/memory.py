"""How much memory this process takes (Linux)."""

from __future__ import annotations

import resource
from pathlib import Path

_PROC = Path("/proc/self")


def resident() -> int:
    """Bytes that it has now."""
    return int((_PROC / "statm").read_text().split()[1]) * resource.getpagesize()


def mapped() -> int:
    """Bytes of its address space."""
    return int((_PROC / "statm").read_text().split()[0]) * resource.getpagesize()


def reset_peak() -> int:
    """Forget the peak so far; returns the bytes that it has now."""
    (_PROC / "clear_refs").write_text("5")
    return resident()


def peak() -> int:
    """Bytes that it had at most since the last `reset_peak`."""
    lines = (_PROC / "status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
