"""The rulebook: every rule there is, by code. Imports no torch, so that `gradcheck explain` answers at once."""

from __future__ import annotations

from gradcheck_cli.rules.dead.born_dead import BornDead
from gradcheck_cli.rules.dead.cut_path import CutPath
from gradcheck_cli.rules.dead.dying_units import DyingUnits
from gradcheck_cli.rules.dead.silent_units import SilentUnits
from gradcheck_cli.rules.dead.units_died import UnitsDied
from gradcheck_cli.rules.dead.unused import Unused
from gradcheck_cli.rules.dead.zero_gradient import ZeroGradient
from gradcheck_cli.rules.exploding.burst import Burst
from gradcheck_cli.rules.exploding.depth_growth import DepthGrowth
from gradcheck_cli.rules.exploding.diverges import Diverges
from gradcheck_cli.rules.exploding.first_nonfinite import FirstNonfinite
from gradcheck_cli.rules.exploding.long_step import LongStep
from gradcheck_cli.rules.exploding.loss_jumps import LossJumps
from gradcheck_cli.rules.exploding.nonfinite_gradients import NonfiniteGradients
from gradcheck_cli.rules.exploding.nonfinite_loss import NonfiniteLoss
from gradcheck_cli.rules.exploding.nonfinite_values import NonfiniteValues
from gradcheck_cli.rules.exploding.nonfinite_weights import NonfiniteWeights
from gradcheck_cli.rules.exploding.overflow import Overflow
from gradcheck_cli.rules.exploding.run_growth import RunGrowth
from gradcheck_cli.rules.exploding.time_growth import TimeGrowth
from gradcheck_cli.rules.exploding.weights_grow import WeightsGrow
from gradcheck_cli.rules.interface import Rule
from gradcheck_cli.rules.notes.behind_dead import BehindDead
from gradcheck_cli.rules.notes.converged import Converged
from gradcheck_cli.rules.notes.few_samples import FewSamples
from gradcheck_cli.rules.notes.frozen import Frozen
from gradcheck_cli.rules.notes.gated import Gated
from gradcheck_cli.rules.notes.initialisation_risk import InitialisationRisk
from gradcheck_cli.rules.notes.never_moved import NeverMoved
from gradcheck_cli.rules.notes.not_reached import NotReached
from gradcheck_cli.rules.notes.partly_dead import PartlyDead
from gradcheck_cli.rules.notes.partly_saturated import PartlySaturated
from gradcheck_cli.rules.notes.short_memory import ShortMemory
from gradcheck_cli.rules.notes.tied import Tied
from gradcheck_cli.rules.notes.transient import Transient
from gradcheck_cli.rules.notes.undone_scale import UndoneScale
from gradcheck_cli.rules.notes.zero_bias import ZeroBias
from gradcheck_cli.rules.vanishing.bottleneck import Bottleneck
from gradcheck_cli.rules.vanishing.deaf_weights import DeafWeights
from gradcheck_cli.rules.vanishing.depth_decay import DepthDecay
from gradcheck_cli.rules.vanishing.run_shrinkage import RunShrinkage
from gradcheck_cli.rules.vanishing.run_standstill import RunStandstill
from gradcheck_cli.rules.vanishing.saturated import SaturatedUnits
from gradcheck_cli.rules.vanishing.slow_learning import SlowLearning
from gradcheck_cli.rules.vanishing.stands_still import StandsStill
from gradcheck_cli.rules.vanishing.time_decay import TimeDecay
from gradcheck_cli.rules.vanishing.underflow import Underflow
from gradcheck_cli.rules.vanishing.weights_gone import WeightsGone
from gradcheck_cli.rules.vanishing.weights_shrink import WeightsShrink

RULES: tuple[Rule, ...] = (
    DepthDecay(),
    Bottleneck(),
    SaturatedUnits(),
    TimeDecay(),
    Underflow(),
    WeightsGone(),
    DeafWeights(),
    StandsStill(),
    SlowLearning(),
    WeightsShrink(),
    RunShrinkage(),
    RunStandstill(),
    DepthGrowth(),
    Burst(),
    TimeGrowth(),
    NonfiniteWeights(),
    NonfiniteValues(),
    NonfiniteGradients(),
    NonfiniteLoss(),
    LongStep(),
    Diverges(),
    LossJumps(),
    WeightsGrow(),
    Overflow(),
    RunGrowth(),
    FirstNonfinite(),
    SilentUnits(),
    CutPath(),
    Unused(),
    ZeroGradient(),
    DyingUnits(),
    BornDead(),
    UnitsDied(),
    Frozen(),
    Gated(),
    Converged(),
    Tied(),
    ZeroBias(),
    PartlyDead(),
    FewSamples(),
    NotReached(),
    BehindDead(),
    PartlySaturated(),
    UndoneScale(),
    Transient(),
    InitialisationRisk(),
    NeverMoved(),
    ShortMemory(),
)
"""In the order of their codes; the judge runs all of them."""
