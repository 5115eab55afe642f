"""Steps of optimisers (``ai.onnx.preview.training``): inputs and outputs hold all tensors, then all their gradients, …"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from gradcheck_cli.onnx_ops.registry import operator

TRAINING = "ai.onnx.preview.training"


def _each(step: Callable[..., tuple[Tensor, ...]], tensors: tuple[Tensor, ...], kinds: int) -> tuple[Tensor, ...]:
    """Apply `step` to one tensor after the other, with what belongs to it: of each of the `kinds` one."""
    count = len(tensors) // kinds
    if not count or count * kinds != len(tensors):
        raise ValueError(f"{len(tensors)} tensors, where each needs {kinds} with its own")
    results = [step(*tensors[number::count]) for number in range(count)]
    return tuple(result for kind in zip(*results, strict=True) for result in kind)


@operator("Adagrad", domain=TRAINING)
def adagrad(
    rate: Tensor,
    update: Tensor,
    *tensors: Tensor,
    decay_factor: float = 0.0,
    epsilon: float = 1e-6,
    norm_coefficient: float = 0.0,
) -> tuple[Tensor, ...]:
    """h ← h + g², x ← x − r·g / (√h + epsilon), r = rate / (1 + update·decay_factor), g with the norm's gradient."""
    r = rate / (1 + update * decay_factor)

    def step(x: Tensor, g: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        g = norm_coefficient * x + g
        h = h + g * g
        return x - r * g / (torch.sqrt(h) + epsilon), h

    return _each(step, tensors, 3)


@operator("Adam", domain=TRAINING)
def adam(
    rate: Tensor,
    update: Tensor,
    *tensors: Tensor,
    alpha: float = 0.9,
    beta: float = 0.999,
    epsilon: float = 1e-6,
    norm_coefficient: float = 0.0,
    norm_coefficient_post: float = 0.0,
) -> tuple[Tensor, ...]:
    """v and h follow g and g² with rates alpha and beta; x ← x − r·v / (√h + epsilon), r without the two's late start."""
    count = int(update.item())
    r = rate * (math.sqrt(1 - beta**count) / (1 - alpha**count)) if count > 0 else rate

    def step(x: Tensor, g: Tensor, v: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        g = norm_coefficient * x + g
        v = alpha * v + (1 - alpha) * g
        h = beta * h + (1 - beta) * g * g
        return (1 - norm_coefficient_post) * (x - r * v / (torch.sqrt(h) + epsilon)), v, h

    return _each(step, tensors, 4)


@operator("Momentum", domain=TRAINING)
def momentum(
    rate: Tensor, update: Tensor, *tensors: Tensor, alpha: float, beta: float, mode: str, norm_coefficient: float
) -> tuple[Tensor, ...]:
    """v ← alpha·v + beta·g (beta is 1 in the first update), x ← x − rate·v, or −rate·(g + alpha·v) if `mode` is nesterov."""
    if mode not in ("standard", "nesterov"):
        raise ValueError(f"the mode of Momentum is {mode!r}, not standard or nesterov")
    scale = beta if int(update.item()) > 0 else 1.0

    def step(x: Tensor, g: Tensor, v: Tensor) -> tuple[Tensor, ...]:
        g = norm_coefficient * x + g
        v = alpha * v + scale * g
        return x - rate * (g + alpha * v if mode == "nesterov" else v), v

    return _each(step, tensors, 3)
