"""Files that are cut, replaced or written to while they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import forged_files as forge
import numpy as np
import safetensors.torch
import torch

from hostile import honest
from hostile.case import Case
from hostile.data import npy

CHANGES = {
    "cut": "os.truncate(PATH, 30)",
    "emptied": "os.truncate(PATH, 0)",
    "grown": "open(PATH, 'ab').write(b'x')",
    "touched": "os.utime(PATH, ns=(1, 1))",
}
REPLACEMENTS = {
    "replaced": "open('new', 'wb').write(bytes(9)); os.replace('new', PATH)",
    "removed": "os.remove(PATH)",
    "fifo": "os.remove(PATH); os.mkfifo(PATH)",
    "link": "os.remove(PATH); os.symlink('/dev/zero', PATH)",
}
"""What a data file, which is opened once for its header and once for its values, must survive as well."""
_ARCHITECTURE = """
import os
from torch import nn
PATH = {path!r}

def changing():
    {change}
    return nn.Linear(2, 2)

class Model(nn.Linear):
    @property
    def forward(self):
        # Asked for after the data was opened for its header, and before its values are read.
        if "changed" not in vars(self):
            self.changed = True
            {change}
        return super().forward

def changing_data():
    return Model(4, 2)
"""
WEIGHTS: dict[str, Callable[[], bytes]] = {
    "x.pt": honest.state_dict,
    "x.ckpt": honest.lightning,
    "x.safetensors": honest.safetensors_file,
    "old.pt": lambda: honest.state_dict(legacy=True),
}

DATA: dict[str, Callable[[], bytes]] = {
    "x.npy": lambda: npy(np.ones((4, 4), np.float32)),
    "x.npz": lambda: forge.zipped({"x.npy": npy(np.ones((4, 4), np.float32))}),
    "x.pt": lambda: honest.saved(torch.ones(4, 4)),
    "x.safetensors": lambda: safetensors.torch.save({"x": torch.ones(4, 4)}),
}


_SLUGS = ("damaged-file", "truncated-file")


def cases() -> Iterator[Case]:
    for path, build in WEIGHTS.items():
        for name, change in CHANGES.items():
            yield Case("changing", f"{path}-{name}", _Weights(path, build, change), _SLUGS, changes=True)
    for name, change in {**CHANGES, **REPLACEMENTS}.items():
        for path in DATA:
            yield Case("changing-data", f"{path}-{name}", _Data(path, change), changes=True)


class _Weights:
    """The architecture is built after the file was looked at, and before its values are read."""

    def __init__(self, path: str, build: Callable[[], bytes], change: str) -> None:
        self.path, self.build, self.change = path, build, change

    def __call__(self, folder: Path) -> list[str]:
        (folder / self.path).write_bytes(self.build())
        (folder / "changing.py").write_text(_ARCHITECTURE.format(path=self.path, change=self.change))
        return [self.path, "--arch", "changing.py:changing"]


class _Data:
    """The signature of the model is asked for after the data's header was read, and before its values are."""

    def __init__(self, path: str, change: str) -> None:
        self.path, self.change = path, change

    def __call__(self, folder: Path) -> list[str]:
        (folder / self.path).write_bytes(DATA[self.path]())
        (folder / "changing.py").write_text(_ARCHITECTURE.format(path=self.path, change=self.change))
        return ["changing.py:changing_data", "--data", self.path]
