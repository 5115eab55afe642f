"""Dead and saturated units: where in the depth they are, and a map of each layer with a cell a unit."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from gradcheck_cli.records import Diagnosis, Finding, LayerReport, UnitFacts, Verdict
from gradcheck_cli.render.by_layer import WELL, findings_of
from gradcheck_cli.render.html.safe import Anchors
from gradcheck_cli.render.html.words import badge
from gradcheck_cli.render.numbers import count

COLUMNS, CELL, GAP = 32, 10, 2
"""Cells in a row, and pixels from one to the next and between them: a row is as wide as a small phone."""
MOST_CELLS = 512
"""Cells of a map; of a wider layer several units share one."""
OPEN = 12
"""Maps that are shown at once, the worst first; the others are folded."""
MOST_MAPS = 120
NEARBY = 3
"""Layers between a layer with parameters and the activation that its units end in, at most."""
PATTERN = (
    '<svg width="0" height="0" aria-hidden="true" class="hidden"><defs><pattern id="cell" width="10" height="10" '
    'patternUnits="userSpaceOnUse"><path class="cell" d="M0 0h8v8h-8z"/></pattern></defs></svg>'
)
LEVELS = 4
"""Depths of colour of a cell that stands for several units."""


_RANGE = re.compile(r"([0-9]{1,15})(?:-([0-9]{1,15}))?")
Span = tuple[int, int]
"""The first and the last of units that lie side by side."""


@dataclass(frozen=True)
class Units:
    """The units of one activation, or of a layer that has one inside."""

    layer: LayerReport
    producer: LayerReport | None
    """The layer with parameters whose units these are, where it is another one."""
    saturated: bool
    total: int
    off: int
    where: tuple[Span, ...] | None
    """Which units are off; None where the run does not tell."""

    @property
    def share(self) -> float:
        """Return how many are off, 0 … 1."""
        return self.off / self.total

    @property
    def verdict(self) -> Verdict:
        """Return the verdict of the layer that the units belong to."""
        return self.producer.verdict if self.producer is not None else self.layer.verdict


def section(diagnosis: Diagnosis, anchors: Anchors) -> str:
    """Return the maps; one sentence where no unit is off, the empty text where no layer has units."""
    everything = list(_units(diagnosis))
    if not everything:
        return ""
    off = sorted(
        (units for units in everything if units.off), key=lambda units: (-units.share, anchors.places[units.layer.name])
    )
    well = len(everything) - len(off)
    if not off:
        return f'<p class="calm">{_all_well(well)}</p>'
    maps = [_map(units, anchors) for units in off[:MOST_MAPS]]
    folded = "".join(maps[OPEN:])
    if folded:
        more = count(len(maps) - OPEN, "more layer")
        folded = f'<details><summary>{more}</summary><div class="maps">{folded}</div></details>'
    rest = [f"{count(well, 'other layer')} with units: none off." if well else ""]
    if len(off) > MOST_MAPS:
        rest.append(f"{count(len(off) - MOST_MAPS, 'layer')} with fewer units off are in the table only.")
    told = " ".join(filter(None, rest))
    return f'{_legend(off)}<div class="maps">{"".join(maps[:OPEN])}</div>{folded}<p class="muted">{told}</p>'


def _all_well(layers: int) -> str:
    return f"No unit of {count(layers, 'layer')} is dead or saturated on this sample."


def _units(diagnosis: Diagnosis) -> Iterator[Units]:
    """Give each set of units once: an activation shows what the layer in front of it shows too."""
    found = findings_of(diagnosis)
    layers = diagnosis.layers
    ended: set[int] = set()
    pairs: list[tuple[LayerReport, LayerReport | None]] = []
    for place, layer in enumerate(layers):
        if layer.parameters or not _has_units(layer):
            continue
        before = range(place - 1, max(-1, place - 1 - NEARBY), -1)
        producers = [at for at in before if layers[at].parameters and _same_units(layers[at], layer)]
        ended.update(producers)
        pairs.append((layer, layers[producers[0]] if producers else None))
    alone = [
        (layer, None)
        for place, layer in enumerate(layers)
        if layer.parameters and _has_units(layer) and place not in ended
    ]
    for layer, producer in [*pairs, *alone]:
        at = [*found.get(layer.name, ()), *(found.get(producer.name, ()) if producer is not None else ())]
        yield _of(layer, producer, diagnosis.units.get(layer.name), at)


def _has_units(layer: LayerReport) -> bool:
    readings = layer.readings
    share = readings.dead_units if readings.dead_units is not None else readings.saturated
    return bool(readings.units) and share is not None and 0 <= share <= 1


def _same_units(one: LayerReport, other: LayerReport) -> bool:
    fields = ("units", "seen", "dead_units", "saturated")
    return all(getattr(one.readings, field) == getattr(other.readings, field) for field in fields)


def _of(
    layer: LayerReport, producer: LayerReport | None, facts: UnitFacts | None, findings: Sequence[Finding]
) -> Units:
    readings = layer.readings
    saturated = readings.dead_units is None
    share = readings.saturated if saturated else readings.dead_units
    total = readings.units
    assert total is not None and share is not None  # noqa: PT018
    off = round(share * total)
    if facts is not None and facts.units == total:
        told = list(_spans(facts.saturated if saturated else facts.dead))
    else:
        told = _named(findings, "saturated" if saturated else "dead_units")
    return Units(layer, producer, saturated, total, off, _checked(told, total, off))


def _spans(ranges: str) -> Iterator[Span]:
    """Give the units of ``0-3,7``."""
    for first, last in _RANGE.findall(ranges):
        yield int(first), int(last or first)


def _named(findings: Sequence[Finding], kind: str) -> list[Span]:
    """Return the units that a finding names: all that a report of an older version holds, the first hundred."""
    for finding in findings:
        units = finding.evidence.get("units")
        if kind in finding.evidence and isinstance(units, list | tuple):
            return [(int(unit), int(unit)) for unit in units if isinstance(unit, int | float) and math.isfinite(unit)]
    return []


def _checked(told: list[Span], total: int, off: int) -> tuple[Span, ...] | None:
    """Return the spans in order; None where they are not as many units as are off."""
    spans = sorted(set(told))
    apart = all(one[1] < other[0] for one, other in pairwise(spans))
    inside = all(0 <= first <= last < total for first, last in spans)
    return tuple(spans) if apart and inside and sum(last - first + 1 for first, last in spans) == off else None


def _map(units: Units, anchors: Anchors) -> str:
    kind = "saturated" if units.saturated else "dead"
    of = f" <small>after {anchors.link(units.producer.name)}</small>" if units.producer is not None else ""
    each = math.ceil(units.total / MOST_CELLS)
    notes = [
        f"a cell is {each:,} units" if each > 1 else "",
        "in no order" if units.where is None and units.off < units.total else "",
    ]
    note = "; ".join(filter(None, notes))
    more = f" <small>({note})</small>" if note else ""
    ill = "" if units.verdict in WELL else f" · {badge(units.verdict)}"
    told = f"{units.off:,} of {units.total:,} {kind}"
    return f"<div><p>{anchors.link(units.layer.name)}{of}</p><p><b>{told}</b>{more}{ill}</p>{_cells(units, each)}</div>"


def _cells(units: Units, each: int) -> str:
    sizes = [min(each, units.total - first) for first in range(0, units.total, each)]
    if units.where is None:
        full = [min(size, max(0, units.off - cell * each)) for cell, size in enumerate(sizes)]
    else:
        full = [0] * len(sizes)
        for first, last in units.where:
            for cell in range(first // each, last // each + 1):
                full[cell] += min(last, cell * each + each - 1) - max(first, cell * each) + 1
    levels = [math.ceil(amount / size * LEVELS) for amount, size in zip(full, sizes, strict=True)]
    drawn = "".join(f'<path{_depth(level)} d="{_runs(levels, level)}"/>' for level in sorted({*levels} - {0}))
    rows = math.ceil(len(sizes) / COLUMNS)
    kind = "saturated" if units.saturated else "dead"
    box = f'viewBox="0 0 {COLUMNS * CELL} {rows * CELL}"'
    return f'<svg class="cells {kind}" {box} aria-hidden="true">{_ground(len(sizes))}{drawn}</svg>'


def _depth(level: int) -> str:
    return f' class="q{level}"' if level < LEVELS else ""


def _runs(levels: Sequence[int], wanted: int) -> str:
    """One stroke for cells of a level that lie side by side; the style sheet's dashes part them."""
    strokes: list[str] = []
    cell = 0
    while cell < len(levels):
        end = cell
        while end < len(levels) and levels[end] == wanted and end // COLUMNS == cell // COLUMNS:
            end += 1
        if end > cell:
            x, y = cell % COLUMNS * CELL, cell // COLUMNS * CELL + CELL // 2 - 1
            strokes.append(f"M{x} {y}h{(end - cell) * CELL - GAP}")
        cell = max(end, cell + 1)
    return "".join(strokes)


def _ground(cells: int) -> str:
    """All cells as a pattern: whole rows, then what is left."""
    rows, left = divmod(cells, COLUMNS)
    whole = f'<rect width="{COLUMNS * CELL}" height="{rows * CELL}"/>' if rows else ""
    return whole + (f'<rect y="{rows * CELL}" width="{left * CELL}" height="{CELL}"/>' if left else "")


def _legend(off: Sequence[Units]) -> str:
    keys = ['<span class="key"><i class="k-cell"></i>a unit that responds</span>']
    if any(not units.saturated for units in off):
        keys.append('<span class="key"><i class="k-cell dead"></i>dead: flat on everything seen</span>')
    if any(units.saturated for units in off):
        keys.append('<span class="key"><i class="k-cell saturated"></i>saturated: hardly any slope</span>')
    if any(units.total > MOST_CELLS for units in off):
        keys.append('<span class="key">paler: some of the units in the cell</span>')
    return f'{PATTERN}<div class="legend">{"".join(keys)}</div>'
