"""What a labelled case is."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

Loss = Callable[[Any, Any], Tensor]
Optimizer = Literal["sgd", "momentum", "adam", "adamw"]

HEALTHY, VANISHING, EXPLODING, DEAD = "healthy", "vanishing", "exploding", "dead"


@dataclass(frozen=True)
class Problem:
    """A module and what it is measured on."""

    module: nn.Module
    batches: Sequence[tuple[Any, ...]]
    """Positional inputs of each call."""
    targets: Sequence[Any] | None = None
    """One for each batch, where there is a loss."""
    loss: Loss | None = None
    loss_name: str = "none"
    lr: float | None = None
    optimizer: Optimizer = "sgd"
    mode: str = "train"
    saved: Callable[[Path], tuple[str, dict[str, Any]]] | None = None
    """Writes the model and its data into a folder; gradcheck is given the file and the options that it returns, which say
    what the fields above say. None: gradcheck is given the module."""


@dataclass(frozen=True)
class Case:
    """One network with the verdict that it must get."""

    name: str
    """``family/what``; decides the seed and the half."""
    truth: str
    """Where the label comes from: ``theory``, ``construction``, ``symptom``, ``rehearsal``, ``practice``, ``measured``,
    ``proof`` (in plain torch)."""
    build: Callable[[], Problem]
    verdict: str
    why: str
    """One sentence, written before the tool saw the case."""
    culprits: tuple[str, ...] = ()
    """Names of which the first culprit must be one; empty: not judged."""
    layer_verdicts: Mapping[str, str] = field(default_factory=dict)
    """Layer → its verdict; ``a|b``: either is right."""

    @property
    def family(self) -> str:
        """The part of the name in front of the slash."""
        return self.name.partition("/")[0]

    @property
    def held_out(self) -> bool:
        """True for the half on which no threshold may be set."""
        return zlib.crc32(self.name.encode()) % 2 == 1

    def problem(self) -> Problem:
        """Build it, the same at every call, and leave the random state alone."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(zlib.crc32(self.name.encode()) % 2**31)
            return self.build()


def problem(module: nn.Module, *batches: tuple[Any, ...] | Tensor, **more: Any) -> Problem:
    """A problem without a loss; a bare tensor is the only argument of its call."""
    calls = [batch if isinstance(batch, tuple) else (batch,) for batch in batches]
    return Problem(module, calls, **more)
