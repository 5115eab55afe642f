"""What a member of the zoo is: a function without arguments that gives a module and the inputs of one call."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Built = tuple[nn.Module, tuple[Any, ...]]


def family(*builders: Callable[[], Built]) -> dict[str, Callable[[], Built]]:
    """The builders by name, each seeded, so that it gives the same model whatever ran before it."""
    return {builder.__name__: _seeded(builder) for builder in builders}


def _seeded(builder: Callable[[], Built]) -> Callable[[], Built]:
    @functools.wraps(builder)
    def build() -> Built:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return builder()

    return build


def float_outputs(output: Any) -> list[Tensor]:
    """All differentiable tensors in a model's output, whatever it is nested in."""
    if isinstance(output, Tensor):
        return [output] if output.requires_grad else []
    if dataclasses.is_dataclass(output):
        output = vars(output)
    if isinstance(output, dict):
        output = list(output.values())
    if isinstance(output, list | tuple):
        return [tensor for item in output for tensor in float_outputs(item)]
    return []
