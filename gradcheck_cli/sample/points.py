"""Makes a picture larger where strides leave a single position of it, over which nothing can vary."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from gradcheck_cli.sample.noise import Noise, Recipe
from gradcheck_cli.sample.searching import Trials

_STRIDED = (nn.modules.conv._ConvNd, nn.modules.pooling._MaxPoolNd, nn.modules.pooling._AvgPoolNd)


_DOUBLINGS = 3


def large_enough(recipe: Recipe, trials: Trials) -> Recipe:
    """Return the recipe, just tried, with its pictures and signals twice as large, up to three times, where they shrink.

    As it came where the model takes no larger ones, or shrinks them, too.
    """
    larger = recipe
    for _ in range(_DOUBLINGS):
        if not trials.shrank:
            break
        larger = Recipe(tuple(map(_doubled, larger.args)), {k: _doubled(noise) for k, noise in larger.kwargs.items()})
        if trials.run(larger)[1] is not None:
            return recipe
    return recipe if trials.shrank else larger


def _doubled(noise: Noise) -> Noise:
    if type(noise) is not Noise or len(noise.shape) < 2 or noise.high or noise.fill is not None:
        return noise
    first = max(1, len(noise.shape) - 2)
    return replace(noise, shape=(*noise.shape[:first], *(2 * side for side in noise.shape[first:])))


@contextmanager
def shrinking(root: nn.Module) -> Iterator[list[str]]:
    """Yield a list that fills, while `root` runs, with the types of the layers whose stride left a single position.

    Attention over it, pooling minus itself and batch statistics of few samples are then constant by no fault of the
    model. A layer without a stride that covers all its input is a head and means to leave one.
    """
    found: list[str] = []

    def look(layer: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        # A hook that gave anything would replace the output.
        if _positions(args[0] if args else None) > 1 and _positions(output) == 1:
            found.append(type(layer).__name__)

    handles = [part.register_forward_hook(look) for part in root.modules() if _strides(part)]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _strides(part: nn.Module) -> bool:
    if not isinstance(part, _STRIDED) or getattr(part, "transposed", False):
        return False
    stride = part.stride if isinstance(part.stride, tuple) else (part.stride,)
    return any(isinstance(step, int) and step > 1 for step in stride)


def _positions(value: Any) -> int:
    return math.prod(value.shape[2:]) if isinstance(value, torch.Tensor) and value.dim() > 2 else 0
