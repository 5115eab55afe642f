"""What the findings say about each layer, for the formats that have one entry a layer."""

from __future__ import annotations

from collections.abc import Sequence

from gradcheck_cli.records import SEVERITY, Diagnosis, Finding, Ignored, LayerReport, Verdict

WELL = (Verdict.HEALTHY, Verdict.NOT_MEASURED)
"""Verdicts that are no illness."""
NAMES = 3
"""Culprits that are named where a layer suffers from many."""


def findings_of(diagnosis: Diagnosis) -> dict[str, list[Finding]]:
    """Return layer → its findings: the worst first, culprit before victim, else in the report's order."""
    found: dict[str, list[Finding]] = {}
    for finding in sorted(diagnosis.findings, key=_severity):
        found.setdefault(finding.layer, []).append(finding)
    return found


def ignored_of(diagnosis: Diagnosis) -> dict[str, list[Ignored]]:
    """Return layer → what the user has asked not to be told of it, the worst first."""
    found: dict[str, list[Ignored]] = {}
    for ignored in sorted(diagnosis.ignored, key=lambda each: SEVERITY.index(each.verdict)):
        found.setdefault(ignored.layer, []).append(ignored)
    return found


def because(ignored: Ignored) -> str:
    """Return the reason in the user's words, or that there is none."""
    return ignored.reason or "no reason given"


def grouped(ignored: Sequence[Ignored]) -> list[tuple[str, list[str], str]]:
    """Return (rule, layers, reason) of what is ignored by one rule for one reason."""
    groups: dict[tuple[str, str], list[str]] = {}
    for each in ignored:
        groups.setdefault((each.code, because(each)), []).append(each.layer)
    return [(rule, layers, why) for (rule, why), layers in groups.items()]


def reason(layer: LayerReport, findings: Sequence[Finding]) -> str:
    """Return why the layer has its verdict, in one sentence: its first finding, or what the verdict means."""
    told = next((finding for finding in findings if finding.verdict is layer.verdict), None)
    return said(told) if told else layer.verdict.meaning


def said(finding: Finding) -> str:
    """Return a finding's sentence; a victim's with the culprits that it suffers from."""
    if finding.culprit or not finding.because_of:
        return finding.message
    more = len(finding.because_of) - NAMES
    others = f" and {more:,} more" if more > 0 else ""
    return f"victim of {', '.join(finding.because_of[:NAMES])}{others}: {finding.message}"


def role(layer: LayerReport, findings: Sequence[Finding]) -> str:
    """Return ``culprit``, ``victim`` or, for a layer that is well or that nothing is blamed for, the empty text."""
    if layer.verdict in WELL:
        return ""
    if layer.culprit:
        return "culprit"
    return "victim" if any(finding.because_of for finding in findings) else ""


def _severity(finding: Finding) -> tuple[int, bool]:
    return SEVERITY.index(finding.verdict), not finding.culprit
