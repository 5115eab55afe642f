"""What changes: over the steps of the rehearsal, over time steps, over checkpoints, over other initialisations."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

from gradcheck_cli.records import (
    SEVERITY,
    Diagnosis,
    InitialisationFacts,
    LayerReport,
    RehearsalFacts,
    TimeCourse,
)
from gradcheck_cli.render.by_layer import WELL
from gradcheck_cli.render.html.chart import Chart, Curve, figure
from gradcheck_cli.render.html.safe import code, name
from gradcheck_cli.render.html.words import CLASSES, badge
from gradcheck_cli.render.numbers import count, number, percent

MOST = 60
"""Layers whose curves are drawn: the ill first, then evenly spaced ones."""


def rehearsal(diagnosis: Diagnosis) -> str:
    """Return the three charts of the rehearsal; the empty text without one."""
    course = diagnosis.rehearsal
    if course is None:
        return ""
    steps = list(range(len(course.losses)))
    loss = Chart(
        "chart-loss",
        "Loss",
        _loss_told(course, diagnosis.sample.loss_value),
        steps,
        "step",
        [Curve("loss", course.losses)],
    )
    chosen = _chosen(diagnosis, course.layers)
    lines = _lines(chosen, len(course.layers))
    longest = max((len(each.norms) for each in course.layers.values()), default=0)
    norms = [_curve(layer, _relative(course.layers[layer.name].norms)) for layer in chosen]
    updates = [
        _curve(layer, _ratios(course.layers[layer.name].updates, course.layers[layer.name].norms)) for layer in chosen
    ]
    charts = [
        loss,
        Chart(
            "chart-norms", "Weights, relative to their start", f"‖W‖/‖W₀‖. {lines}", list(range(longest)), "step", norms
        ),
        Chart(
            "chart-updates",
            "Size of each step, relative to the weights",
            f"‖ΔW‖/‖W‖. {lines}",
            list(range(max((len(each.updates) for each in course.layers.values()), default=0))),
            "step",
            updates,
            log=True,
        ),
    ]
    return _figures(charts)


def through_time(diagnosis: Diagnosis) -> str:
    """Return the chart of what recurrent layers hear of their steps; the empty text where there is none."""
    courses = diagnosis.through_time
    back = max((course.back for course in courses.values()), key=_furthest, default=())
    chosen = _chosen(diagnosis, courses)
    curves = [_curve(layer, _heard(courses[layer.name], back)) for layer in chosen]
    told = (
        "The last time step is asked, and each earlier one is listened to: the size of the gradient there, relative to one step "
        f"before the last. {_lines(chosen, len(courses))}"
    )
    return _figures(
        [Chart("chart-time", "Gradient at each time step", told, back, "steps back from the last", curves, log=True)]
    )


def series(diagnosis: Diagnosis) -> str:
    """Return the charts over the checkpoints of a run; the empty text where one model was given."""
    run = diagnosis.series
    if run is None or not run.checkpoints:
        return ""
    chosen = _chosen(diagnosis, run.layers)
    lines = _lines(chosen, len(run.layers))
    xs = list(range(1, len(run.checkpoints) + 1))
    ends = f"{name(run.checkpoints[0])} to {name(run.checkpoints[-1])}, {count(len(xs), 'checkpoint')}."
    traces = [(layer, run.layers[layer.name]) for layer in chosen]
    charts = [
        Chart("chart-run-loss", "Loss over the run", ends, xs, "checkpoint", [Curve("loss", run.losses)]),
        _run_chart(
            "chart-run-norms",
            "Weights over the run",
            f"‖W‖. {lines}",
            xs,
            [(a, t.norms) for a, t in traces],
        ),
        _run_chart(
            "chart-run-flow", "Transmission over the run", f"T. {lines}", xs, [(a, t.transmissions) for a, t in traces]
        ),
        _run_chart(
            "chart-run-dead",
            "Dead units over the run",
            f"Share of units. {lines}",
            xs,
            [(a, t.dead) for a, t in traces if any(t.dead)],
        ),
    ]
    return _figures(charts)


def initialisation(facts: InitialisationFacts | None) -> str:
    """Return how other initialisations fared, as a bar with its words; the empty text where none were drawn."""
    if facts is None or not facts.draws:
        return ""
    known = [(verdict, facts.verdicts.get(verdict.value, 0)) for verdict in SEVERITY]
    total = sum(amount for _, amount in known) or 1
    bars, at = [], 0.0
    for verdict, amount in known:
        width = amount / total * 100
        bars.append(
            f'<rect class="{CLASSES[verdict]}" x="{at:.2f}%" width="{width:.2f}%" height="14"/>' if amount else ""
        )
        at += width
    keys = "".join(f"<li><b>{amount:,}</b> {badge(verdict)}</li>" for verdict, amount in known if amount)
    low, high = facts.born_dead
    draws = count(facts.draws, "other initialisation")
    return (
        f'<svg class="bar" width="100%" height="14" role="img" aria-label="Verdicts of {draws}">'
        f"{''.join(bars)}</svg>"
        f'<ul class="counts">{keys}</ul><p>Of {draws} of this architecture, with 95 % confidence '
        f"between {percent(low)} and {percent(high)} are born dead.</p>"
    )


def _figures(charts: Iterable[Chart]) -> str:
    drawn = "".join(map(figure, charts))
    return f'<div class="charts">{drawn}</div>' if drawn else ""


def _run_chart(
    ident: str, title: str, told: str, xs: Sequence[float], traces: Iterable[tuple[LayerReport, Sequence[float | None]]]
) -> Chart:
    curves = [_curve(layer, values) for layer, values in traces if any(value is not None for value in values)]
    return Chart(ident, title, told, xs, "checkpoint", curves)


def _curve(layer: LayerReport, values: Sequence[float | None]) -> Curve:
    return Curve(layer.name or "(model)", values, layer.verdict, layer.culprit)


def _chosen(diagnosis: Diagnosis, courses: Mapping[str, object]) -> list[LayerReport]:
    """Return at most `MOST` layers that have a course, in forward order: culprits, then ill ones, then others."""
    there = [(place, layer) for place, layer in enumerate(diagnosis.layers) if layer.name in courses]
    groups: list[list[tuple[int, LayerReport]]] = [[], [], []]
    for place, layer in there:
        groups[0 if layer.culprit else 1 if layer.verdict not in WELL else 2].append((place, layer))
    chosen: list[tuple[int, LayerReport]] = []
    for group in groups:
        room = MOST - len(chosen)
        step = max(1.0, len(group) / room) if room else 0
        chosen += [group[int(at * step)] for at in range(min(room, len(group)))]
    return [layer for _, layer in sorted(chosen, key=lambda pair: pair[0])]


def _lines(chosen: Sequence[LayerReport], all_of_them: int) -> str:
    """Return what the lines of a chart are, as HTML."""
    if len(chosen) == all_of_them == 1:
        return f"The line is {code(chosen[0].name)}, {badge(chosen[0].verdict)}."
    ill = dict.fromkeys(layer.verdict for layer in chosen if layer.verdict not in WELL)
    words = ", ".join(badge(verdict) for verdict in ill)
    colours = f" {words} in colour, the others thin." if ill else ""
    rest = f", {len(chosen)} of {all_of_them:,}; the JSON report has all" if len(chosen) < all_of_them else ""
    return f"A line a layer{rest}.{colours} Point at one for its name."


def _loss_told(course: RehearsalFacts, before: float | None) -> str:
    rate = "" if course.lr_given else ", a gentle rate because none was given"
    steps = f"{count(course.steps, 'step')} of {name(course.optimizer)} at learning rate {number(course.lr)}{rate}."
    if before is None or course.loss_after is None:
        went = "Afterwards the mean loss could not be measured."
    else:
        went = f"Mean over all batches: {_three(before)} before, {_three(course.loss_after)} after."
    return f"{steps} {went} Batches take turns, so the line may zigzag."


def _three(value: float) -> str:
    """Three digits, zeros too: 2.31 and 2.30 are to be compared."""
    return re.sub(r"e([-+])0", r"e\1", f"{value:#.3g}".rstrip("."))


def _relative(norms: Sequence[float]) -> list[float | None]:
    first = norms[0] if norms else 0.0
    return [value / first if first > 0 and math.isfinite(first) else None for value in norms]


def _ratios(updates: Sequence[float], norms: Sequence[float]) -> list[float | None]:
    return [update / norm if norm > 0 else None for update, norm in zip(updates, norms, strict=False)]


def _furthest(places: Sequence[int]) -> int:
    """Return the largest place, 0 of none."""
    return max(places, default=0)


def _heard(course: TimeCourse, back: Sequence[int]) -> list[float | None]:
    """Return what the layer hears at the places `back`, at the nearest of its own; None beyond its first step."""
    own = sorted(zip(course.back, course.shares, strict=False))
    places = [place for place, _ in own]
    last = _furthest(places)
    return [own[min(bisect_left(places, at), len(own) - 1)][1] if at <= last else None for at in back]
