"""How rules put numbers, names and certainty into words."""

from __future__ import annotations

import math
from collections.abc import Sequence


def number(value: float) -> str:
    """Two significant digits, as people write them: ``0.42``, ``1.3e-12``, ``17``."""
    if not math.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    if 0.01 <= abs(value) < 1000:
        return f"{value:.2g}" if abs(value) < 100 else f"{value:.0f}"
    return f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e+")


def listing(names: Sequence[str], most: int = 3) -> str:
    """``a, b and 4 more``."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def confidence(smaller: float, larger: float) -> float:
    """How sure a comparison is: 0.5 where both are equal, 0.95 a thousandfold apart."""
    if smaller <= 0.0 or not math.isfinite(larger):
        return 0.99
    decades = max(0.0, math.log10(larger / smaller)) if larger > 0 else 0.0
    return round(min(0.99, 0.5 + 0.15 * decades), 3)
