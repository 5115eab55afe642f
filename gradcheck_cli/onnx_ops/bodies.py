"""What an operator knows of a graph that is its attribute: the body of an If, a Loop or a Scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class Declared:
    """What the file says of one output of a body."""

    dtype: torch.dtype | None = None
    shape: tuple[int | None, ...] | None = None
    """None in it for a size that is left open; None for the whole where even the rank is."""

    def none_of_it(self, axis: int = 0) -> Tensor:
        """No such outputs, stacked along `axis`; sizes that are left open are 0."""
        sizes = [extent or 0 for extent in self.shape or ()]
        place = axis if axis >= 0 else axis + len(sizes) + 1
        sizes.insert(place, 0)
        return torch.empty(sizes, dtype=self.dtype or torch.float32)


class Body(Protocol):
    """A graph as a function of its inputs, over the values around it."""

    @property
    def outputs(self) -> Sequence[Declared]:
        """Its outputs as declared."""

    def __call__(self, *inputs: Any) -> list[Any]:
        """Run it. Raises ValueError for a wrong number of inputs."""
