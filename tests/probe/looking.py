"""How the tests of the probe look at a model: one batch or several, and a layer's reading by name."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from gradcheck_cli.probe import look
from gradcheck_cli.readings import LayerReading, Readings
from gradcheck_cli.records import Batch, Sample, Subject

Loss = Callable[[Any, Any], torch.Tensor]


def batch_of(*args: Any, kwargs: Mapping[str, Any] | None = None, target: Any = None) -> Batch:
    """One call; its size is the first dimension of the first tensor."""
    tensors = [value for value in (*args, *(kwargs or {}).values()) if isinstance(value, torch.Tensor) and value.ndim]
    return Batch(args=args, kwargs=kwargs or {}, target=target, size=len(tensors[0]) if tensors else 1)


def look_at(
    module: nn.Module,
    *args: Any,
    kwargs: Mapping[str, Any] | None = None,
    batches: tuple[Batch, ...] = (),
    loss: Loss | None = None,
    target: Any = None,
    mode: str = "train",
    seed: int = 0,
) -> Readings:
    """Look at a module on one batch made of `args` and `kwargs`, or on `batches`."""
    sample = Sample(
        batches=batches or (batch_of(*args, kwargs=kwargs, target=target),),
        source="test",
        loss_name="none" if loss is None else "test",
        loss=loss,
    )
    return look(Subject(path="test", format="in-memory", module=module), sample, mode=mode, seed=seed)


def layer_of(readings: Readings, name: str) -> LayerReading:
    """The layer of that name; the names there are where it is missing."""
    found = {layer.name: layer for layer in readings.layers}
    assert name in found, f"{name} is none of {list(found)}"
    return found[name]


def transmission_of(readings: Readings, name: str) -> float:
    """T of a layer that is on the tape."""
    value = layer_of(readings, name).transmission
    assert value is not None
    return value


def gain_of(readings: Readings, name: str) -> float:
    """Gain of a layer that has a differentiable input."""
    value = layer_of(readings, name).gain
    assert value is not None
    return value


def seed_all(seed: int) -> None:
    """The seeding that the instrument documents: everything that a forward may draw from."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def question(outputs: list[torch.Tensor], seed: int = 0) -> list[torch.Tensor]:
    """The ±1 cotangents of the first batch's first draw, drawn again independently of the probe."""
    generator = torch.Generator().manual_seed(seed * 1000)
    drawn = []
    for output in outputs:
        signs = torch.empty(output.shape).bernoulli_(0.5, generator=generator) * 2 - 1
        drawn.append(signs.to(output.dtype))
    return drawn
