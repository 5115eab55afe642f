"""Made-up inputs: what one looks like, and how it is drawn."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch


@dataclass(frozen=True)
class Noise:
    """One input: its shape without the batch, and what its values are."""

    shape: tuple[int, ...] = ()
    batch_dim: int | None = 0
    """Where B goes; None where the input has no batch."""
    high: int = 0
    """Above 0: uniform integers from 0 to below this; 0: unit-normal floats."""
    avoid: frozenset[int] = frozenset()
    """Integers that are not drawn: padding and other special tokens."""
    last: int | None = None
    """The integer at the end of every sequence, where models look for one."""
    fill: bool | int | float | None = None
    """A constant in place of random values."""
    lead: tuple[int, int] | None = None
    """Integer and count: every sequence begins with as many of it, as text does where an image is to be put in."""
    dtype: str = ""
    """Name of torch's dtype where it is not float32, int64 or the constant's."""

    def draw(self, size: int, generator: torch.Generator) -> torch.Tensor:
        """Return `size` samples on the CPU."""
        drawn = self._values(size, generator)
        return drawn.to(getattr(torch, self.dtype)) if self.dtype else drawn

    def _values(self, size: int, generator: torch.Generator) -> torch.Tensor:
        shape = self._full(size)
        if self.fill is not None:
            return torch.full(shape, self.fill)
        if not self.high:
            return torch.randn(shape, generator=generator, dtype=torch.float32)
        allowed = torch.tensor([token for token in range(self.high) if token not in self.avoid] or [0])
        tokens = allowed[torch.randint(len(allowed), shape, generator=generator)]
        if self.lead is not None:
            tokens[..., : self.lead[1]] = self.lead[0]
        if self.last is not None:
            tokens[..., -1] = self.last
        return tokens

    def _full(self, size: int) -> tuple[int, ...]:
        if self.batch_dim is None:
            return self.shape
        return (*self.shape[: self.batch_dim], size, *self.shape[self.batch_dim :])

    def __str__(self) -> str:
        dims = [str(size) for size in self.shape]
        if self.batch_dim is not None:
            dims.insert(self.batch_dim, "B")
        shape = f"({', '.join(dims)}{',' if len(dims) == 1 else ''})"
        if self.fill is not None:
            return f"{self.fill} of shape {shape}"
        led = f", {self.lead[1]} of {self.lead[0]} first," if self.lead else ""
        return f"integers below {self.high}{led} of shape {shape}" if self.high else f"normal noise of shape {shape}"


@dataclass(frozen=True)
class Recipe:
    """All inputs of one call."""

    args: tuple[Noise, ...] = ()
    kwargs: dict[str, Noise] = field(default_factory=dict)

    def __str__(self) -> str:
        named = [f"{name}: {noise}" for name, noise in self.kwargs.items()]
        return "; ".join([*map(str, self.args), *named]) or "no input"
