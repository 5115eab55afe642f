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
    ASKED.clear()
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


def signs(outputs: list[torch.Tensor], seed: int = 0) -> list[torch.Tensor]:
    """A ±1 cotangent for each output, drawn by the tests themselves."""
    generator = torch.Generator().manual_seed(seed)
    return [(torch.randint(0, 2, t.shape, generator=generator) * 2.0 - 1).to(t.dtype) for t in outputs]


ASKED: list[list[torch.Tensor]] = []
"""The cotangents that the last look put to the outputs, one list for each backward pass; noted by a fixture."""


def question(*outputs: torch.Tensor) -> list[torch.Tensor]:
    """The first question that the last look asked; it must fit `outputs`."""
    assert [tensor.shape for tensor in ASKED[0]] == [tensor.shape for tensor in outputs]
    return [tensor.to(output.dtype) for tensor, output in zip(ASKED[0], outputs, strict=True)]
