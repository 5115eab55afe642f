"""Entry points ``accuracy.unseen_files.entry:NAME``, one for each case."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn


def __getattr__(name: str) -> Callable[[], nn.Module]:
    """The maker of the case of this name. Raises AttributeError where there is none."""
    from . import CASES

    for case in CASES:
        if case.name == name:
            return case.make
    raise AttributeError(name)
