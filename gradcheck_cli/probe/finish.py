"""From sums over batches to finished numbers: `Totals` and second looks become one `Readings` record."""

from __future__ import annotations

import math

import torch

from gradcheck_cli.probe.activations import UnitCounts
from gradcheck_cli.probe.batch import Subject
from gradcheck_cli.probe.layers import Owner
from gradcheck_cli.probe.second_looks import SecondLooks
from gradcheck_cli.probe.totals import LayerTotals, ParameterTotals, Totals, WeightFacts, weight_facts
from gradcheck_cli.readings import LayerReading, ParameterReading, Readings, Role, TimeReading, UnitReading

NEARLY_ALL = 0.95
"""Share of samples and positions on which a unit's slope must be weak for it to count as saturated."""


def finished(
    subject: Subject,
    totals: Totals,
    second: SecondLooks,
    *,
    mode: str,
    lr: float | None,
    optimizer: str,
    loss_name: str,
    unfrozen: bool,
    inputs_left: tuple[str, ...],
) -> Readings:
    """Make the records that the rules see."""
    tensors = dict(subject.module.named_parameters(remove_duplicate=False))
    facts = {name: weight_facts(p) for name, p in subject.module.named_parameters() if _has_values(p)}
    parameters = {name: _parameter(name, tensors[name], subject, totals, second, facts) for name in tensors}
    return Readings(
        layers=tuple(_layer(name, subject, totals, second, parameters) for name in _order(subject, totals)),
        cuts=tuple(second.cuts),
        gates=tuple(second.gates),
        first_nonfinite=second.first_nonfinite,
        inputs_left=inputs_left,
        unregistered=totals.unregistered,
        output_connected=totals.question > 0.0,
        output_rms=totals.output.rms if totals.output.count else None,
        output_nonfinite=totals.output_nonfinite,
        parameters=sum(parameter.numel() for parameter in subject.module.parameters()),
        samples=totals.samples,
        batches=totals.batches,
        mode=mode,
        dtype=_dtype(subject.module),
        loss_name=loss_name,
        loss=totals.loss / totals.losses if totals.losses else None,
        lr=lr,
        optimizer=optimizer,
        unfrozen=unfrozen,
        not_measured=tuple(second.not_measured),
    )


def _has_values(parameter: torch.Tensor) -> bool:
    return parameter.is_floating_point() or parameter.is_complex()


def _dtype(module: torch.nn.Module) -> str:
    kinds = [str(p.dtype).removeprefix("torch.") for p in module.parameters() if _has_values(p)]
    return max(set(kinds), key=kinds.count) if kinds else "float32"


def _order(subject: Subject, totals: Totals) -> list[str]:
    """Forward order; a layer that never ran stands behind its neighbour in the order of registration."""
    order = sorted(totals.layers, key=lambda name: totals.layers[name].sequence)
    previous: str | None = None
    for name in subject.owners:
        if name not in totals.layers:
            order.insert(order.index(previous) + 1 if previous is not None else 0, name)
        previous = name
    return order


def _layer(
    name: str, subject: Subject, totals: Totals, second: SecondLooks, readings: dict[str, ParameterReading]
) -> LayerReading:
    owner = subject.owners.get(name)
    found = totals.layers.get(name)
    parameters = tuple(readings[parameter] for parameter in owner.parameters) if owner else ()
    if found is None:
        assert owner is not None
        kind = owner.kind
        return LayerReading(
            name=name,
            kind=kind,
            role=Role.PARAMETRIC,
            parameters=parameters,
            container=owner.container,
            called=False,
            idle=name in second.idle,
            reached=False,
            calls=0,
        )
    return LayerReading(
        name=name,
        kind=found.kind if owner is None or found.kind != "Parameter" else owner.kind,
        role=found.role,
        parameters=parameters,
        container=owner is not None and owner.container,
        upstream=tuple(found.upstream),
        producer=found.producer,
        reached=found.reached,
        calls=max(1, found.calls),
        transmission=totals.relative(found.out) if found.reached else None,
        incoming=totals.relative(found.incoming) if found.has_input else None,
        output_rms=found.values.rms if found.values is not None and found.values.count else None,
        nonfinite=found.nonfinite,
        nonfinite_input=found.nonfinite_input,
        units=_units(found, totals.samples),
        multiplied=found.multiplied,
        final=found.final,
        relative=None if found.relative is None else totals.relative(found.relative),
        opened_transmission=second.opened_layers.get(name) if second.gates else None,
        time=_time(owner, subject, second),
    )


def _units(found: LayerTotals, samples: int) -> UnitReading | None:
    counts: UnitCounts | None = found.units
    if counts is None or not counts.units:
        return None
    return UnitReading(
        units=counts.units,
        seen=counts.seen,
        samples=samples,
        dead=tuple(counts.dead()),
        saturated=tuple(counts.saturated(NEARLY_ALL)),
        bounded=counts.weak is not None,
        always_on=counts.always_on(),
    )


def _time(owner: Owner | None, subject: Subject, second: SecondLooks) -> TimeReading | None:
    """Of a layer with several recurrent weights (stacked, both directions), the one furthest from a steady signal."""
    if owner is None:
        return None
    found = [second.times[subject.tied[name]] for name in owner.parameters if subject.tied[name] in second.times]
    return max(found, key=lambda time: _distance(time.reach), default=None)


def _distance(value: float) -> float:
    """|log value|, infinite for 0, infinity and NaN: how far a ratio is from 1."""
    return abs(math.log(value)) if value > 0 and math.isfinite(value) else math.inf


def _parameter(
    name: str,
    tensor: torch.Tensor,
    subject: Subject,
    totals: Totals,
    second: SecondLooks,
    facts: dict[str, WeightFacts],
) -> ParameterReading:
    first = subject.tied[name]
    sums = totals.parameters.get(first, ParameterTotals())
    weight = facts.get(first, WeightFacts(0.0, 0.0, 0))
    return ParameterReading(
        name=name,
        shape=tuple(tensor.shape),
        trainable=first in subject.parameters,
        tied_to=first if first != name else None,
        reached=sums.reached,
        norm=weight.norm,
        largest=weight.largest,
        nonfinite=weight.nonfinite,
        signal=totals.relative(sums.signal.total) if sums.reached else None,
        signal_nonfinite=sums.signal_nonfinite,
        loss_gradient=math.sqrt(sums.loss_gradient.total / sums.loss_gradient.count)
        if sums.loss_gradient.count
        else None,
        loss_gradient_nonfinite=sums.loss_gradient_nonfinite,
        spread=sums.spread,
        opened_signal=second.opened_parameters.get(first) if second.gates else None,
    )
