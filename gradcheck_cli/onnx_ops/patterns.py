"""Regular expressions from a file, within bounds: Python's matcher takes back its choices, which can take for ever."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_MOST_CHOICES = 10_000_000
"""More ways to match a string than this are not tried."""
_LONGEST = 1_000
"""Characters of a pattern."""
_TOKEN = re.compile(
    r"""\\p\{\^?\w+\} | \\[pP]. | \\x\{\w+\} | \\.      # an escaped character, or a class by its name
    | \[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]          # a class
    | \(\?(?:P?<\w+>|:) | \(\?. | \( | \) | \|         # groups and alternatives
    | [*+?]\?? | \{\d+(?:,\d*)?\}\?? | .""",
    re.VERBOSE | re.DOTALL,
)
_COUNTED = re.compile(r"\{(\d+)(?:(,)(\d*))?\}")


@dataclass
class _Group:
    choices: float = 1.0
    """In how many ways it can match, once."""
    alternatives: int = 1


def full_match(pattern: str, strings: Sequence[str]) -> list[bool]:
    """Whether `pattern` matches all of each string.

    Raises ValueError for a pattern that is no regular expression, that a machine without memory could not match (the
    standard asks for RE2's syntax), or that could take too long on the longest string.
    """
    longest = max(map(len, strings), default=0)
    if len(pattern) > _LONGEST or longest * choices(pattern, longest) > _MOST_CHOICES:
        raise ValueError("the regular expression could take too long to match")
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"the regular expression cannot be read: {error}") from error
    return [compiled.fullmatch(each) is not None for each in strings]


def choices(pattern: str, length: int) -> float:
    """An upper bound of the ways in which `pattern` can match a string of `length`; infinite for nested repetitions."""
    groups, last = [_Group()], _Group()
    for found in _TOKEN.finditer(pattern):
        token = found.group()
        if token[0] == "(":
            _refuse_lookaround(token)
            groups.append(_Group())
        elif token == ")" and len(groups) > 1:
            last = groups.pop()
            last.choices *= last.alternatives
            groups[-1].choices *= last.choices
            continue
        elif token == "|":
            groups[-1].alternatives += 1
        elif token[0] in "*+?" or _COUNTED.match(token):
            groups[-1].choices *= _repeated(last, token, length)
        elif token[0] == "\\" and token[1:].isdigit():
            raise ValueError("the regular expression refers back to a group, which RE2 cannot")
        last = _Group()
    return groups[0].choices * groups[0].alternatives


def _repeated(group: _Group, token: str, length: int) -> float:
    """By how much a repetition of `group` multiplies the ways to match."""
    counted = _COUNTED.match(token)
    low, high = 0, length
    if counted:
        low = int(counted[1])
        high = low if counted[2] is None else int(counted[3] or length)
    elif token[0] == "?":
        high = 1
    most = min(max(high, low), length)
    if group.choices > 1 and most > 1:  # itself ambiguous: its ways multiply with each repetition
        return float("inf")
    return max(most - min(low, most) + 1, 1)


def _refuse_lookaround(token: str) -> None:
    if token.startswith("(?") and token[2:] not in ("i", "s", "m") and not token.endswith((":", ">")):
        raise ValueError(f"the regular expression uses {token}…, which is not supported")
