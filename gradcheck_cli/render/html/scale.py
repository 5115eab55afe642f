"""Axes of the pictures: values to places, decades and round steps to ticks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from gradcheck_cli.render.numbers import number

TICKS = 7
"""Ticks at most, about."""
FAR = 1e307
"""The end of a linear axis, short of where the numbers end; what is beyond is drawn there."""
LEAST = 0.01
"""Length of a linear axis, relative to its values, at least."""


@dataclass(frozen=True)
class Scale:
    """A vertical axis from `low` to `high`; on a log axis these are decades."""

    low: float
    high: float
    log: bool
    height: float
    """Pixels."""

    def place(self, value: float) -> float:
        """Return pixels from the top; `value` is finite, and above 0 on a log axis."""
        at = min(self.high, max(self.low, math.log10(value) if self.log else value))
        return round((self.high - at) / (self.high - self.low) * self.height, 1)

    def ticks(self) -> list[tuple[float, str]]:
        """Return value and label, the lowest first."""
        if self.log:
            step = max(1, math.ceil((self.high - self.low) / TICKS))
            places = range(math.ceil(self.low / step) * step, math.floor(self.high) + 1, step)
            return [(10.0**decade, power(decade)) for decade in places if -308 <= decade <= 308]
        width = _round_step((self.high - self.low) / (TICKS - 2))
        marks = range(math.ceil(self.low / width - 1e-9), math.floor(self.high / width + 1e-9) + 1)
        digits = max(0, -math.floor(math.log10(width) + 1e-9))
        plain = 1e-4 <= width < 1e6
        return [(at * width, f"{at * width:.{digits}f}" if plain else number(at * width)) for at in marks]


def decades(values: Iterable[float], height: float, *, at_least: tuple[float, ...] = ()) -> Scale:
    """Return a log axis over whole decades that holds all positive, finite `values` and the decades `at_least`."""
    logs = [*(math.log10(value) for value in values if 0 < value < math.inf), *at_least]
    low, high = math.floor(min(logs, default=0.0)), math.ceil(max(logs, default=0.0))
    return Scale(low, max(high, low + 1), True, height)


def linear(values: Iterable[float], height: float) -> Scale:
    """Return an axis a little wider than the finite `values`; a change far below a hundredth looks like none."""
    known = [max(-FAR, min(FAR, value)) for value in values if math.isfinite(value)]
    low, high = min(known, default=0.0), max(known, default=1.0)
    room = max((high - low) * 0.08, (LEAST * max(abs(low), abs(high)) - (high - low)) / 2) or 1.0
    return Scale(low - room if low < 0 or low - room > 0 else 0.0, high + room, False, height)


def power(decade: int) -> str:
    """Return a power of ten as it is read: ``0.01``, ``1``, ``100``, else ``1e-5``."""
    return f"{10.0**decade:g}" if -2 <= decade <= 2 else f"1e{decade:+d}"


def _round_step(rough: float) -> float:
    scale = 10.0 ** math.floor(math.log10(rough))
    return next(step * scale for step in (1, 2, 5, 10) if step * scale >= rough * 0.999)
