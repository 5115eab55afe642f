"""The readings as rules look at them: a graph of layers, with what several rules need computed once.

All of it is arithmetic on names and numbers; no tensors, no thresholds hidden in here.
"""

from __future__ import annotations

import math
from functools import cached_property
from statistics import NormalDist

from gradcheck_cli.config import Thresholds
from gradcheck_cli.graph import closure
from gradcheck_cli.readings import LayerReading, ParameterReading, Readings, Role

SMALL, LARGE = 1.0, 10.0
"""Values of a layer are of ordinary size between these, and then only T counts."""

FITTED = 0.05
"""Share of the loss of chance below which a sample has been learned."""

_BOUNDED_ENDS = ("Softmax", "Sigmoid", "Tanh", "LogSoftmax", "Hardsigmoid")


class View:
    """One model's readings, its layer graph and the thresholds."""

    def __init__(self, readings: Readings, thresholds: Thresholds) -> None:
        self.readings = readings
        self.thresholds = thresholds
        self.layers = {layer.name: layer for layer in readings.layers}

    # ----------------------------------------------------------------------------------------------- after the rehearsal

    @cached_property
    def after(self) -> View | None:
        """The readings after the rehearsal's steps; None where there are none."""
        course = self.readings.rehearsal
        return None if course is None or course.after is None else View(course.after, self.thresholds)

    @cached_property
    def stuck(self) -> bool:
        """The loss is no small one, and no step of the rehearsal changes it."""
        course = self.readings.rehearsal
        if course is None or not course.losses or course.failed is not None or course.after is None:
            return False
        first, last = course.losses[0], course.after.loss
        wrong = first > max(FITTED * abs(course.chance or 0.0), self.thresholds.wrong)
        return wrong and last is not None and abs(last - first) < self.thresholds.slow * first

    @cached_property
    def moved(self) -> dict[str, float]:
        """Layer → Σ‖ΔW‖ / ‖W‖ of the rehearsal, where it has weights that are not zero."""
        course = self.readings.rehearsal
        return {layer.name: layer.moved for layer in course.layers if layer.norms[0] > 0.0} if course else {}

    @cached_property
    def recovered(self) -> tuple[str, ...]:
        """Layers that are silent now and awake after the rehearsal: they hear the output, and their units fire."""
        after = self.after
        if after is None or not after.finite or not self.finite:
            return ()
        dead = {*self._mostly_silent, *(self.stage(self.layers[name]) for name in self._mostly_silent)}
        mute = {layer.name for layer in self.readings.layers if layer.transmission == 0.0 or _without_signal(layer)}
        still = {*after._mostly_silent, *(after.stage(after.layers[name]) for name in after._mostly_silent)}
        still |= {layer.name for layer in after.readings.layers if not layer.transmission or _without_signal(layer)}
        return tuple(name for name in self.layers if name in (dead | mute) - still and name in after.layers)

    # ------------------------------------------------------------------------------------------------ the layer graph

    @cached_property
    def downstream(self) -> dict[str, list[str]]:
        """Layer → the layers that read it, in forward order."""
        readers: dict[str, list[str]] = {name: [] for name in self.layers}
        for layer in self.readings.layers:
            for source in layer.upstream:
                if source in readers:
                    readers[source].append(layer.name)
        return readers

    @cached_property
    def ancestors(self) -> dict[str, frozenset[str]]:
        """Layer → all layers that its input depends on, through any number of others."""
        return {name: closure(name, {n: layer.upstream for n, layer in self.layers.items()}) for name in self.layers}

    @cached_property
    def descendants(self) -> dict[str, frozenset[str]]:
        """Layer → all layers that depend on it."""
        return {name: closure(name, self.downstream) for name in self.layers}

    @cached_property
    def parametric(self) -> list[LayerReading]:
        """Layers that own parameters, in forward order."""
        return [layer for layer in self.readings.layers if layer.role is Role.PARAMETRIC]

    def stage(self, layer: LayerReading) -> str:
        """The layer that answers for a change of the signal: an activation's units belong to its producer."""
        return layer.producer or layer.name if layer.role is Role.ACTIVATION else layer.name

    # --------------------------------------------------------------------------------------------------- how loud, how dead

    @cached_property
    def question(self) -> float:
        """What the model's last operation makes of the question; transmissions are taken relative to it.

        A softmax or sigmoid that ends the model belongs to the loss, whose logarithm undoes its slope; not where it is saturated
        and the loss is stuck. A scale that ends it is
        a temperature, as of a contrastive loss; up to `temperature` it is usual.
        """
        slope, scale = 1.0, 1.0
        for layer in self.readings.layers:
            if not layer.gain:
                continue
            if layer.final and layer.kind in _BOUNDED_ENDS and not (self.stuck and self.saturated(layer)):
                slope = min(slope, layer.gain)
            elif _scales(layer) and self._only_scales_follow(layer):
                scale = max(scale, min(layer.gain, self.thresholds.temperature))
        return slope * scale

    @cached_property
    def sizes(self) -> dict[str, float]:
        """Root mean square of each layer's values; of a functional call, which shows none, from what it reads.

        A product is as large as the product of its factors; else the smallest of what it reads stands for it (of an
        attention: its values, not its normed queries).
        """
        sizes: dict[str, float] = {}
        for layer in self.readings.layers:  # forward order: sources first
            before = [sizes[name] for name in layer.upstream if name in sizes]
            joined = math.prod(before) if layer.kind == "Mul" else min(before, default=1.0)
            sizes[layer.name] = joined if layer.output_rms is None else layer.output_rms
        return sizes

    def _only_scales_follow(self, layer: LayerReading) -> bool:
        return all(_scales(self.layers[name]) for name in self.descendants[layer.name])

    def faint(self, layer: LayerReading) -> float:
        """The larger of T and T·rms(y)/10: how loud the output is heard by changes of y, absolute or relative to its size.

        A layer of large values is heard through them (×1000 then ÷1000 undo each other); vanishing needs both small.
        """
        return (layer.transmission or 0.0) * max(1.0, self.sizes[layer.name] / LARGE) / self.question

    def loud(self, layer: LayerReading) -> float:
        """The smaller of T and T with y's own size as the unit: a large T at a layer of small values is undone by them."""
        transmission = layer.transmission or 0.0
        sized = transmission * self.sizes[layer.name] / SMALL if layer.relative is None else layer.relative / SMALL
        return min(transmission, sized) / max(1.0, self.question)

    @cached_property
    def finite(self) -> bool:
        """No NaN or infinity anywhere in weights, values or signals: only then do ratios mean anything."""
        return not (
            self.readings.output_nonfinite
            or any(not math.isfinite(layer.transmission or 0.0) for layer in self.readings.layers)
            or any(p.nonfinite or p.signal_nonfinite for layer in self.readings.layers for p in layer.parameters)
        )

    @cached_property
    def heard(self) -> dict[str, bool]:
        """Layer → the output's question arrives there at all; a zero that is an underflow counts as heard."""
        heard: dict[str, bool] = {}
        for layer in reversed(self.readings.layers):
            if layer.transmission is None:
                heard[layer.name] = False
                continue
            heard[layer.name] = layer.transmission != 0.0 or self._underflowed(layer, heard)
        return heard

    def _underflowed(self, layer: LayerReading, heard: dict[str, bool]) -> bool:
        for name in self.downstream[layer.name]:
            transmission = self.layers[name].transmission
            if transmission is None:
                continue
            if self.saturated(self.layers[name]) and not self.layers[name].multiplied:
                return True
            if transmission == 0.0 and heard.get(name, False):
                return True
            if 0.0 < transmission < self.thresholds.underflow:
                return True
        return False

    def saturated(self, layer: LayerReading) -> bool:
        """Most units of a bounded activation sit where its slope is weak; float32 may round that slope to 0."""
        units = layer.units
        return units is not None and len(units.saturated) >= max(1, self.thresholds.saturated_share * units.units)

    def scale(self, parameter: ParameterReading) -> bool:
        """A gate that only scales, whatever its shape: no matrix, small or not."""
        return parameter.name in self.readings.gates and parameter.name.rpartition(".")[2] != "weight"

    def gated(self, layer: LayerReading) -> bool:
        """With the shut gates open, the layer hears the output well."""
        opened = layer.opened_transmission
        return opened is not None and opened > max(self.thresholds.vanishing, 10 * (layer.transmission or 0.0))

    @cached_property
    def silent_units(self) -> dict[str, float]:
        """Activation → share of its units that are dead, where there is evidence enough to say so and they stay dead."""
        return {name: share for name, share in self._mostly_silent.items() if name not in self.recovered}

    @cached_property
    def _mostly_silent(self) -> dict[str, float]:
        found = {}
        for layer in self.readings.layers:
            units = layer.units
            if not self.finite or units is None or units.bounded or layer.name in self._behind_constant:
                continue
            share = len(units.dead) / units.units
            if share >= self._dead_bound(layer) and self._evidence(layer):
                found[layer.name] = share
        return found

    def _dead_bound(self, layer: LayerReading) -> float:
        """Share of dead units from which a layer is dead: a half, or more where others are on for everything seen.

        Units that are always on are the sign of an input that hardly varies; each unit that tells no sample from another is
        then off with probability ½ by no fault of its own.
        """
        units = layer.units
        assert units is not None
        least = self.thresholds.dead_share
        if not units.always_on:
            return least
        constant = len(units.dead) + units.always_on
        chance = constant / 2 + self._deviations * math.sqrt(constant) / 2
        return max(least, min(1.0, chance / units.units))

    @cached_property
    def _deviations(self) -> float:
        """Standard deviations that chance does not reach at any of the model's activations (Bonferroni)."""
        tests = sum(layer.units is not None and not layer.units.bounded for layer in self.readings.layers)
        return NormalDist().inv_cdf(1 - self.thresholds.chance / max(1, tests))

    def _evidence(self, layer: LayerReading) -> bool:
        units = layer.units
        return units is not None and units.seen >= self.thresholds.evidence

    @cached_property
    def _behind_constant(self) -> frozenset[str]:
        """Layers whose whole input comes from activations with no unit alive: their input is constant."""
        constant: set[str] = set()
        for layer in self.readings.layers:  # forward order: sources first
            sources = [self.layers[name] for name in layer.upstream if name in self.layers]
            if sources and all(self._constant_output(source, constant) for source in sources):
                constant.add(layer.name)
        return frozenset(constant)

    def _constant_output(self, layer: LayerReading, constant: set[str]) -> bool:
        units = layer.units
        all_dead = units is not None and not units.bounded and len(units.dead) == units.units and self._evidence(layer)
        return all_dead or layer.name in constant

    @property
    def behind_constant(self) -> frozenset[str]:
        """Layers whose input is constant because everything in front of them is dead; their units are not judged."""
        return self._behind_constant

    @cached_property
    def blockers(self) -> dict[str, tuple[str, ...]]:
        """Layer that hears nothing → the stages behind it whose units are all dead, nearest first."""
        walls = [name for name, share in self.silent_units.items() if share == 1.0]
        result = {}
        for layer in self.readings.layers:
            if layer.transmission == 0.0 and not self.heard[layer.name]:
                behind = [self.stage(self.layers[wall]) for wall in walls if wall in self.descendants[layer.name]]
                if behind:
                    result[layer.name] = tuple(dict.fromkeys(behind))
        return result


def _scales(layer: LayerReading) -> bool:
    """An operation, or a layer with nothing but numbers for parameters."""
    return layer.role is Role.OPERATION or (bool(layer.parameters) and all(p.size == 1 for p in layer.parameters))


def _without_signal(layer: LayerReading) -> bool:
    """Its matrices are reached, and all of their gradients are exactly zero."""
    signals = [w.signal for w in layer.weights if w.reached and w.signal is not None]
    return bool(signals) and not any(signals)
