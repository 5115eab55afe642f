"""The frozen records that cross from one stage to the next. Imports nothing of ours, and torch only for the type checker.

Shape letters used in the whole project: ``B`` samples in a batch, ``C`` units (channels) of a layer, ``S`` positions
(pixels, time steps, tokens), ``P`` parameters, ``L`` layers. Norms are L2 unless said otherwise.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import msgspec

if TYPE_CHECKING:
    import torch

Evidence = dict[str, float | int | str | Sequence[float | int | str]]
"""Numbers and names that a finding rests on."""


class Verdict(str, enum.Enum):
    """What a layer, or the model, is. The order of severity is in `SEVERITY`."""

    DEAD = "dead"
    EXPLODING = "exploding"
    VANISHING = "vanishing"
    HEALTHY = "healthy"
    NOT_MEASURED = "not-measured"

    @property
    def meaning(self) -> str:
        """One sentence for a person."""
        return _MEANINGS[self]


_MEANINGS = {
    Verdict.DEAD: "gets no learning signal and none will come by itself",
    Verdict.EXPLODING: "gets, or makes, values that grow out of range",
    Verdict.VANISHING: "still has a path, but what arrives is too small to learn from",
    Verdict.HEALTHY: "gets a signal that it can learn from",
    Verdict.NOT_MEASURED: "could not be measured; this is not a clean bill of health",
}

SEVERITY: tuple[Verdict, ...] = (
    Verdict.DEAD,
    Verdict.EXPLODING,
    Verdict.VANISHING,
    Verdict.HEALTHY,
    Verdict.NOT_MEASURED,
)
"""Worst first; the model's verdict is the first of these that any of its layers has."""


# ------------------------------------------------------------------------------------------- what the user asks for


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement as the user asked for it: crosses from the command line to the worker process."""

    model: str
    """A path, or a Python entry point ``package.module:attribute``."""
    earlier: tuple[str, ...] = ()
    """Checkpoints of the same training run before `model`, the oldest first."""
    data: str | None = None
    target: str | None = None
    """A key of the data file, or a file of its own."""
    input_shape: tuple[str, ...] = ()
    """Shapes of made-up inputs, each ``[NAME=]3,32,32[:DTYPE]``."""
    loss: str | None = None
    """``cross-entropy``, ``bce``, ``mse``, ``l1``, ``nll``, ``none`` or ``module:callable``; None: found from the target."""
    arch: str | None = None
    trust: bool = False
    parity: bool = True
    """Compare an ONNX model's forward pass with ONNX Runtime's first."""
    batch_size: int = 32
    batches: int = 4
    mode: Literal["train", "eval"] = "train"
    optimizer: Literal["sgd", "momentum", "adam", "adamw"] = "sgd"
    rehearse: int = 20
    """Optimiser steps on a copy in memory; 0: none."""
    lr: float | None = None
    """Learning rate; None: not given, so that readings that need one are not judged by it."""
    dtype: str | None = None
    device: str | None = None
    reinit: int = 0
    """How many other initialisations of the architecture are drawn and judged."""
    precision: Literal["fp16", "bf16", "fp32"] | None = None
    """What would that precision lose; None: not asked."""
    seed: int = 0
    select: tuple[str, ...] = ()
    """Rule codes, optionally ``CODE:layer-pattern``; empty: all."""
    ignore: tuple[str, ...] = ()


# ------------------------------------------------------------------------------------------------ load and sample


@dataclass(frozen=True)
class InputSpec:
    """What a file says of one input of its model."""

    name: str
    """The parameter of forward that it is."""
    dtype: str
    """Name of torch's dtype."""
    shape: tuple[int | str, ...] | None
    """A free dimension is a symbol; None where nothing is said."""
    below: int = 0
    """Integers are below it, because they choose rows of a table; 0 where nothing is known."""


@dataclass(frozen=True)
class Subject:
    """A loaded model. What a loader gives; nothing after it knows the format."""

    path: str
    """As the user wrote it."""
    format: str
    """Stable slug: ``torch-module``, ``exported-program``, ``entry-point``, ``in-memory``."""
    module: torch.nn.Module
    """Differentiable, with named parameters; a `torch.fx.GraphModule` for exported programs."""
    sha256: str | None = None
    """Of the file's bytes; None where there is no file."""
    example_inputs: Batch | None = None
    """Inputs that the file itself carries, where the format has them."""
    inputs: tuple[InputSpec, ...] = ()
    """What the file says that its inputs are, where the format tells."""
    parity: Callable[[Batch], tuple[str, ...]] | None = None
    """Compares a run on a batch with another implementation, where there is one: remarks, or a `ModelError`."""
    mode_fixed: bool = False
    """True where train or eval is baked into the file (`.pt2`, ONNX)."""
    remarks: tuple[str, ...] = ()
    """What the format lost or fixed, each one short sentence for the report."""


@dataclass(frozen=True)
class Batch:
    """One call of the model: ``module(*args, **kwargs)``."""

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    target: Any = None
    size: int = 1
    """Samples in it (B)."""


@dataclass(frozen=True)
class Sample:
    """The data that the model is measured on, already cut into batches."""

    batches: tuple[Batch, ...]
    source: str
    """The file's path, or ``synthetic``."""
    loss_name: str
    """As in the contract; ``model`` where the model returns its own, ``none`` without one."""
    loss: Callable[[Any, Any], torch.Tensor] | None
    """``loss(output, target)`` → scalar; None where there is none."""
    remarks: tuple[str, ...] = ()

    @property
    def samples(self) -> int:
        """How many samples in all batches together."""
        return sum(batch.size for batch in self.batches)


# ---------------------------------------------------------------------------------------------- the report, version 1


class ModelFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Which model was measured."""

    path: str
    format: str
    sha256: str | None
    parameters: int
    """P, tied parameters counted once."""
    remarks: tuple[str, ...] = ()


class SampleFacts(msgspec.Struct, frozen=True, kw_only=True):
    """On what it was measured."""

    source: str
    samples: int
    loss: str
    loss_value: float | None = None
    """Mean over the batches; None without a loss."""
    mode: str = "train"
    remarks: tuple[str, ...] = ()


class LayerReadings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The numbers of one layer in the report; a field is absent where it does not apply or was not measured."""

    transmission: float | None = None
    """T = ‖∂(v·out)/∂y‖ / ‖v‖ at the layer's output y, v of ±1; no unit, loss-free."""
    gain: float | None = None
    """‖gradient at the input‖ / ‖gradient at the output‖ of the layer."""
    dead_units: float | None = None
    """Share of units, 0 … 1, that sit on the flat side of a one-sided activation on all samples and positions."""
    saturated: float | None = None
    """Share of units, 0 … 1, whose slope is below 1 % of its maximum on nearly all samples and positions."""
    units: int | None = None
    """C: how many units the two shares are of."""
    seen: int | None = None
    """Samples times positions on which each unit was seen."""
    learning_signal: float | None = None
    """U = ‖∂(v·out)/∂W‖ / ‖v‖, all parameters of the layer together."""
    relative_signal: float | None = None
    """U / ‖W‖."""
    loss_gradient: float | None = None
    """‖∂L/∂W‖, all parameters of the layer together, root mean square over batches."""
    relative_update: float | None = None
    """lr · ‖∂L/∂W‖ / ‖W‖, for the learning rate given, else for 0.01."""
    weight_norm: float | None = None
    """‖W‖, all parameters of the layer together."""
    output_rms: float | None = None
    """Root mean square of the layer's output values."""
    time_gain: float | None = None
    """Recurrent layers: geometric mean of the gain of the hidden state's gradient per time step."""
    time_steps: int | None = None
    """Recurrent layers: steps seen."""
    time_reach: float | None = None
    """Recurrent layers: ‖gradient at the first step‖ / ‖gradient at the last step‖, asked at the last step."""
    moved: float | None = None
    """Rehearsal: Σ‖ΔW‖ / ‖W‖, how far its steps took the layer's weights."""


class LayerReport(msgspec.Struct, frozen=True, kw_only=True):
    """One layer in the report, in forward order."""

    name: str
    kind: str
    """The module's class name, or the operation's name."""
    parameters: tuple[str, ...]
    verdict: Verdict
    notes: tuple[str, ...] = ()
    """Slugs: ``frozen``, ``gated``, ``converged``, ``tied``, ``sparse``, ``zero-bias``, ``partly-dead``, ``few-samples``, …"""
    findings: tuple[str, ...] = ()
    """Codes of the findings on it."""
    culprit: bool = False
    readings: LayerReadings = LayerReadings()


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """A histogram of the magnitudes of a gradient's elements, in bins of a factor of two."""

    lowest: int
    """e of the first bin, which holds 2^(e-1) ≤ |g| < 2^e; each next bin is twice as far out."""
    counts: tuple[int, ...]
    """Elements in each bin, all batches together; of a large tensor estimated from a sample of its elements."""
    zeros: int
    """Elements that are exactly 0."""


class GradientFacts(msgspec.Struct, frozen=True, kw_only=True):
    """How large the elements of the gradients of each layer's parameters are."""

    of: Literal["loss", "outputs"]
    """``loss``: ∂L/∂W; ``outputs``, where there is no loss: ∂(v·out)/∂W, v of ±1."""
    layers: dict[str, Spread]
    """Layer → all its parameters together, in forward order; a layer without a gradient is absent."""


class Ignored(msgspec.Struct, frozen=True, kw_only=True):
    """A finding that the user has asked not to be told: it counts for no verdict."""

    code: str
    layer: str
    verdict: Verdict
    """What the layer would be by it; `Verdict.HEALTHY` for notes."""
    culprit: bool
    message: str
    reason: str
    """Why it is ignored, in the user's words; empty where none was given."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One rule's word on one layer."""

    code: str
    layer: str
    verdict: Verdict
    """`Verdict.HEALTHY` for notes."""
    confidence: float
    """0 … 1."""
    culprit: bool
    """True where the signal is lost or blown up; False for a victim."""
    message: str
    """One sentence with the numbers in it."""
    evidence: Evidence = {}
    remedies: tuple[str, ...] = ()
    """Ids of remedies that answer it, best first."""
    because_of: tuple[str, ...] = ()
    """For a victim: the culprits' names."""


class Remedy(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to do, for the layers it answers."""

    id: str
    title: str
    layers: tuple[str, ...]
    why: str
    how: str
    """Code with the user's own layer names."""
    source: str = ""
    tried: None = None
    """Before and after on a copy, once remedies are tried; always None today."""


class LayerCourse(msgspec.Struct, frozen=True, kw_only=True):
    """How the weights of one layer went in a rehearsal."""

    norms: tuple[float, ...]
    """‖W‖ before each step, and after the last."""
    updates: tuple[float, ...]
    """‖ΔW‖ of each step."""


class RehearsalFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A few optimiser steps in memory: how they went. The saved model is not changed."""

    steps: int
    optimizer: str
    lr: float
    lr_given: bool
    """False: nobody gave a rate, and this one is gentle."""
    losses: tuple[float, ...]
    """Of each step's batch, before the step; the batches take turns."""
    loss_after: float | None
    """Mean over the batches after the last step; None where it could not be measured any more."""
    layers: dict[str, LayerCourse] = {}
    """Layer → its course."""


class LayerTrace(msgspec.Struct, frozen=True, kw_only=True):
    """One layer over the checkpoints of a run; each list has an entry a checkpoint."""

    norms: tuple[float | None, ...]
    """‖W‖ of all its parameters."""
    changes: tuple[float | None, ...]
    """‖W − W of the checkpoint before‖; None at the first."""
    transmissions: tuple[float | None, ...]
    dead: tuple[float | None, ...]
    """Share of dead units, 0 … 1."""
    gradients: tuple[float | None, ...] = ()
    """‖∂L/∂W‖ of all its parameters, or U where there is no loss; empty in a report of an older version."""
    spreads: tuple[Spread | None, ...] = ()
    """Magnitudes of the same gradients."""


class TimeCourse(msgspec.Struct, frozen=True, kw_only=True):
    """What a recurrent layer hears at each time step of a question that is put to its last one."""

    back: tuple[int, ...]
    """Steps back from the last, the nearest first; of a long sequence, evenly spaced ones."""
    shares: tuple[float, ...]
    """‖gradient‖ there, over that one step before the last."""


class SeriesFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The checkpoints of one training run, the oldest first; the report is about the last."""

    checkpoints: tuple[str, ...]
    losses: tuple[float | None, ...]
    layers: dict[str, LayerTrace]


class InitialisationFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Other initialisations of the same architecture, and how they were judged on the same sample."""

    draws: int
    verdicts: dict[str, int]
    """Verdict → how many draws had it."""
    born_dead: tuple[float, float]
    """The 95 % interval of the share that is born dead, 0 … 1."""


class UnitFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Which units of a layer do not respond; indices as ranges with both ends, ``0-3,7``, empty for none."""

    units: int
    """C."""
    dead: str
    """Units flat on everything seen."""
    saturated: str
    """Units with a slope below 1 % of the maximum on nearly everything seen."""


class NotMeasured(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was not measured, and why; never reads as healthy."""

    what: str
    why: str


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """The whole result: the JSON report of the contract, field by field."""

    schema_version: int = 1
    gradcheck_version: str
    model: ModelFacts
    sample: SampleFacts
    verdict: Verdict
    summary: str
    """The verdict and the culprit in one sentence for a person."""
    culprits: tuple[str, ...]
    layers: tuple[LayerReport, ...]
    findings: tuple[Finding, ...]
    remedies: tuple[Remedy, ...]
    not_measured: tuple[NotMeasured, ...]
    series: SeriesFacts | None = None
    """None where only one model was given."""
    initialisation: InitialisationFacts | None = None
    """None where no other initialisations were asked for."""
    rehearsal: RehearsalFacts | None = None
    """None where none was asked for, or none was possible: then `not_measured` says why."""
    ignored: tuple[Ignored, ...] = ()
    """Findings left out because the user asked for it."""
    gradients: GradientFacts | None = None
    """None where no parameter has a gradient, or in a report of an older version."""
    through_time: dict[str, TimeCourse] = {}
    """Recurrent layer → its course; empty where there is none, or in a report of an older version."""
    units: dict[str, UnitFacts] = {}
    """Layer that has, or is, an activation with a dead or saturated unit → which; empty in a report of an older version."""

    def to_json(self) -> str:
        """The JSON report, version 1, as text with a final newline (see `gradcheck_cli.render.json_v1`)."""
        from gradcheck_cli.render import json_v1

        return json_v1.render(self)
