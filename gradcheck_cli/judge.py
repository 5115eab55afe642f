"""Readings × rules → findings → one verdict a layer, culprits before victims."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import msgspec

from gradcheck_cli.config import Thresholds
from gradcheck_cli.errors import UsageError
from gradcheck_cli.readings import LayerReading, Readings, UnitReading
from gradcheck_cli.records import SEVERITY, Finding, Ignored, LayerReadings, LayerReport, NotMeasured, Verdict
from gradcheck_cli.rules import RULES
from gradcheck_cli.rules.interface import Hit, Rule
from gradcheck_cli.rules.view import View
from gradcheck_cli.rules.wording import listing, number


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What the judge hands on."""

    verdict: Verdict
    summary: str
    culprits: tuple[str, ...]
    layers: tuple[LayerReport, ...]
    findings: tuple[Finding, ...]
    not_measured: tuple[NotMeasured, ...]
    ignored: tuple[Ignored, ...] = ()


def judge(
    readings: Readings,
    *,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    thresholds: Thresholds | None = None,
) -> Judgement:
    """Ask every rule and give each layer, and the model, one verdict.

    Args:
        select: ``CODE`` or ``CODE:layer-pattern``; a code may be cut short (``GC1``). Empty: all.
        ignore: the same, with a reason if there is one: ``GC101:head.* # starts small by design``; what both name is ignored.

    Raises:
        UsageError: a selection names no rule.
    """
    check_selection(select, ignore)
    view = View(readings, thresholds or Thresholds())
    pairs = [(rule, hit) for rule in RULES for hit in _once(rule.check(view))]
    asked = [(rule, hit) for rule, hit in pairs if not select or _naming(rule.code, hit.layer, select)]
    ignorable = [(rule, hit, _naming(rule.code, hit.layer, ignore)) for rule, hit in asked]
    kept = [_finding(rule, hit) for rule, hit, ignored in ignorable if ignored is None]
    findings = tuple(sorted(kept, key=lambda f: _rank(f, view)))
    layers = tuple(_report(layer, view, findings) for layer in readings.layers)
    layers += tuple(_stranger(name, findings) for name in _strangers(findings, view))
    verdict = _worst([layer.verdict for layer in layers])
    culprits = tuple(dict.fromkeys(f.layer for f in findings if f.culprit and f.verdict is not Verdict.HEALTHY))
    return Judgement(
        verdict=verdict,
        summary=_summary(verdict, findings, layers),
        culprits=culprits,
        layers=layers,
        findings=findings,
        not_measured=tuple(NotMeasured(what=what, why=why) for what, why in readings.not_measured),
        ignored=tuple(_ignored(rule, hit, by) for rule, hit, by in ignorable if by is not None),
    )


def _once(hits: Iterable[Hit]) -> list[Hit]:
    """Without those that say the same of the same layer, as where one culprit starves several branches."""
    return list({(hit.layer, hit.message): hit for hit in hits}.values())


def check_selection(*selections: Sequence[str]) -> None:
    """Raise UsageError ``unknown-rule`` where a selection names no rule; cheap, so that it can be asked first."""
    codes = [rule.code for rule in RULES]
    for selection in (item for items in selections for item in items):
        prefix = _Selection.of(selection).prefix
        if not prefix or not any(code.startswith(prefix) for code in codes):
            raise UsageError("unknown-rule", f"no rule is called {prefix!r}", hint="`gradcheck rules` lists all")


@dataclass(frozen=True)
class _Selection:
    """``PREFIX[:PATTERN][ # REASON]``."""

    prefix: str
    pattern: str
    reason: str

    @classmethod
    def of(cls, text: str) -> _Selection:
        what, _, reason = text.partition(" #")
        prefix, _, pattern = what.partition(":")
        return cls(prefix.strip(), pattern.strip() or "*", reason.strip())


def _naming(code: str, layer: str, selections: Sequence[str]) -> _Selection | None:
    """Return the first selection that names the rule and the layer."""
    read = (_Selection.of(selection) for selection in selections)
    return next((s for s in read if code.startswith(s.prefix) and fnmatchcase(layer, s.pattern)), None)


def _ignored(rule: Rule, hit: Hit, by: _Selection) -> Ignored:
    return Ignored(
        code=rule.code,
        layer=hit.layer,
        verdict=rule.verdict,
        culprit=hit.culprit,
        message=hit.message,
        reason=by.reason,
    )


def _finding(rule: Rule, hit: Hit) -> Finding:
    return Finding(
        code=rule.code,
        layer=hit.layer,
        verdict=rule.verdict,
        confidence=hit.confidence,
        culprit=hit.culprit,
        message=hit.message,
        evidence=hit.evidence,
        because_of=hit.because_of,
    )


def _rank(finding: Finding, view: View) -> tuple[int, bool, float, int, str]:
    """Worst verdict first, culprits before victims, the surest first, then forward order."""
    place = list(view.layers).index(finding.layer) if finding.layer in view.layers else len(view.layers)
    return SEVERITY.index(finding.verdict), not finding.culprit, -finding.confidence, place, finding.code


def _worst(verdicts: Sequence[Verdict]) -> Verdict:
    return min(verdicts, key=SEVERITY.index, default=Verdict.NOT_MEASURED)


# ----------------------------------------------------------------------------------------------------- layers' reports


def _report(layer: LayerReading, view: View, findings: Sequence[Finding]) -> LayerReport:
    own = [finding for finding in findings if finding.layer == layer.name]
    names = {rule.code: rule.name for rule in RULES}
    return LayerReport(
        name=layer.name,
        kind=layer.kind,
        parameters=tuple(parameter.name for parameter in layer.parameters),
        verdict=_verdict(layer, own),
        notes=tuple(dict.fromkeys(names[f.code] for f in own if f.verdict is Verdict.HEALTHY)),
        findings=tuple(dict.fromkeys(f.code for f in own)),
        culprit=any(f.culprit for f in own),
        readings=_numbers(layer, view),
    )


def _verdict(layer: LayerReading, own: Sequence[Finding]) -> Verdict:
    verdict = _worst([finding.verdict for finding in own]) if own else Verdict.HEALTHY
    unmeasured = layer.transmission is None or not math.isfinite(layer.transmission)
    if verdict is Verdict.HEALTHY and unmeasured and not own:
        return Verdict.NOT_MEASURED
    return verdict


def _strangers(findings: Sequence[Finding], view: View) -> list[str]:
    return list(dict.fromkeys(f.layer for f in findings if f.layer not in view.layers))


def _stranger(name: str, findings: Sequence[Finding]) -> LayerReport:
    own = [finding for finding in findings if finding.layer == name]
    return LayerReport(
        name=name,
        kind="unregistered",
        parameters=(),
        verdict=_worst([finding.verdict for finding in own]),
        findings=tuple(dict.fromkeys(f.code for f in own)),
        culprit=any(f.culprit for f in own),
    )


def _numbers(layer: LayerReading, view: View) -> LayerReadings:
    units = _units_of(layer, view)
    signals = [p.signal for p in layer.parameters if p.signal is not None and not p.tied_to]
    losses = [p.loss_gradient for p in layer.parameters if p.loss_gradient is not None and not p.tied_to]
    weight = math.hypot(*(p.norm for p in layer.parameters)) if layer.parameters else None
    signal = math.hypot(*signals) if signals else None
    loss = math.hypot(*losses) if losses else None
    lr = view.readings.lr or view.thresholds.learning_rate
    return LayerReadings(
        transmission=layer.transmission,
        gain=layer.gain,
        dead_units=len(units.dead) / units.units if units and not units.bounded else None,
        saturated=len(units.saturated) / units.units if units and units.bounded else None,
        units=units.units if units else None,
        seen=units.seen if units else None,
        learning_signal=signal,
        relative_signal=signal / weight if signal is not None and weight else None,
        loss_gradient=loss,
        relative_update=lr * loss / weight if loss is not None and weight else None,
        weight_norm=weight,
        output_rms=layer.output_rms,
        time_gain=layer.time.gain if layer.time else None,
        time_steps=layer.time.steps if layer.time else None,
        time_reach=layer.time.reach if layer.time else None,
        moved=view.moved.get(layer.name),
    )


def _units_of(layer: LayerReading, view: View) -> UnitReading | None:
    """An activation's own units; of a layer with parameters, those of the activation right behind it."""
    if layer.units is not None:
        return layer.units
    for name in view.downstream[layer.name]:
        follower = view.layers[name]
        if follower.producer == layer.name and follower.units is not None:
            return follower.units
    return None


# ------------------------------------------------------------------------------------------------------- one sentence


def _summary(verdict: Verdict, findings: Sequence[Finding], layers: Sequence[LayerReport]) -> str:
    if not layers:
        return "nothing to measure: the model has no layers"
    if verdict in (Verdict.HEALTHY, Verdict.NOT_MEASURED):
        return _calm(verdict, layers)
    first = next((f for f in findings if f.verdict is verdict and f.culprit), None) or next(
        f for f in findings if f.verdict is verdict
    )
    ill = [layer for layer in layers if layer.parameters and layer.verdict is verdict]
    others = list(
        dict.fromkeys(f.layer for f in findings if f.verdict is verdict and f.culprit and f.layer != first.layer)
    )
    more = f" So also {listing(others)}." if others else ""
    total = sum(1 for layer in layers if layer.parameters)
    share = f" {len(ill)} of {total} layers with weights are {verdict.value}." if len(ill) > 1 else ""
    return f"{first.layer}: {first.message}.{more}{share}"


def _calm(verdict: Verdict, layers: Sequence[LayerReport]) -> str:
    heard = [r for layer in layers if layer.parameters and (r := layer.readings.transmission) is not None]
    if verdict is Verdict.NOT_MEASURED or not heard:
        return "no layer could be measured; this is not a clean bill of health"
    unmeasured = sum(layer.verdict is Verdict.NOT_MEASURED for layer in layers)
    but = f"; {unmeasured} could not be measured" if unmeasured else ""
    converged = (
        " The model has converged on this sample." if any("converged" in layer.notes for layer in layers) else ""
    )
    return (
        f"all {len(heard)} layers with weights hear the output, with a transmission from {number(min(heard))} "
        f"to {number(max(heard))}{but}.{converged}"
    )
