"""Take smaller steps, and warm up.

A lower learning rate, found from the relative update where that was measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from gradcheck_cli.remedies.interface import Case, RemedyUnit

ORDINARY = 0.01
"""Relative update ‖ΔW‖ / ‖W‖ per step to come back to; 0.001 is common in healthy training."""

CURES = frozenset({"learning-rate"})
"""Causes that it removes."""


def _fits(case: Case) -> bool:
    """Everywhere but in units that were dead from the first draw on."""
    return case.code != "GC301" or case.cause in CURES


def _how(cases: Sequence[Case]) -> str:
    """Code with ``optimizer`` as given."""
    factor = min(map(_factor, cases))
    return (
        "for group in optimizer.param_groups:\n"
        f'    group["lr"] *= {factor:g}\n'
        "warm_up = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=100)\n"
        "# warm_up.step() after each optimizer.step()"
    )


def _factor(case: Case) -> float:
    """The power of ten that brings the relative update to `ORDINARY` or below; 0.1 where it is not known."""
    update = next((layer.readings.relative_update for layer in case.report if layer.name == case.layer), None)
    if update is None or not math.isfinite(update) or update <= 10 * ORDINARY:
        return 0.1
    return float(10.0 ** -math.ceil(math.log10(update / ORDINARY)))


REMEDY = RemedyUnit(
    id="learning-rate",
    title="Lower the learning rate, and warm up",
    answers={
        **dict.fromkeys(("GC110", "GC208", "GC209", "GC210", "GC211", "GC213", "GC305", "GC307", "GC111"), 1),
        **{"GC207": 2, "GC204": 3, "GC206": 4, "GC214": 2, "GC301": 5},
    },
    cures=CURES,
    source="Goyal 2017 (warm-up); Lu 2019 (units die by too large steps); machinelearningmastery",
    fits=_fits,
    why=(
        "A step as large as the weights replaces what they know: the loss jumps, units die, values overflow. "
        "Steps of a hundredth of the weights or less keep it."
    ),
    how=_how,
)
