"""One digest for a model, in however many files it is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from gradcheck_cli.loaders.source import Source


def digest_of(source: Source | None, files: Iterable[Source]) -> str:
    """SHA-256 of the file, or of the lines ``digest  name`` of several, the index first, as sha256sum writes them."""
    parts = list(dict.fromkeys([*([source] if source else []), *files]))
    if len(parts) == 1:
        return parts[0].sha256
    lines = "".join(f"{part.sha256}  {Path(part.path).name}\n" for part in parts)
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()
