"""``baselineState`` of each SARIF result: what became of a finding since the baseline.

Source: SARIF 2.1.0, 3.27.24: ``new`` where only this run has it, ``absent`` where only the baseline had it, else
``updated`` or ``unchanged``.
"""

from __future__ import annotations

from collections.abc import Iterator

from gradcheck_cli.compare import compare
from gradcheck_cli.records import Diagnosis, Finding, Ignored


class States:
    """The findings of a run against those of its baseline; a finding is the same by rule and layer."""

    def __init__(self, baseline: Diagnosis, diagnosis: Diagnosis) -> None:
        comparison = compare(baseline, diagnosis)
        told = (*comparison.worse, *comparison.better, *comparison.moved)
        self._moved = {change.layer for change in told if change.readings}
        self._was = {(finding.code, finding.layer): finding.culprit for finding in baseline.findings}
        self._ignored = {(ignored.code, ignored.layer) for ignored in baseline.ignored}
        self._baseline, self._diagnosis = baseline, diagnosis

    def of(self, finding: Finding | Ignored) -> str:
        """Return the state of a finding of the run; its readings' usual noise leaves it unchanged."""
        key = (finding.code, finding.layer)
        if isinstance(finding, Ignored) and key in self._ignored:
            return "unchanged"
        if key not in self._was:
            return "new"
        return "updated" if self._was[key] is not finding.culprit or finding.layer in self._moved else "unchanged"

    def absent(self) -> Iterator[Finding]:
        """Give the baseline's findings that the run has no more."""
        now = {(finding.code, finding.layer) for finding in self._diagnosis.findings}
        now |= {(ignored.code, ignored.layer) for ignored in self._diagnosis.ignored}
        return (finding for finding in self._baseline.findings if (finding.code, finding.layer) not in now)
