"""What the probe measured, as frozen records without tensors: the only thing that rules and judge ever see.

Everything here is a finished number; the sums that they come from are merged over batches in the probe. Symbols are those
of the method: T transmission, U learning signal, v the ±1 cotangent on the outputs, y a layer's output, W its weights.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence

import msgspec

from gradcheck_cli.records import Spread


def together(spreads: Sequence[Spread]) -> Spread | None:
    """Return the histogram of all elements of `spreads`; None of none."""
    if not spreads:
        return None
    places = [(s.lowest, s.lowest + len(s.counts)) for s in spreads if s.counts]
    lowest, end = min((low for low, _ in places), default=0), max((end for _, end in places), default=0)
    counts = [0] * (end - lowest)
    for spread in spreads:
        for place, count in enumerate(spread.counts, start=spread.lowest - lowest):
            counts[place] += count
    return Spread(lowest=lowest, counts=tuple(counts), zeros=sum(spread.zeros for spread in spreads))


class Role(str, enum.Enum):
    """Why something is a layer."""

    PARAMETRIC = "parametric"
    """A module that owns parameters."""
    ACTIVATION = "activation"
    OPERATION = "operation"
    """Neither, but the backward signal changes at it."""


class ParameterReading(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter tensor, under the name that its layer gives it."""

    name: str
    shape: tuple[int, ...]
    trainable: bool
    tied_to: str | None = None
    """The name under which the same tensor is read, where that is another."""
    reached: bool = True
    """False if the outputs do not depend on it."""
    norm: float = 0.0
    """‖W‖."""
    largest: float = 0.0
    """max |W|."""
    nonfinite: int = 0
    """Elements that are NaN or infinite."""
    signal: float | None = None
    """U = ‖∂(v·out)/∂W‖ / ‖v‖; exactly 0.0 only if every one of several independent cotangents gave zero."""
    loss_gradient: float | None = None
    """‖∂L/∂W‖, root mean square over batches; None without a loss."""
    loss_gradient_nonfinite: int = 0
    spread: Spread | None = None
    """Magnitudes of the elements of ∂L/∂W on the first batch, without a loss of ∂(v·out)/∂W; None without a gradient."""
    signal_nonfinite: int = 0
    structural: bool = False
    """`signal` is rounding noise around an exact zero: repeated in float64, it fell with the precision."""
    opened_signal: float | None = None
    """U again, on a copy in which the shut gates stand open; None where no gate was tried."""

    @property
    def matrix(self) -> bool:
        """True for weights with at least two axes longer than one, or of a layer with one input or one output; False for
        biases, gains and scalars."""
        named = len(self.shape) > 1 and self.size > 1 and self.name.rpartition(".")[2] == "weight"
        return named or sum(size > 1 for size in self.shape) >= 2

    @property
    def size(self) -> int:
        """Number of elements."""
        total = 1
        for size in self.shape:
            total *= size
        return total


class UnitReading(msgspec.Struct, frozen=True, kw_only=True):
    """The units of one activation."""

    units: int
    """C."""
    seen: int
    """Samples × positions seen of each unit."""
    samples: int
    """Samples alone: positions of one sample are not independent."""
    dead: tuple[int, ...] = ()
    """Indices of units flat on everything seen."""
    saturated: tuple[int, ...] = ()
    """Indices of units with a slope below 1 % of the maximum on nearly everything seen."""
    bounded: bool = False
    always_on: int = 0
    """Units that were on the steep side on everything seen; with the dead ones, those that tell no sample from another."""


class TimeReading(msgspec.Struct, frozen=True, kw_only=True):
    """The gradient of a recurrent layer's hidden state, asked for at the last step only."""

    steps: int
    reach: float
    """‖gradient at the first step‖ / ‖gradient one step before the last‖."""
    gain: float
    """Geometric mean per step."""
    heard: int
    """How many steps back the gradient stays above a thousandth of what it was."""
    largest: float
    """Largest ‖gradient at a step‖ / ‖gradient one step before the last‖."""
    course: tuple[float, ...] = ()
    """The same ratio at every step but the last, which is asked: first step first."""


class PrecisionReading(msgspec.Struct, frozen=True, kw_only=True):
    """What another dtype could not hold of one layer, with the loss as it is (not scaled)."""

    largest: float
    """max |y| of its outputs; 0.0 where its module did not run as one."""
    lost: float
    """Share, 0 … 1, of the elements of ∂L/∂W, or of ∂L/∂y if more, that are not zero and would be stored as 0."""
    overflowing: int
    """Elements of gradients and weights beyond the dtype's largest number."""


class LayerReading(msgspec.Struct, frozen=True, kw_only=True):
    """One layer, over all batches."""

    name: str
    kind: str
    role: Role
    parameters: tuple[ParameterReading, ...] = ()
    upstream: tuple[str, ...] = ()
    """Names of the layers that its inputs come from, nothing in between."""
    producer: str | None = None
    """Of an activation: the layer with parameters whose units these are."""
    container: bool = False
    """Layers with weights of their own are inside it; its own parameters stand beside them."""
    called: bool = True
    """Its module ran."""
    idle: bool = False
    """Its module ran neither so nor in evaluation mode, where no layer is dropped by chance."""
    reached: bool = True
    """The outputs depend on it."""
    calls: int = 1
    """Calls per forward pass."""
    transmission: float | None = None
    """T at its output; None where it is not on the tape."""
    incoming: float | None = None
    """‖∂(v·out)/∂x‖ / ‖v‖ over its differentiable inputs x; None for a first layer."""
    output_rms: float | None = None
    """Root mean square of its output values; None where its module did not run as one."""
    nonfinite: int = 0
    """Output elements that are NaN or infinite."""
    nonfinite_input: bool = False
    """Its input held NaN or infinity already."""
    units: UnitReading | None = None
    multiplied: bool = False
    """Of an activation: its output multiplies another path (a gate in the sense of LSTM, GLU, squeeze-excite)."""
    final: bool = False
    """Of an activation: nothing but rearrangements between it and the model's output."""
    opened_transmission: float | None = None
    """T again, on a copy in which the shut gates stand open; None where no gate was tried."""
    relative: float | None = None
    """‖∂(v·out)/∂y ⊙ y‖ / ‖v‖: T with every element of y weighted by its size; read where T is large, None elsewhere."""
    time: TimeReading | None = None
    precision: PrecisionReading | None = None
    """What another precision would lose, where that was asked."""

    @property
    def gain(self) -> float | None:
        """‖gradient at its input‖ / ‖gradient at its output‖."""
        if self.incoming is None or not self.transmission:
            return None
        return self.incoming / self.transmission

    @property
    def gradient(self) -> float | None:
        """‖∂L/∂W‖ of all its parameters, without a loss U; tied ones are counted where they are read first."""
        own = [p for p in self.parameters if not p.tied_to]
        losses = [p.loss_gradient for p in own if p.loss_gradient is not None]
        norms = losses or [p.signal for p in own if p.signal is not None]
        return math.hypot(*norms) if norms else None

    @property
    def spread(self) -> Spread | None:
        """Magnitudes of the elements of the same gradients, together."""
        return together([p.spread for p in self.parameters if p.spread is not None and not p.tied_to])

    @property
    def trainable(self) -> bool:
        """True if any of its parameters takes part in training."""
        return any(parameter.trainable for parameter in self.parameters)

    @property
    def weights(self) -> tuple[ParameterReading, ...]:
        """Its trainable matrices."""
        return tuple(p for p in self.parameters if p.trainable and p.matrix)


class CutReading(msgspec.Struct, frozen=True, kw_only=True):
    """An operation at which the path to the loss ends, found by a second forward pass."""

    operation: str
    """``detach``, ``argmax``, ``no_grad`` …"""
    where: str
    """Path of the module that it runs in; empty for the model itself."""
    leaf: bool
    """That module does nothing else: it has no children and no parameters."""
    behind: tuple[str, ...]
    """Layers that lose their path here, nearest first."""


class LayerRehearsal(msgspec.Struct, frozen=True, kw_only=True):
    """What optimiser steps did to one layer's trainable parameters, all of them together."""

    name: str
    norms: tuple[float, ...]
    """‖W‖ before each step, and after the last: one more than there are steps."""
    updates: tuple[float, ...]
    """‖ΔW‖ of each step."""

    @property
    def moved(self) -> float:
        """Σ‖ΔW‖ / ‖W‖: how far the steps went, relative to where they began; 0.0 for weights that are zero."""
        return sum(self.updates) / self.norms[0] if self.norms[0] > 0.0 else 0.0


class Rehearsal(msgspec.Struct, frozen=True, kw_only=True):
    """A few optimiser steps in memory, and the same measurement again after them."""

    steps: int
    """Steps done: fewer than asked for where the loss became NaN or infinite, or a step failed."""
    optimizer: str
    lr: float
    """The rate that was used: the user's, or a gentle one."""
    losses: tuple[float, ...]
    """Loss of each step's batch before the step; the batches take turns."""
    batches: int
    """How many there are."""
    chance: float | None
    """Loss of the first batch before the first step, with the targets of other samples: what knowing nothing of them costs."""
    layers: tuple[LayerRehearsal, ...]
    """In forward order."""
    failed: str | None = None
    """Why it ended early, if the model's own code failed."""
    after: Readings | None = None
    """The readings after the last step; None where the model could not be measured any more."""


class Redraws(msgspec.Struct, frozen=True, kw_only=True):
    """Other initialisations of the same architecture, and how they were judged."""

    draws: int
    verdicts: dict[str, int]
    """Verdict → how many draws had it."""
    dead_least: float
    dead_most: float
    """The 95 % interval of the share that is born dead, 0 … 1."""
    layer: str | None
    """The first culprit of most of the dead ones."""

    @property
    def dead(self) -> int:
        """How many are born dead."""
        return self.verdicts.get("dead", 0)


class LayerAt(msgspec.Struct, frozen=True, kw_only=True):
    """One layer at one checkpoint of a run."""

    norm: float | None
    """‖W‖ of all its parameters; None where it has none."""
    change: float | None
    """‖W − W of the checkpoint before‖; None at the first."""
    transmission: float | None
    dead: float | None
    """Share of dead units, 0 … 1, of an activation that can have them."""
    gradient: float | None = None
    """‖∂L/∂W‖ of all its parameters, without a loss U; None where there is none."""
    spread: Spread | None = None
    """Magnitudes of the elements of the same gradient."""
    nonfinite: int
    """Elements of its parameters and outputs that are NaN or infinite."""


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One checkpoint of a run."""

    name: str
    """Of its file."""
    loss: float | None
    layers: dict[str, LayerAt]


class Readings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was measured of one model on one sample."""

    layers: tuple[LayerReading, ...]
    """In forward order; layers that never ran stand at their place of registration, at the end."""
    cuts: tuple[CutReading, ...] = ()
    gates: tuple[str, ...] = ()
    """Parameters that are zero or tiny, shut a path, and were opened for a second look."""
    first_nonfinite: tuple[str, str] | None = None
    """(call, layer) that first makes NaN or infinity out of finite values."""
    inputs_left: tuple[str, ...] = ()
    """Optional inputs of the model's forward that the sample does not give: they may reach what now seems unused."""
    unregistered: int = 0
    """Parameters that run but belong to no registered module: an optimiser never sees them."""
    output_connected: bool = True
    """The model's output depends on at least one trainable parameter."""
    output_rms: float | None = None
    output_nonfinite: int = 0
    parameters: int = 0
    """P, tied ones once."""
    samples: int = 0
    batches: int = 0
    mode: str = "train"
    dtype: str = "float32"
    precision: str | None = None
    """``fp16``, ``bf16`` or ``fp32`` where it was asked what that would lose."""
    loss_name: str = "none"
    loss: float | None = None
    """Mean over batches."""
    lr: float | None = None
    optimizer: str = "sgd"
    unfrozen: bool = False
    """All parameters came frozen and were measured as if they were not."""
    not_measured: tuple[tuple[str, str], ...] = ()
    """(what, why)."""
    checkpoints: tuple[Checkpoint, ...] = ()
    """Of one training run, the oldest first and the model itself last; empty where only one file was given."""
    redraws: Redraws | None = None
    """None where no other initialisations were drawn."""
    rehearsal: Rehearsal | None = None
    """None where none was asked for, or none was possible."""
