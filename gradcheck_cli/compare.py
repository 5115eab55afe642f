"""Two runs side by side: what got worse, what got better. Records in, record out."""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec

from gradcheck_cli.records import Diagnosis, Finding, LayerReport, Verdict

ORDER: tuple[Verdict, ...] = (
    Verdict.HEALTHY,
    Verdict.NOT_MEASURED,
    Verdict.VANISHING,
    Verdict.EXPLODING,
    Verdict.DEAD,
)
"""Best first. Not measured stands between: it must not pass for healthy, and is no illness."""
ILL = ORDER[2:]

TRANSMISSION = 10.0
"""Factor, up or down, from which a change of the transmission is told: batches and seeds change it by far less."""
SHARE = 0.1
"""Change of the share of dead or saturated units from which it is told."""


class ReadingChange(msgspec.Struct, frozen=True, kw_only=True):
    """One reading of a layer that changed by enough to be told."""

    reading: str
    """The name of a field of `LayerReadings`."""
    before: float
    after: float


class LayerChange(msgspec.Struct, frozen=True, kw_only=True):
    """One layer that is not as it was."""

    layer: str
    before: Verdict | None
    """None for a new layer."""
    after: Verdict | None
    """None for a layer that is gone."""
    culprit: bool
    """In the new run; in the old one for a layer that is gone."""
    why: str
    """The new run's first finding for the verdict that it has now; empty where it has none."""
    appeared: tuple[str, ...] = ()
    """Codes of illnesses that it did not have before."""
    disappeared: tuple[str, ...] = ()
    readings: tuple[ReadingChange, ...] = ()


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two runs."""

    model: str
    sha256: str | None
    source: str
    """The sample's."""
    samples: int
    verdict: Verdict
    gradcheck_version: str


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What changed from `old` to `new`; each list in the forward order of its run."""

    schema_version: int = 1
    old: Side
    new: Side
    summary: str
    worse: tuple[LayerChange, ...]
    """A worse verdict; or the same illness, of which the layer has become a culprit for a reason of its own."""
    better: tuple[LayerChange, ...]
    moved: tuple[LayerChange, ...]
    """The same verdict, but other findings, or readings that changed by much."""
    appeared: tuple[LayerChange, ...]
    """Layers that only the new run has."""
    gone: tuple[LayerChange, ...]
    unchanged: int
    """How many layers are as they were."""
    remarks: tuple[str, ...]
    """What makes the two runs hard to compare."""

    def kinds(self) -> dict[str, str]:
        """Return layer → ``worse``, ``better``, ``moved``, ``new`` or ``gone``; a layer that is as it was is absent."""
        lists = {
            "worse": self.worse,
            "better": self.better,
            "moved": self.moved,
            "new": self.appeared,
            "gone": self.gone,
        }
        return {change.layer: kind for kind, changes in lists.items() for change in changes}

    def failing(self, verdicts: frozenset[Verdict]) -> tuple[LayerChange, ...]:
        """Return what got worse, and what is new and ill, up to one of `verdicts`; the worst, and culprits, first.

        A layer that was measured and is not any more counts unless `verdicts` is empty.
        """
        counted = verdicts | {Verdict.NOT_MEASURED} if verdicts else verdicts
        new = [change for change in self.appeared if change.after is not Verdict.NOT_MEASURED]
        failing = [change for change in (*self.worse, *new) if change.after in counted]
        return tuple(sorted(failing, key=lambda change: (-_rank(change.after), not change.culprit)))


class _Run:
    """A run with its layers by name, and the illnesses found on each."""

    def __init__(self, run: Diagnosis) -> None:
        self.layers = {layer.name: layer for layer in run.layers}
        self.ill: dict[str, list[Finding]] = {}
        for finding in run.findings:
            if finding.verdict is not Verdict.HEALTHY:
                self.ill.setdefault(finding.layer, []).append(finding)

    def codes(self, name: str) -> set[str]:
        return {finding.code for finding in self.ill.get(name, ())}

    def why(self, layer: LayerReport) -> str:
        own = [finding for finding in self.ill.get(layer.name, ()) if finding.verdict is layer.verdict]
        return min(own, key=lambda finding: not finding.culprit).message if own else ""


def compare(old: Diagnosis, new: Diagnosis) -> Comparison:
    """Compare two runs layer by layer, by the layers' names."""
    was, now = _Run(old), _Run(new)
    changes: dict[str | None, list[LayerChange]] = {"worse": [], "better": [], "moved": [], None: []}
    for name in now.layers.keys() & was.layers.keys():
        changes[_kind(name, was, now)].append(_change(name, was, now))
    place = {name: index for index, name in enumerate(now.layers)}
    worse, better, moved, unchanged = (
        tuple(sorted(changes[kind], key=lambda change: place[change.layer]))
        for kind in ("worse", "better", "moved", None)
    )
    appeared = tuple(_change(name, was, now) for name in now.layers if name not in was.layers)
    gone = tuple(_change(name, was, now) for name in was.layers if name not in now.layers)
    return Comparison(
        old=_side(old),
        new=_side(new),
        summary=_summary(worse, better, appeared, gone),
        worse=worse,
        better=better,
        moved=moved,
        appeared=appeared,
        gone=gone,
        unchanged=len(unchanged),
        remarks=tuple(_remarks(old, new)),
    )


def _kind(name: str, was: _Run, now: _Run) -> str | None:
    """Return ``worse``, ``better``, ``moved`` or, for a layer that is as it was, None."""
    before, after = was.layers[name], now.layers[name]
    step = _rank(after.verdict) - _rank(before.verdict)
    if step:
        return "worse" if step > 0 else "better"
    # A victim turns culprit by a new rule's word only: of one decay over depth, the blame may pass from layer to layer.
    if after.verdict in ILL and after.culprit and not before.culprit and now.codes(name) - was.codes(name):
        return "worse"
    same = was.codes(name) == now.codes(name) and not any(_reading_changes(before, after))
    return None if same else "moved"


def _change(name: str, was: _Run, now: _Run) -> LayerChange:
    before, after = was.layers.get(name), now.layers.get(name)
    return LayerChange(
        layer=name,
        before=before.verdict if before else None,
        after=after.verdict if after else None,
        culprit=any(layer.culprit for layer in (after or before,) if layer),
        why=now.why(after) if after else "",
        appeared=tuple(sorted(now.codes(name) - was.codes(name))),
        disappeared=tuple(sorted(was.codes(name) - now.codes(name))),
        readings=tuple(_reading_changes(before, after)) if before and after else (),
    )


def _reading_changes(before: LayerReport, after: LayerReport) -> Iterator[ReadingChange]:
    for name in ("transmission", "dead_units", "saturated"):
        was, is_ = getattr(before.readings, name), getattr(after.readings, name)
        if was is not None and is_ is not None and (_factor if name == "transmission" else _step)(was, is_):
            yield ReadingChange(reading=name, before=was, after=is_)


def _factor(was: float, is_: float) -> bool:
    if math.isnan(was) or math.isnan(is_):
        return math.isnan(was) != math.isnan(is_)
    low, high = sorted((abs(was), abs(is_)))
    return low != high and high >= TRANSMISSION * low


def _step(was: float, is_: float) -> bool:
    return abs(is_ - was) >= SHARE - 1e-9


def _rank(verdict: Verdict | None) -> int:
    return -1 if verdict is None else ORDER.index(verdict)


def _side(run: Diagnosis) -> Side:
    return Side(
        model=run.model.path,
        sha256=run.model.sha256,
        source=run.sample.source,
        samples=run.sample.samples,
        verdict=run.verdict,
        gradcheck_version=run.gradcheck_version,
    )


def _summary(
    worse: tuple[LayerChange, ...],
    better: tuple[LayerChange, ...],
    appeared: tuple[LayerChange, ...],
    gone: tuple[LayerChange, ...],
) -> str:
    parts = []
    if worse:
        first = min(worse, key=lambda change: (-_rank(change.after), not change.culprit))
        others = f" and {len(worse) - 1:,} more" if len(worse) > 1 else ""
        parts.append(f"{first.layer}{others} got worse: {_step_of(first)}")
    if better:
        first = min(better, key=lambda change: -_rank(change.before))
        others = f" and {len(better) - 1:,} more" if len(better) > 1 else ""
        parts.append(f"{first.layer}{others} got better: {_step_of(first)}")
    ill = sum(change.after in ILL for change in appeared)
    if appeared:
        parts.append(f"{len(appeared):,} new, {ill:,} of them ill")
    if gone:
        parts.append(f"{len(gone):,} gone")
    return "; ".join(parts) or "no layer got worse or better"


def _step_of(change: LayerChange) -> str:
    assert change.before is not None
    assert change.after is not None
    if change.before is change.after:
        return f"{change.after.value}, now for a reason of its own ({', '.join(change.appeared)})"
    return f"{change.before.value} → {change.after.value}"


def _remarks(old: Diagnosis, new: Diagnosis) -> Iterator[str]:
    for what, was, is_ in (
        ("samples", f"{old.sample.samples} of {old.sample.source}", f"{new.sample.samples} of {new.sample.source}"),
        ("modes", old.sample.mode, new.sample.mode),
        ("losses", old.sample.loss, new.sample.loss),
        ("versions of gradcheck", old.gradcheck_version, new.gradcheck_version),
    ):
        if was != is_:
            yield f"measured with different {what}: {was}, then {is_}"
    if old.layers and new.layers and not {a.name for a in old.layers} & {b.name for b in new.layers}:
        yield "no layer has the same name in both: are these two the same architecture?"
