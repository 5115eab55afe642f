"""Which names of a file are which names of a network: the prefix that a wrapper put before all of them, on either side."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

WRAPPERS = frozenset(
    {
        *("module", "model", "net", "network", "_orig_mod", "_fsdp_wrapped_module", "backbone", "ema", "ema_model"),
        *("student", "teacher", "policy", "generator", "encoder", "online_network", "learner"),
    }
)
"""Parts of a prefix that may be stripped even where the file has other weights beside it."""
_PROBES = 8
_MOST = 50
"""Prefixes that are tried: honest files have a handful."""


def renamed(names: Collection[str], wanted: Collection[str]) -> tuple[dict[str, str], str]:
    """Give name in the file → name in the network, and the change in words (empty without one).

    The change is the one prefix, stripped from the file's names or put before them, that makes most names match.
    """
    best = {name: name for name in names}
    said, score = "", _matches(best.values(), wanted)
    for strip, prefix in _candidates(names, wanted):
        if strip:
            table = {name: name.removeprefix(prefix) for name in names if name.startswith(prefix)}
            if len(table) < len(names) and not set(prefix.rstrip(".").split(".")) <= WRAPPERS:
                continue
        else:
            table = {name: prefix + name for name in names}
        matches = _matches(table.values(), wanted)
        if matches > score:
            best, score = table, matches
            said = f"the prefix {prefix!r} was {'taken from' if strip else 'put before'} the names in the file"
    return best, said


def _matches(names: Iterable[str], wanted: Collection[str]) -> int:
    return sum(name in wanted for name in names)


def _candidates(names: Collection[str], wanted: Collection[str]) -> Iterator[tuple[bool, str]]:
    """(strip or put before, prefix), shortest first: told from a few names, as all share the prefix."""
    probes = _spread(wanted)
    strip = {name[: -len(probe)] for probe in probes for name in names if name.endswith(f".{probe}")}
    probes = _spread(names)
    put = {name[: -len(probe)] for probe in probes for name in wanted if name.endswith(f".{probe}")}
    for prefix in sorted(strip, key=lambda text: (len(text), text))[:_MOST]:
        yield True, prefix
    for prefix in sorted(put, key=lambda text: (len(text), text))[:_MOST]:
        yield False, prefix


def _spread(names: Collection[str]) -> list[str]:
    """A few of `names`, the longest and some from all over the list."""
    listed = list(names)
    step = max(1, len(listed) // _PROBES)
    return list(dict.fromkeys([*listed[::step], *sorted(listed, key=len)[-_PROBES:]]))
