"""Numbers for a person: two significant digits, plain where that is short, with an exponent where it is not."""

from __future__ import annotations

import math

ABSENT = "–"


def number(value: float | None) -> str:
    """Return `value` as ``0.42``, ``7.1``, ``423`` or ``1.3e-12``; ``–`` for None."""
    if value is None:
        return ABSENT
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    if 0.001 <= abs(value) < 999.5:
        return _plain(value)
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent):+d}"


def share(value: float | None, units: int | None = None) -> str:
    """Return a share of 0 … 1 as ``12/64`` where the units are known and as ``19 %`` where not; ``–`` for None."""
    if value is not None and units is not None and 0 <= value <= 1:
        return f"{round(value * units)}/{units}"
    return ABSENT if value is None else percent(value)


def percent(value: float) -> str:
    """Return a share of 0 … 1 as ``19 %``; never 0 % or 100 % for what is neither none nor all, no % for no share."""
    if not 0 <= value <= 1:
        return number(value)
    if 0 < value < 0.01:
        return "<1 %"
    if 0.99 < value < 1:
        return ">99 %"
    return f"{value:.0%}".replace("%", " %")


def count(amount: int, thing: str) -> str:
    """Return ``1 layer`` or ``1,024 layers``."""
    return f"{amount:,} {thing}{'' if amount == 1 else 's'}"


def span(values: list[float]) -> str:
    """Return the range of `values` as ``0.3 to 1.2``, or one number where both ends read the same."""
    if not values:
        return ABSENT
    if any(math.isnan(value) for value in values):
        return "nan"
    low, high = number(min(values)), number(max(values))
    return low if low == high else f"{low} to {high}"


def _plain(value: float) -> str:
    digits = max(0, 1 - math.floor(math.log10(abs(value))))
    text = f"{value:.{digits}f}"
    # 0.0996 and 9.96 round up into the next decade and would keep a digit too many: 0.100 and 10.0.
    return text[:-1].rstrip(".") if digits and len(text.replace(".", "").lstrip("-0")) > 2 else text
