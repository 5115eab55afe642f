"""Walking directed graphs of names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def closure(start: str, edges: Mapping[str, Iterable[str]]) -> frozenset[str]:
    """All that can be reached from `start` along `edges`, without `start`."""
    seen: set[str] = set()
    stack = list(edges.get(start, ()))
    while stack:
        name = stack.pop()
        if name not in seen:
            seen.add(name)
            stack.extend(edges.get(name, ()))
    return frozenset(seen - {start})
