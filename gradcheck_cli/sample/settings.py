"""Reads sizes from a config, whatever part of it has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_PARTS = ("encoder", "decoder", "question_encoder", "generator")
"""Parts of a config whose names do not end in ``_config``."""
_DEPTH = 2


def parts_of(config: Any, depth: int = _DEPTH) -> Iterator[tuple[str, Any]]:
    """Yield the name and the object of the config itself (named ``""``), then of its parts and theirs."""
    yield "", config
    if depth:
        own = {name: value for name, value in getattr(config, "__dict__", {}).items() if hasattr(value, "__dict__")}
        for name, value in sorted(own.items(), key=lambda item: not item[0].startswith("text")):
            if name.endswith("_config") or name in _PARTS:
                for inner, part in parts_of(value, depth - 1):
                    yield inner or name, part


def setting(config: Any, *names: str, of: tuple[str, ...] = ()) -> Any:
    """Return the first of `names` that is set: in parts whose name contains one of `of`, in the config, in its other parts."""
    parts = list(parts_of(config))
    preferred = [part for name, part in parts if any(word in name for word in of)]
    for part in (*preferred, *(part for _, part in parts)):
        for name in names:
            value = getattr(part, name, None)
            if value is not None:
                return value
    return None


def whole(config: Any, *names: str, of: tuple[str, ...] = ()) -> int | None:
    """Return the first of `names` that is set as a whole number above 0; of a list its first."""
    value = setting(config, *names, of=of)
    value = value[0] if isinstance(value, (list, tuple)) and value else value
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def sides(config: Any, *names: str, of: tuple[str, ...] = ()) -> tuple[int, int] | None:
    """Return a size that is one number, two, or ``{"height", "width"}`` as height and width."""
    value = setting(config, *names, of=of)
    if isinstance(value, dict):
        value = [value.get("height"), value.get("width")]
    pair = [value, value] if isinstance(value, int) else list(value) if isinstance(value, (list, tuple)) else []
    usable = len(pair) == 2 and all(isinstance(side, int) and side > 0 for side in pair)
    return (pair[0], pair[1]) if usable else None
