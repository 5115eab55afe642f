"""Made-up inputs that are more than noise: packed patches, constant rows, text with placeholders, boxes, options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from gradcheck_cli.sample.noise import Noise


@dataclass(frozen=True)
class Packed(Noise):
    """The rows of all samples one behind the other, as towers take images cut into patches: ``(B·rows, …)``."""

    rows: int = 1
    """Rows of one sample."""

    def _full(self, size: int) -> tuple[int, ...]:
        at = self.batch_dim or 0
        return (*self.shape[:at], size * self.rows, *self.shape[at:])

    def __str__(self) -> str:
        return super().__str__().replace("B", f"{self.rows}·B", 1)


@dataclass(frozen=True)
class Constant(Noise):
    """The same numbers for every sample: the grid of an image, the position of each patch, the kind of each token."""

    values: Any = 0
    """Of one sample: a number, or nested tuples of numbers."""
    once: bool = False
    """One for all samples together."""

    def draw(self, size: int, generator: torch.Generator) -> torch.Tensor:  # noqa: ARG002 - nothing random
        """Return `size` samples on the CPU."""
        return torch.tensor([self.values] * (1 if self.once else size))

    def __str__(self) -> str:
        text = str(self.values)
        return f"{text} each" if len(text) <= 40 else f"{text[:40]}… each"


@dataclass(frozen=True)
class Marked(Noise):
    """Tokens, with runs of placeholders in front where the features of an image or a sound are put in."""

    runs: tuple[tuple[int, int], ...] = ()
    """Token and count, in order."""

    def _values(self, size: int, generator: torch.Generator) -> torch.Tensor:
        tokens = super()._values(size, generator)
        start = 0
        for token, count in self.runs:
            tokens[..., start : start + count] = token
            start += count
        return tokens

    def __str__(self) -> str:
        led = " and ".join(f"{count} of {token}" for token, count in self.runs)
        return f"{super().__str__()} that begin with {led}"


@dataclass(frozen=True)
class Boxes(Noise):
    """The box of each word, ``(S, 4)`` as left, top, right, bottom, or ``(S, 8)`` as its corners clockwise.

    Whole numbers below `high`; without one, fractions of the page.
    """

    def _values(self, size: int, generator: torch.Generator) -> torch.Tensor:
        *rows, width = self._full(size)
        ends = torch.rand((*rows, 2, 2), generator=generator).sort(-1).values
        left, right, top, bottom = ends.flatten(-2).unbind(-1)
        corners = (left, top, right, top, right, bottom, left, bottom)
        boxes = torch.stack((left, top, right, bottom) if width == 4 else corners, -1)
        return (boxes * self.high).long() if self.high else boxes

    def __str__(self) -> str:
        return f"boxes of words of shape ({', '.join(['B', *map(str, self.shape)])})"


@dataclass(frozen=True)
class Option(Noise):
    """An option of the model itself, no tensor."""

    value: bool | int | float = False

    def draw(self, size: int, generator: torch.Generator) -> Any:  # noqa: ARG002 - nothing random
        """Return the option."""
        return self.value

    def __str__(self) -> str:
        return str(self.value)
