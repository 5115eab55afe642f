"""All families of cases in one table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from . import (
    architectures,
    course,
    idioms,
    injected,
    lookalikes,
    recurrent,
    theory,
    trained,
    units,
    unseen,
    unseen_files,
)
from .cases import Case

FAMILIES = {
    "theory": theory,
    "injected": injected,
    "lookalikes": lookalikes,
    "idioms": idioms,
    "units": units,
    "architectures": architectures,
    "trained": trained,
    "course": course,
    "recurrent": recurrent,
    "unseen": unseen,
    "unseen-files": unseen_files,
}


def chosen(families: Iterable[str] = (), part: str = "", half: str = "all") -> list[Case]:
    """The cases of these families (none named: all) with `part` in their names; `half`: all, calibration or held-out.

    Raises ValueError where two cases have the same name.
    """
    found = [case for family in families or FAMILIES for case in FAMILIES[family].cases()]
    name, count = Counter(case.name for case in found).most_common(1)[0]
    if count > 1:
        raise ValueError(f"two cases are called {name}")
    return [c for c in found if part in c.name and half in ("all", "held-out" if c.held_out else "calibration")]
