"""Looks that only suspicious or recurrent models get, on the first batch: more cotangents, open gates, cuts, time."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch

from gradcheck_cli.graph import closure
from gradcheck_cli.probe import forensics, opening
from gradcheck_cli.probe.batch import Run, Subject, add_plan, forward, transmission
from gradcheck_cli.probe.layers import plan_layers
from gradcheck_cli.probe.scopes import Scope
from gradcheck_cli.probe.tape import Tape
from gradcheck_cli.probe.through_time import is_fused, through_time
from gradcheck_cli.probe.totals import LayerTotals, Totals
from gradcheck_cli.readings import CutReading, Role, TimeReading
from gradcheck_cli.records import Batch

EXTRA_COTANGENTS = 2
"""A zero counts only if every one of several independent cotangents gives it."""

SUSPICIOUS = 1e-2
"""Below this transmission it is worth asking whether a gate is shut."""

ROUNDS = 2
"""Gates behind gates open in the second step."""


@dataclass
class SecondLooks:
    """What they found; everything keyed by first name of a parameter or by layer name."""

    gates: dict[str, float] = field(default_factory=dict)
    """Shut ones, each with what it is opened to (see `opening.gates`)."""
    opened_layers: dict[str, float] = field(default_factory=dict)
    """T with the gates open."""
    opened_parameters: dict[str, float] = field(default_factory=dict)
    """U with the gates open."""
    times: dict[str, TimeReading] = field(default_factory=dict)
    cuts: list[CutReading] = field(default_factory=list)
    first_nonfinite: tuple[str, str] | None = None
    """(call, layer) that first makes NaN or infinity."""
    idle: set[str] = field(default_factory=set)
    """Layers that ran neither here nor in evaluation mode."""
    not_measured: list[tuple[str, str]] = field(default_factory=list)


def take(subject: Subject, batch: Batch, totals: Totals, run: Run) -> SecondLooks:
    """Look again where the first batch's `totals` ask for it."""
    second = SecondLooks()
    if run.roots:
        if any(_silent(totals, name) for name in subject.parameters):
            for draw in range(1, 1 + EXTRA_COTANGENTS):
                transmission(subject, run, totals, draw)
            _rescale(totals, 1 + EXTRA_COTANGENTS)
        _through_time(subject, batch, run, second)
        if _suspicious(subject, totals):
            _open_gates(subject, batch, run, totals, second)
    unheard = [name for name in subject.parameters if not _reached(totals, name)]
    if unheard or totals.output_nonfinite or any(layer.nonfinite for layer in totals.layers.values()):
        _watch(subject, batch, run.tape, totals, second)
    idle = {name for name in subject.owners if name not in totals.layers}
    if idle:
        second.idle = idle - _called_in_evaluation(subject, batch, idle)
    return second


def _called_in_evaluation(subject: Subject, batch: Batch, otherwise: set[str]) -> set[str]:
    try:
        return forensics.called_in_evaluation(subject.module, batch)
    except Exception:  # a model that cannot be evaluated on this sample tells nothing of its idle layers
        return otherwise


def _reached(totals: Totals, name: str) -> bool:
    return name in totals.parameters and totals.parameters[name].reached


def _silent(totals: Totals, name: str) -> bool:
    return _reached(totals, name) and totals.parameters[name].signal.total == 0.0


def _rescale(totals: Totals, times: int) -> None:
    """The extra cotangents asked for parameters alone: bring the layers' sums to the same question."""
    for layer in totals.layers.values():
        layer.out *= times
        layer.incoming *= times


def _suspicious(subject: Subject, totals: Totals) -> bool:
    weak = any(layer.reached and totals.relative(layer.out) < SUSPICIOUS for layer in totals.layers.values())
    return weak or any(_silent(totals, name) for name in subject.parameters)


def _open_gates(subject: Subject, batch: Batch, first: Run, totals: Totals, second: SecondLooks) -> None:
    tape = first.tape
    signals = {name: totals.relative(parameter.signal.total) for name, parameter in totals.parameters.items()}
    generator = torch.Generator().manual_seed(subject.seed)
    for _ in range(ROUNDS):
        found = opening.gates(tape, subject.parameters, signals, _bypassed(subject, totals))
        if not found.keys() - second.gates.keys():
            return
        second.gates |= {name: value for name, value in found.items() if name not in second.gates}
        with opening.opened(subject.parameters, second.gates, generator):
            run = forward(subject, batch)
            if not run.roots:
                return
            again = Totals()
            reading = transmission(subject, run, again, 0)
            add_plan(again, plan_layers(run.tape, subject.owners, subject.tied, first.promoted), run.tape, reading)
        second.opened_layers = {name: again.relative(layer.out) for name, layer in again.layers.items()}
        signals = {name: again.relative(parameter.signal.total) for name, parameter in again.parameters.items()}
        second.opened_parameters = signals
        tape = run.tape


def _bypassed(subject: Subject, totals: Totals) -> set[str]:
    """Parameters of layers that another path goes around: something in front of them is heard well."""
    upstream = {name: list(layer.upstream) for name, layer in totals.layers.items()}
    loud = {name for name, layer in totals.layers.items() if totals.relative(layer.out) >= SUSPICIOUS}
    names: set[str] = set()
    for owner in subject.owners.values():
        if loud & closure(owner.name, upstream):
            names.update(subject.tied[name] for name in owner.parameters)
    return names


def _through_time(subject: Subject, batch: Batch, run: Run, second: SecondLooks) -> None:
    generator = np.random.default_rng(subject.seed)
    if is_fused(run.tape):
        with _unfused():
            run = forward(subject, batch)
        if is_fused(run.tape):
            second.not_measured.append(("through time", "a fused recurrent kernel hides its steps"))
            return
    second.times = through_time(run.tape, subject.parameters, generator)


@contextmanager
def _unfused() -> Iterator[None]:
    """Without the recurrent kernels of oneDNN and cuDNN, so that autograd sees the steps."""
    with warnings.catch_warnings(), torch.backends.cudnn.flags(enabled=False):
        warnings.simplefilter("ignore")  # torch warns of unrelated settings of the same flags
        with torch.backends.mkldnn.flags(enabled=False):
            yield


def _watch(subject: Subject, batch: Batch, tape: Tape, totals: Totals, second: SecondLooks) -> None:
    """Find where paths end and where the first non-finite value comes from."""
    try:
        found = forensics.watch(subject.module, batch)
    except Exception as error:  # the model runs without the watch; its own code may not stand it
        second.not_measured.append(("where a path is cut", f"{type(error).__name__} under watch: {error}"))
        return
    if found.first_nonfinite is not None:
        second.first_nonfinite = _first_nonfinite(*found.first_nonfinite, found.scopes.calls, tape, totals)
    names = {id(parameter): name for name, parameter in subject.parameters.items()}
    blamed: set[str] = set()
    for cut in found.cuts:
        lost = {name for name in forensics.leaves_behind(cut.sources, names) if not _reached(totals, name)} - blamed
        if lost:
            blamed |= lost
            scope = found.scopes.calls[cut.scope] if cut.scope >= 0 else None
            second.cuts.append(_cut_reading(subject, totals, cut.operation, scope, lost))


def _first_nonfinite(
    call: str, place: int, begun: int, calls: list[Scope], tape: Tape, totals: Totals
) -> tuple[str, str]:
    """(call, layer): the module where it is a leaf, else a layer of its own named after the call."""
    scope = calls[place] if place >= 0 else None
    path = scope.path if scope is not None else ""
    name = path if scope is not None and scope.leaf and path else f"{path}.{call}()".lstrip(".")
    before = tape.scopes[min(begun, len(tape.scopes)) - 1] if tape.scopes else None
    sequence = 0 if before is None else max(before.first, before.end if before.leaf else 0)
    totals.layers.setdefault(name, LayerTotals(call, Role.OPERATION, sequence))
    return call, name


def _cut_reading(subject: Subject, totals: Totals, operation: str, scope: Scope | None, lost: set[str]) -> CutReading:
    path = scope.path if scope is not None else ""
    owners = {owner.name for owner in subject.owners.values() if {subject.tied[n] for n in owner.parameters} & lost}
    order = sorted(owners, key=lambda name: totals.layers[name].sequence if name in totals.layers else -1, reverse=True)
    leaf = scope is not None and scope.leaf and path not in ("", *subject.owners)
    if scope is not None and leaf:
        # the watched pass ran later: it stands behind the last layer in front of it
        sequence = max((totals.layers[name].sequence for name in order if name in totals.layers), default=-1)
        totals.layers.setdefault(path, LayerTotals(scope.kind, Role.OPERATION, sequence))
    return CutReading(operation=operation, where=path, leaf=leaf, behind=tuple(order))
