"""Sums over batches, by layer and by parameter name: what makes readings mergeable. Turned into records at the end."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field

import torch

from gradcheck_cli.probe.activations import UnitCounts
from gradcheck_cli.probe.statistics import SquareSum
from gradcheck_cli.readings import Role, together
from gradcheck_cli.records import Spread


@dataclass
class ParameterTotals:
    """One parameter tensor, under its first name."""

    signal: SquareSum = field(default_factory=SquareSum)
    """Σ‖∂(v·out)/∂W‖² over cotangents."""
    signal_nonfinite: int = 0
    loss_gradient: SquareSum = field(default_factory=SquareSum)
    loss_gradient_nonfinite: int = 0
    spread: Spread | None = None
    """Magnitudes of the loss's gradient, without a loss of the signal, on the first batch."""
    reached: bool = False

    def merge(self, other: ParameterTotals) -> None:
        """Add another batch, or process."""
        self.signal.merge(other.signal)
        self.signal_nonfinite += other.signal_nonfinite
        self.loss_gradient.merge(other.loss_gradient)
        self.loss_gradient_nonfinite += other.loss_gradient_nonfinite
        if other.spread is not None:
            self.add_spread(other.spread)
        self.reached |= other.reached

    def add_spread(self, spread: Spread) -> None:
        """Count in another batch's histogram."""
        self.spread = spread if self.spread is None else together([self.spread, spread])


@dataclass
class LayerTotals:
    """One layer, under its display name."""

    kind: str
    role: Role
    sequence: int
    """Where in the forward pass it first ran, for the order."""
    upstream: dict[str, None] = field(default_factory=dict)
    producer: str | None = None
    calls: int = 0
    reached: bool = False
    out: float = 0.0
    """Σ‖∂(v·out)/∂y‖²."""
    relative: float | None = None
    """Σ‖∂(v·out)/∂y ⊙ y‖², and `out` for batches in which it is not loud; None where it is in none."""
    incoming: float = 0.0
    has_input: bool = False
    values: SquareSum | None = None
    nonfinite: int = 0
    nonfinite_input: bool = False
    units: UnitCounts | None = None
    multiplied: bool = False
    final: bool = False

    def merge(self, other: LayerTotals) -> None:
        """Add another batch, or process."""
        self.upstream.update(other.upstream)
        self.calls = max(self.calls, other.calls)
        self.reached |= other.reached
        if self.relative is not None or other.relative is not None:
            parts = (part.out if part.relative is None else part.relative for part in (self, other))
            self.relative = sum(parts)
        self.out += other.out
        self.incoming += other.incoming
        self.has_input |= other.has_input
        self.nonfinite += other.nonfinite
        self.nonfinite_input |= other.nonfinite_input
        self.multiplied |= other.multiplied
        self.final |= other.final
        if other.values is not None:
            self.values = self.values or SquareSum()
            self.values.merge(other.values)
        self.merge_units(other.units)

    def merge_units(self, units: UnitCounts | None) -> None:
        """Add the units of another call or batch; units of another number are not comparable and are left out."""
        if self.units is None:
            self.units = units
        elif units is not None:
            self.units.merge(units)


@dataclass
class Totals:
    """One model over all batches."""

    layers: dict[str, LayerTotals] = field(default_factory=dict)
    parameters: dict[str, ParameterTotals] = field(default_factory=dict)
    question: float = 0.0
    """Σ‖v‖² over batches: T² and U² are sums over this."""
    samples: int = 0
    batches: int = 0
    loss: float = 0.0
    losses: int = 0
    output: SquareSum = field(default_factory=SquareSum)
    output_nonfinite: int = 0
    unregistered: int = 0

    def merge(self, other: Totals) -> None:
        """Add another batch, or process."""
        for name, layer in other.layers.items():
            if name in self.layers:
                self.layers[name].merge(layer)
            else:
                self.layers[name] = copy.deepcopy(layer)
        for name, parameter in other.parameters.items():
            self.parameters.setdefault(name, ParameterTotals()).merge(parameter)
        self.question += other.question
        self.samples += other.samples
        self.batches += other.batches
        self.loss += other.loss
        self.losses += other.losses
        self.output.merge(other.output)
        self.output_nonfinite += other.output_nonfinite
        self.unregistered = max(self.unregistered, other.unregistered)

    def relative(self, total: float) -> float:
        """√(total / Σ‖v‖²): a transmission or learning signal from its sum of squares."""
        if self.question <= 0.0:
            return 0.0
        share = total / self.question
        return math.sqrt(share) if share >= 0 else math.nan


@dataclass(frozen=True)
class WeightFacts:
    """Values of one parameter tensor, read once; no gradient in it."""

    norm: float
    largest: float
    nonfinite: int


def weight_facts(parameter: torch.Tensor) -> WeightFacts:
    """Norm, largest magnitude and number of non-finite elements of a parameter."""
    from gradcheck_cli.probe.statistics import count_nonfinite, largest_magnitude, square_sum

    total = square_sum(parameter.detach())
    finite = math.isfinite(total)
    return WeightFacts(
        norm=math.sqrt(total) if finite else total,
        largest=largest_magnitude(parameter),
        nonfinite=0 if finite else count_nonfinite(parameter),
    )
