"""The working directory on Python's import path, as ``python -m`` has it."""

from __future__ import annotations

import sys
from pathlib import Path


def put_working_directory_on_path() -> None:
    """Puts the working directory first on ``sys.path`` if it is not there; it stays, for imports inside ``forward``."""
    directory = str(Path.cwd())
    if directory not in sys.path and "" not in sys.path:
        sys.path.insert(0, directory)
