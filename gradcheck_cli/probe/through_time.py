"""Through time: ask a recurrent layer at its last step only, and listen at each earlier one.

With a cotangent on every output, each step hears the question directly and a decay over time stays hidden. So the last
operation that reads a recurrent weight gets the ±1 cotangent, and the gradient is read at every earlier operation that
reads the same weight: cells in a loop, CPU recurrent modules (which autograd sees step by step) and shared layers alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch.autograd.graph import GradientEdge

from gradcheck_cli.probe.cotangents import rademacher
from gradcheck_cli.probe.statistics import square_sum
from gradcheck_cli.probe.tape import SHAPES_A_WEIGHT, Tape, ancestors
from gradcheck_cli.probe.units import shape_of
from gradcheck_cli.readings import TimeReading

FUSED = frozenset({"MkldnnRnnLayer", "CudnnRnn", "MiopenRnn", "ThnnFusedLstmCell", "ThnnFusedGruCell"})
"""Recurrent kernels that hide their steps from the tape; they are run again without the fused kernel."""

MAKE_A_WEIGHT = frozenset({"Cat", "Stack", "Mul", "Div", "Add", "Sub", "WeightNormInterface"})
"""Operations by which a weight is made of parameters alone before the first step: reordered gates, a weight norm."""

LEAST_STEPS = 3
"""Fewer say nothing about a rate."""

REACH_FLOOR = 1e-3
"""A step is reached while the gradient there is above this share of what it was one step before the last."""


def is_fused(tape: Tape) -> bool:
    """True if the steps of a recurrent layer are hidden in one operation."""
    return any(operation.name in FUSED for operation in tape.operations)


def through_time(
    tape: Tape, parameters: Mapping[str, torch.Tensor], generator: np.random.Generator
) -> dict[str, TimeReading]:
    """Measure every recurrence on a tape whose graph is still there: name of the recurrent weight → reading."""
    readings: dict[str, TimeReading] = {}
    for name, steps in _recurrences(tape, parameters).items():
        norms = _gradient_per_step(tape, steps, parameters[name], generator)
        reading = summarise(norms)
        if reading is not None:
            readings[name] = reading
    return readings


def _recurrences(tape: Tape, parameters: Mapping[str, torch.Tensor]) -> dict[str, list[int]]:
    """Matrices read at several operations that lie on one path: name → the operations in the order in which they ran."""
    readers: dict[str, list[int]] = {}
    made = _made_of_parameters(tape)
    for index, operation in enumerate(tape.operations):
        if index not in made:
            behind = [name for source, _ in operation.inputs for name in made.get(source, ())]
            for name in dict.fromkeys([*operation.parameters, *behind]):
                if name in parameters and parameters[name].ndim >= 2:
                    readers.setdefault(name, []).append(index)
    chains = {}
    for name, steps in readers.items():
        if len(steps) >= LEAST_STEPS:
            before = ancestors(tape, steps[-1])
            chain = [index for index in steps if index in before]
            if len(chain) >= LEAST_STEPS and chain[0] in ancestors(tape, chain[1]):
                chains[name] = chain
    return chains


def _made_of_parameters(tape: Tape) -> dict[int, tuple[str, ...]]:
    """Operations that depend on parameters alone, each with those that it is made of."""
    made: dict[int, tuple[str, ...]] = {}
    for index, operation in enumerate(tape.operations):  # sources come first
        sources = [source for source, _ in operation.inputs]
        alone = all(function is not None for function, _ in operation.node.next_functions)
        shapes = operation.name in SHAPES_A_WEIGHT and len(sources) == 1
        if (shapes or (operation.name in MAKE_A_WEIGHT and alone)) and all(source in made for source in sources):
            names = [name for source in sources for name in made[source]]
            made[index] = tuple(dict.fromkeys([*operation.parameters, *names]))
    return {index: names for index, names in made.items() if names}


def _gradient_per_step(
    tape: Tape, steps: list[int], weight: torch.Tensor, generator: np.random.Generator
) -> list[float]:
    """‖gradient‖ at the output of each step's operation, first step first."""
    norms = [0.0] * len(steps)

    def reader(position: int) -> object:
        def read(outputs: tuple[torch.Tensor | None, ...]) -> None:
            norms[position] = math.sqrt(sum(square_sum(g) for g in outputs if g is not None))

        return read

    last = tape.operations[steps[-1]]
    question = torch.empty(shape_of(last), dtype=weight.dtype, device=weight.device)
    handles = [tape.operations[index].node.register_prehook(reader(position)) for position, index in enumerate(steps)]
    try:
        torch.autograd.grad(
            [GradientEdge(last.node, 0)],
            [weight],
            rademacher([question], generator),
            retain_graph=True,
            allow_unused=True,
        )
    finally:
        for handle in handles:
            handle.remove()
    return norms


def summarise(norms: list[float]) -> TimeReading | None:
    """Turn the norms per step (first step first; the last is the question itself) into rates; None for too few steps."""
    if len(norms) < LEAST_STEPS or not norms[-2] > 0.0:
        return None
    reference = norms[-2]
    shares = [norm / reference for norm in norms[:-1]]
    reach = shares[0]
    gain = reach ** (1 / (len(shares) - 1)) if reach > 0 and math.isfinite(reach) else reach
    heard = 0
    for share in reversed(shares):
        if not share >= REACH_FLOOR:
            break
        heard += 1
    return TimeReading(steps=len(norms), reach=reach, gain=gain, heard=heard, largest=max(shares), course=tuple(shares))
