"""Operators on strings, which are numpy arrays of objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gradcheck_cli.onnx_ops.patterns import full_match
from gradcheck_cli.onnx_ops.registry import operator

Strings = np.ndarray[Any, Any]

_LONGEST = 1 << 20
"""Characters of one string: a chain of concatenations doubles its length with every node."""


@operator("StringConcat", since=20)
def string_concat(x: Strings, y: Strings) -> Strings:
    """x followed by y, broadcast."""
    if _longest(x) + _longest(y) > _LONGEST:
        raise ValueError(f"strings of more than {_LONGEST} characters")
    return np.asarray(x + y, dtype=object)


def _longest(strings: Strings) -> int:
    return max((len(each) for each in strings.flat), default=0)


@operator("StringNormalizer", since=10)
def string_normalizer(
    x: Strings,
    *,
    case_change_action: str = "NONE",
    is_case_sensitive: int = 0,
    locale: str = "",  # noqa: ARG001 - Python's letters are Unicode's, everywhere
    stopwords: Sequence[str] = (),
) -> Strings:
    """(C,) or (1, C): the strings that are no stop words, in upper or lower case; one empty string if none is left."""
    if x.ndim not in (1, 2) or (x.ndim == 2 and x.shape[0] != 1):
        raise ValueError("the strings are neither of the shape (C,) nor (1, C)")
    changes: dict[str, Callable[[str], str]] = {"NONE": str, "LOWER": str.lower, "UPPER": str.upper}
    if case_change_action not in changes:
        raise ValueError(f"the case change {case_change_action!r} is not NONE, LOWER or UPPER")
    compared: Callable[[str], str] = str if is_case_sensitive else str.lower
    stops = {compared(word) for word in stopwords}
    change = changes[case_change_action]
    kept = [change(each) for each in x.flat if compared(each) not in stops] or [""]
    return np.array(kept, dtype=object).reshape((1, -1) if x.ndim == 2 else -1)


@operator("StringSplit", since=20)
def string_split(x: Strings, *, delimiter: str = "", maxsplit: int = -1) -> tuple[Strings, Tensor]:
    """(…) → the parts of each string (…, most), empty strings after the last, and how many there are (…)."""
    parts = [each.split(delimiter, maxsplit) if delimiter else each.strip().split(None, maxsplit) for each in x.flat]
    most = max(map(len, parts), default=0)
    padded = [part + [""] * (most - len(part)) for part in parts]
    counts = torch.tensor([len(part) for part in parts], dtype=torch.int64).reshape(x.shape)
    return np.array(padded, dtype=object).reshape((*x.shape, most)), counts


@operator("RegexFullMatch", since=20)
def regex_full_match(x: Strings, *, pattern: str = "") -> Tensor:
    """Whether the pattern matches all of a string."""
    found = full_match(pattern, [str(each) for each in x.flat])
    return torch.tensor(found, dtype=torch.bool).reshape(x.shape)
