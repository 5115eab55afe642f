"""The corpus: builds every hostile file, and the honest ones that some are given together with, in a folder."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from hostile import archives, changing, data, exports, honest, impostors, names, pickles, places, weights
from hostile.case import Case

FAMILIES = (places, impostors, archives, pickles, exports, weights, data, names, changing)
_ARCHITECTURES = """
from torch import nn

def linear():
    return nn.Linear(2, 2)
"""


@dataclass(frozen=True)
class Built:
    """A case on disk."""

    case: Case
    folder: Path
    """The working directory of its command line."""
    arguments: tuple[str, ...]
    """Behind ``gradcheck diagnose``."""


@functools.cache
def cases_of(module: ModuleType) -> tuple[Case, ...]:
    """The cases of one of `FAMILIES`; made once in a process."""
    return tuple(module.cases())


def all_cases() -> list[Case]:
    """Every case of the corpus. Raises `ValueError` where two have one label."""
    cases = [case for module in FAMILIES for case in cases_of(module)]
    twice = [label for label, count in Counter(case.label for case in cases).items() if count > 1]
    if twice:
        raise ValueError(f"labels that are not unique: {twice}")
    return cases


def build(root: Path, cases: Sequence[Case]) -> list[Built]:
    """Write the files of `cases`, each into a numbered folder of `root`."""
    root.mkdir(exist_ok=True)
    torch.manual_seed(0)
    (root / "good.pt").write_bytes(honest.module())
    picture = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
    (root / "picture.pt").write_bytes(honest.saved(picture))
    (root / "architectures.py").write_text(_ARCHITECTURES)
    built = []
    for number, case in enumerate(cases):
        folder = root / f"{number:04}"
        folder.mkdir()
        built.append(Built(case, folder, tuple(case.build(folder))))
    return built
