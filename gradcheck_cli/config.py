"""Every threshold in one place, each with what it was set from. A changed threshold is a changelog entry: it changes users' CI."""

from __future__ import annotations

import msgspec


class Thresholds(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers that the rules decide by. No unit unless said.

    *Measured* is how far each could move, alone, before the first case of the calibration half of the labelled set would be
    told otherwise, with the factor from here to there: `python benchmarks/thresholds.py --write`.
    """

    dead_share: float = 0.5
    """A layer is dead when at least this share of its units is: the method's definition. Measured: of 348 healthy cases the
    first is hit at 0.4 (÷1.3, lookalikes/partly-dead0.4); of 34 ill ones the first is lost at 0.58 (×1.2,
    trained/relu3-digits-spike)."""

    saturated_share: float = 0.5
    """The same share for saturated units. Measured: of 348 healthy cases the first is hit at 0.3 (÷1.7,
    units/tanh-partly-saturated); of 11 ill ones the first is lost at 0.99 (×2, injected/sigmoid-mlp-linear1-times1000)."""

    evidence: int = 16
    """Samples × positions on which a unit must have been seen before its silence counts: the chance that it fires is then
    below 3/16 with 95 % confidence. Measured: of 348 healthy cases the first is hit at 8 (÷2,
    injected/squeeze-gate-cautious); of 43 ill ones the first is lost at 44 (×2.8, injected/gpt-logits-times1e4)."""

    chance: float = 0.00135
    """Where units are always on beside the dead ones, the input hardly varies and each constant unit is off with
    probability ½ by no fault of its own; the dead must then outnumber chance at this level (three standard deviations),
    over all activations of the model together. Measured: of 348 healthy cases the first is hit at 0.065 (×48,
    lookalikes/he-relu-depth50-width64-seed0); of 32 ill ones the first is lost at 2.6e-4 (÷5.2,
    trained/relu3-digits-spike)."""

    vanishing: float = 1e-5
    """Transmission on the trunk below which a layer vanishes. Labelled vanishing nets lay at or below 2e-7, healthy ones at
    or above 0.027 (43 cases of the method's page). Measured: of 348 healthy cases the first is hit at 2.1e-5 (×2.1,
    architectures/transformers-swin); of 34 ill ones the first is lost at 1.3e-7 (÷80,
    trained/sigmoid8-circles-did-not-learn)."""

    branch: float = 1e-7
    """Transmission below which a layer vanishes even on a side branch beside a healthy trunk, unless a gate explains it.
    Measured: of 348 healthy cases none is hit at any value; of 34 ill ones the first is lost at 2.3e-9 (÷43,
    injected/resnet-layer2.1.bn2-times1e-8-inside)."""

    deaf_weights: float = 1e-8
    """U·‖W‖, what a relative change of a layer's weights does to the output, below which the layer cannot learn although
    its output is heard. Measured: of 348 healthy cases the first is hit at 1.0e-6 (×104,
    injected/llama-layers.1.q_proj-times1e-6); the only ill one is lost at no value."""

    exploding: float = 1e3
    """Transmission, on layers whose values are not small, above which a layer explodes. Labelled exploding nets lay at or
    above 1e4, healthy ones at or below 7.1; 95 % of 300 published architectures lay below 66 (same page). Measured: of 348
    healthy cases the first is hit at 8.3 (÷121, theory/silu-depth12-width64-w2.60-b0.0); of 15 ill ones the first is lost
    at 1.5e+6 (×1.5e+3, theory/elu-depth24-width64-w6.00-b0.0)."""

    bottleneck: float = 3e-3
    """Transmission on the trunk below which a layer vanishes where one single layer takes away a factor of 1/`abrupt`. The
    smallest heads in use, ±3e-3 for a critic and 0.01 for a policy, stay above it. Measured: of 348 healthy cases the first
    is hit at 0.019 (×6.3, architectures/transformers-bart); of 34 ill ones the first is lost at 7.9e-5 (÷38,
    injected/tanh-mlp-linear2-times0.0001)."""

    burst: float = 10.0
    """Its mirror image for exploding. Measured: of 348 healthy cases the first is hit at 2.9 (÷3.4,
    idioms/bn-mlp-linear2-times0.0001); of 15 ill ones the first is lost at 8.7e+3 (×866, injected/gpt-ln_f-times100000)."""

    abrupt: float = 100.0
    """Change of the signal's norm at one layer, up or down, that no usual initialisation makes. Measured: of 348 healthy
    cases none is hit at any value; of 49 ill ones the first is lost at 1.0e+4 (×104,
    injected/tanh-mlp-linear2-times0.0001)."""

    temperature: float = 250.0
    """A scale that ends the model is no fault up to this: CLIP clamps what it learns at 100, TIPSv2 begins at 1/0.005.
    Measured: of 348 healthy cases the first is hit at 2.1 (÷120, idioms/clip-scale-100); of 15 ill ones none is lost at any
    value."""

    underflow: float = 1e-25
    """A gradient of exactly 0 in front of a layer with a transmission below this has underflowed, and is not cut. Measured:
    of 34 cases that GC101 or GC102 explain none is hit at any value; of 24 ill ones none is lost at any value."""

    outlier: float = 20.0
    """A layer that alone weakens, or amplifies, the signal by more than this factor is looked at as the culprit. Measured:
    of 25 cases that GC101 or GC201 explain the first is hit at 2.1 (÷9.4, theory/batch-norm-depth80); of 24 ill ones the
    first is lost at 1.0e+4 (×519, injected/tanh-mlp-linear2-times0.0001)."""

    outlier_share: float = 0.5
    """… and is the culprit if layers like it make at least this share of the whole change, on a log scale. Measured: of 25
    cases that GC101 or GC201 explain none is hit at any value; of 24 ill ones the first is lost at 0.71 (×1.4,
    injected/autoencoder-1.0-times0.0001)."""

    time_reach: float = 1e-9
    """Recurrent layers: first step's gradient over the last's, below which the layer vanishes through time. The default
    initialisations of RNN, LSTM and GRU lose a factor of 0.56 to 0.61 a step and stay above it up to some 35 steps.
    Measured: of 348 healthy cases the first is hit at 2.5e-5 (×2.5e+4, recurrent/rnn-default-S20); of 7 ill ones the first
    is lost at 1.1e-12 (÷874, recurrent/rnn-norm0.4-S30)."""

    gated_time_gain: float = 0.45
    """LSTM and GRU vanish through time only below this gain a step: their default of about 0.6 is a half-open forget gate,
    which opens in training. Measured: of 348 healthy cases none is hit at any value; of 7 ill ones the first is lost at
    0.14 (÷3.2, recurrent/lstm-shut-S40)."""

    time_explosion: float = 1e4
    """Recurrent layers: largest gradient at any step over the last's, above which the layer explodes through time.
    Measured: of 348 healthy cases the first is hit at 1.8 (÷5.6e+3, recurrent/lstm-forget5-S100); of 3 ill ones the first
    is lost at 2.2e+6 (×221, recurrent/relu-norm3-S20)."""

    half_underflow: float = 6e-8
    """Root mean square of a gradient's elements below which float16 stores zeros. Definition: its smallest subnormal number,
    2⁻²⁴."""

    lost_share: float = 0.5
    """Share of a gradient's elements that a precision stores as 0 from which the layer vanishes in it. Definition: a half, as
    of dead units."""

    zero_weight: float = 1e-7
    """Root mean square of a matrix's elements below which its weights count as gone. Measured: of 348 healthy cases the
    first is hit at 1.0e-3 (×1.0e+4, lookalikes/embedding-std0.001); of 5 ill ones the first is lost at 7.2e-8 (÷1.4,
    injected/ln-mlp-linear3-times1e-06), where another rule tells it."""

    learning_rate: float = 0.01
    """Updates are shown for it, but judged only where the user gave a rate. Definition: the contract's default."""

    relative_update: float = 1.0
    """lr·‖∂L/∂W‖/‖W‖ above which one step replaces the weights: the method's definition. Measured: of 348 healthy cases
    none is hit at any value; of 8 ill ones the first is lost at 2.7 (×2.7, course/leaky-momentum-diverges), where another
    rule tells it."""

    converged: float = 1e-3
    """‖∂L/∂W‖/‖W‖ below which the loss asks for nothing any more, while the loss-free signal is healthy. Measured: of 348
    healthy cases none is hit at any value; of 16 ill ones the first is lost at 0.044 (×44, course/tanh3-digits-jumps-2)."""

    born_dead: float = 0.5
    """Share of an architecture's initialisations from which being born dead is its rule; the lower end of the interval counts.
    Definition: more often than not."""

    divergence: float = 10.0
    """Loss after a rehearsal over the loss before it, from which training diverges. Measured: of 348 healthy cases none is
    hit at any value; of 10 ill ones the first is lost at 16 (×1.6, course/tanh3-cancer-jumps-16), where another rule tells
    it."""

    jump: float = 1.5
    """A batch's loss over that of its last visit from which it jumps. Measured: of 348 healthy cases the first is hit at 1
    (÷1.5, course/cnn-digits-adam-converged); the only ill one is lost at 2.4 (×1.6, course/tanh3-digits-jumps-2)."""

    jump_share: float = 0.25
    """Share of such comparisons that jump from which the loss is restless … Measured: of 348 healthy cases none is hit at
    any value; the only ill one is lost at 0.5 (×2, course/tanh3-digits-jumps-2)."""

    comparisons: int = 8
    """… if there are at least so many. Measured: of 348 healthy cases none is hit at any value; the only ill one is lost at
    16 (×2, course/tanh3-digits-jumps-2)."""

    weight_growth: float = 10.0
    """‖W‖ after a rehearsal over ‖W‖ before it from which weights explode. Measured: of 348 healthy cases the first is hit
    at 1.6 (÷6.3, course/cnn-bn-digits-momentum-learns); of 11 ill ones the first is lost at 132 (×13,
    course/tanh3-digits-jumps-8), where another rule tells it."""

    weight_shrinkage: float = 0.1
    """Its mirror image. Measured: of 348 healthy cases the first is hit at 0.82 (×8.2, course/decay-0.01); no ill one rests
    on it."""

    wrong: float = 1e-3
    """Loss above which the decisions of a saturated last activation count as wrong: its values are of size 1, so that
    squared errors below it are of less than 3 %. Measured: of 348 healthy cases none is hit at any value; of 11 ill ones
    none is lost at any value."""

    still: float = 1e-6
    """Σ‖ΔW‖/‖W‖ of a rehearsal below which a layer stands still: some 20 times the rounding of float32 … Measured: of 348
    healthy cases none is hit at any value; no ill one rests on it."""

    still_ratio: float = 1e4
    """… while a layer behind it went so much further. Measured: of 348 healthy cases none is hit at any value; no ill one
    rests on it."""

    slow: float = 1e-5
    """Relative change of the loss, and of the layer that went furthest, below which a rehearsal at the user's rate leads
    nowhere. Measured: of 348 healthy cases the first is hit at 0.029 (×2.9e+3, course/relu2-digits-momentum-converged); of
    13 ill ones the first is lost at 1.5e-8 (÷649, course/relu2-digits-sgd-slow)."""

    still_growing: float = 1.2
    """‖W‖ at the last checkpoint over that before it from which weights are growing still; `weight_growth` is for the run.
    Measured: of the runs of 17 healthy cases none is hit at any value; of 2 ill ones the first is lost at 1.3 (×1.1,
    course/prelu-adam-diverges), where another rule tells it."""

    still_shrinking: float = 0.95
    """Its mirror image; `weight_shrinkage` is for the run. Measured: of the runs of 17 healthy cases none is hit at any
    value; no ill one rests on it."""

    run_still: float = 1e-5
    """Path of a layer over a run, relative to its weights, below which it hardly moved … Measured: of the runs of 17
    healthy cases the first is hit at 0.074 (×7.4e+3, course/relu6-bn-cancer-momentum-learns); no ill one rests on it."""

    run_moved: float = 1e-2
    """… while another went at least so far. Measured: of the runs of 17 healthy cases none is hit at any value; no ill one
    rests on it."""
