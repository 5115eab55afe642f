"""Every threshold in one place, each with what it was set from. A changed threshold is a changelog entry: it changes users' CI."""

from __future__ import annotations

import msgspec


class Thresholds(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers that the rules decide by. No unit unless said."""

    dead_share: float = 0.5
    """A layer is dead when at least this share of its units is: the method's definition."""

    saturated_share: float = 0.5
    """The same share for saturated units."""

    evidence: int = 16
    """Samples × positions on which a unit must have been seen before its silence counts: the chance that it fires is then
    below 3/16 with 95 % confidence."""

    chance: float = 0.00135
    """Where units are always on beside the dead ones, the input hardly varies and each constant unit is off with
    probability ½ by no fault of its own; the dead must then outnumber chance at this level (three standard deviations),
    over all activations of the model together."""

    vanishing: float = 1e-5
    """Transmission on the trunk below which a layer vanishes. Labelled vanishing nets lay at or below 2e-7, healthy ones at
    or above 0.027 (43 cases of the method's page); the smallest trunk T of the project's zoo of 60 healthy architectures at
    initialisation is 3.5e-3."""

    branch: float = 1e-7
    """Transmission below which a layer vanishes even on a side branch beside a healthy trunk, unless a gate explains it."""

    deaf_weights: float = 1e-8
    """U·‖W‖, what a relative change of a layer's weights does to the output, below which the layer cannot learn although its
    output is heard. Attention's queries at initialisation reach down to 1e-6."""

    exploding: float = 1e3
    """Transmission, on layers whose values are not small, above which a layer explodes. Labelled exploding nets lay at or
    above 1e4, healthy ones at or below 7.1; 95 % of 300 published architectures lay below 66 (same page)."""

    bottleneck: float = 3e-3
    """Transmission on the trunk below which a layer vanishes where one single layer takes away a factor of 1/`abrupt`. The
    smallest heads in use, ±3e-3 for a critic and 0.01 for a policy, stay above it."""

    burst: float = 10.0
    """Its mirror image for exploding."""

    abrupt: float = 100.0
    """Change of the signal's norm at one layer, up or down, that no usual initialisation makes."""

    temperature: float = 250.0
    """A scale that ends the model is no fault up to this: CLIP clamps what it learns at 100, TIPSv2 begins at 1/0.005."""

    underflow: float = 1e-25
    """A gradient of exactly 0 in front of a layer with a transmission below this has underflowed, and is not cut."""

    outlier: float = 20.0
    """A layer that alone weakens, or amplifies, the signal by more than this factor is looked at as the culprit."""

    outlier_share: float = 0.5
    """… and is the culprit if layers like it make at least this share of the whole change, on a log scale."""

    time_reach: float = 1e-9
    """Recurrent layers: first step's gradient over the last's, below which the layer vanishes through time. The default
    initialisations of RNN, LSTM and GRU lose a factor of 0.56 to 0.61 a step and stay above it up to some 35 steps."""

    gated_time_gain: float = 0.45
    """LSTM and GRU vanish through time only below this gain a step: their default of about 0.6 is a half-open forget gate,
    which opens in training."""

    time_explosion: float = 1e4
    """Recurrent layers: largest gradient at any step over the last's, above which the layer explodes through time."""

    half_underflow: float = 6e-8
    """Root mean square of a gradient's elements below which float16 stores zeros: its smallest subnormal number."""

    lost_share: float = 0.5
    """Share of a gradient's elements that a precision stores as 0 from which the layer vanishes in it."""

    zero_weight: float = 1e-7
    """Root mean square of a matrix's elements below which its weights count as gone."""

    learning_rate: float = 0.01
    """The contract's default. Updates are shown for it, but judged only where the user gave a rate."""

    relative_update: float = 1.0
    """lr·‖∂L/∂W‖/‖W‖ above which one step replaces the weights: the method's definition."""

    converged: float = 1e-3
    """‖∂L/∂W‖/‖W‖ below which the loss asks for nothing any more, while the loss-free signal is healthy."""

    born_dead: float = 0.5
    """Share of an architecture's initialisations from which being born dead is its rule; the lower end of the interval counts."""

    divergence: float = 10.0
    """Loss after a rehearsal over the loss before it, from which training diverges."""

    jump: float = 1.5
    """A batch's loss over that of its last visit from which it jumps."""

    jump_share: float = 0.25
    """Share of such comparisons that jump from which the loss is restless …"""

    comparisons: int = 8
    """… if there are at least so many."""

    weight_growth: float = 10.0
    """‖W‖ after a rehearsal over ‖W‖ before it from which weights explode."""

    weight_shrinkage: float = 0.1
    """Its mirror image."""

    wrong: float = 1e-3
    """Loss above which the decisions of a saturated last activation count as wrong: its values are of size 1, so that squared
    errors below it are of less than 3 %."""

    still: float = 1e-6
    """Σ‖ΔW‖/‖W‖ of a rehearsal below which a layer stands still: some 20 times the rounding of float32 …"""

    still_ratio: float = 1e4
    """… while a layer behind it went so much further."""

    slow: float = 1e-5
    """Relative change of the loss, and of the layer that went furthest, below which a rehearsal at
    the user's rate leads nowhere."""

    still_growing: float = 1.2
    """‖W‖ at the last checkpoint over that before it from which weights are growing still; `weight_growth` is for the run."""

    still_shrinking: float = 0.95
    """Its mirror image; `weight_shrinkage` is for the run."""

    run_still: float = 1e-5
    """Path of a layer over a run, relative to its weights, below which it hardly moved …"""

    run_moved: float = 1e-2
    """… while another went at least so far."""
