"""From the culprits' findings to the few remedies worth trying, best first."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gradcheck_cli.records import SEVERITY, Finding, LayerReport, Remedy
from gradcheck_cli.remedies.cases import case_of
from gradcheck_cli.remedies.interface import Case, RemedyUnit
from gradcheck_cli.remedies.registry import REMEDIES

MOST = 6
"""More remedies than this help nobody."""


def advise(findings: Sequence[Finding], layers: Sequence[LayerReport]) -> tuple[Remedy, ...]:
    """At most `MOST` remedies for the culprits (more if some culprit would go without its best), best first.

    Each is grouped over the layers that it answers. A remedy's place is its best place for any of the findings; of two
    at the same place, the one for the worse verdict comes first, then the one for more findings. Victims get none: they
    recover with their culprits.
    """
    cases = [case_of(finding, layers) for finding in _to_treat(findings)]
    ranked = [(case, _rank(case)) for case in cases]
    grouped = {unit.id: [case for case, units in ranked if unit in units] for unit in REMEDIES}

    def place(unit: RemedyUnit) -> tuple[int, int, int]:
        best, severity = min(
            (units.index(unit), SEVERITY.index(case.finding.verdict)) for case, units in ranked if unit in units
        )
        return best, severity, -len(grouped[unit.id])

    fitting = sorted((unit for unit in REMEDIES if grouped[unit.id]), key=place)
    most = max(MOST, sum(place(unit)[0] == 0 for unit in fitting))
    return tuple(_remedy(unit, grouped[unit.id]) for unit in fitting[:most])


def with_remedies(findings: Sequence[Finding], layers: Sequence[LayerReport]) -> tuple[Finding, ...]:
    """The findings again, the culprits' with the ids of those remedies of `advise` that fit them, best first."""
    advised = {remedy.id for remedy in advise(findings, layers)}
    treated = _to_treat(findings)

    def answered(finding: Finding) -> Finding:
        fitting = tuple(unit.id for unit in _rank(case_of(finding, layers)) if unit.id in advised)
        return msgspec.structs.replace(finding, remedies=fitting)

    return tuple(answered(finding) if finding in treated else finding for finding in findings)


def remedies_for(code: str) -> tuple[str, ...]:
    """Ids of all remedies that answer a code, best first, whatever the layer; empty for an unknown code."""
    units = [unit for unit in REMEDIES if code in unit.answers]
    return tuple(unit.id for unit in sorted(units, key=lambda unit: unit.answers[code]))


def _to_treat(findings: Sequence[Finding]) -> list[Finding]:
    """The culprits' findings, but for zero gradients (GC304) that the layer's own dead units (GC301) explain."""
    dead = {finding.layer for finding in findings if finding.culprit and finding.code == "GC301"}
    return [f for f in findings if f.culprit and not (f.code == "GC304" and f.layer in dead)]


def _rank(case: Case) -> list[RemedyUnit]:
    """The remedies that fit: those that remove the cause first, then by their place for the code."""
    units = [unit for unit in REMEDIES if case.code in unit.answers and unit.fits(case)]
    return sorted(units, key=lambda unit: (case.cause not in unit.cures, unit.answers[case.code]))


def _remedy(unit: RemedyUnit, cases: Sequence[Case]) -> Remedy:
    return Remedy(
        id=unit.id,
        title=unit.title,
        layers=tuple(dict.fromkeys(case.layer for case in cases)),
        why=unit.why if isinstance(unit.why, str) else unit.why(cases),
        how=unit.how if isinstance(unit.how, str) else unit.how(cases),
        source=unit.source,
    )
