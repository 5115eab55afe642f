"""The steps themselves: one gradient, one update of every parameter, and what the update did to each layer's weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from gradcheck_cli.probe.layers import Owner
from gradcheck_cli.probe.recording import own_copy
from gradcheck_cli.probe.restore import seed_everything
from gradcheck_cli.probe.statistics import square_sum
from gradcheck_cli.records import Batch
from gradcheck_cli.tensors import leaves, map_tensors

OPTIMIZERS: Mapping[str, Callable[[Sequence[torch.Tensor], float], torch.optim.Optimizer]] = {
    "sgd": lambda parameters, lr: torch.optim.SGD(parameters, lr=lr),
    "momentum": lambda parameters, lr: torch.optim.SGD(parameters, lr=lr, momentum=0.9),
    "adam": lambda parameters, lr: torch.optim.Adam(parameters, lr=lr),
    "adamw": lambda parameters, lr: torch.optim.AdamW(parameters, lr=lr),
}
"""Name of the contract → optimiser, with torch's own defaults for all but the rate; momentum is 0.9."""

TOGETHER = 1 << 18
"""Elements that are stepped together at most; a larger parameter is stepped alone."""


@dataclass
class Course:
    """How a rehearsal went; each list has an entry a step."""

    losses: list[float] = field(default_factory=list)
    """Of each step's batch, before the step."""
    norms: dict[str, list[float]] = field(default_factory=dict)
    """Layer → ‖W‖ over its trainable parameters, before each step and at the end."""
    updates: dict[str, list[float]] = field(default_factory=dict)
    """Layer → ‖ΔW‖ of each step."""
    failed: str | None = None
    """Why it ended early; None where it did not."""

    @property
    def steps(self) -> int:
        """Steps that were done."""
        return len(next(iter(self.updates.values()), ()))


class Stepper:
    """Steps the parameters of one module, a few at a time, so that only their old values are kept beside the gradients."""

    def __init__(
        self,
        module: nn.Module,
        parameters: Mapping[str, torch.Tensor],
        owners: Mapping[str, Owner],
        tied: Mapping[str, str],
        optimizer: str,
        lr: float,
    ) -> None:
        """`parameters`: the trainable ones, by first name; `owners` and `tied` as in `probe.layers`."""
        self._module = module
        self._parameters = parameters
        self._layers = {tied[name]: owner.name for owner in owners.values() for name in reversed(owner.parameters)}
        self._room: dict[tuple[torch.dtype, torch.device], torch.Tensor] = {}
        self._groups = [
            (names, OPTIMIZERS[optimizer]([parameters[name] for name in names], lr)) for names in _groups(parameters)
        ]

    def run(
        self,
        batches: Sequence[Batch],
        loss: Callable[[Any, Any], torch.Tensor],
        steps: int,
        seed: int,
        progress: Callable[[int], None],
    ) -> Course:
        """Take `steps` steps, over the batches in turn; end early where the loss is no longer finite."""
        course = Course()
        squares = {name: square_sum(value.detach()) for name, value in self._parameters.items()}
        for layer, norm in self._by_layer(squares).items():
            course.norms[layer], course.updates[layer] = [norm], []
        for number in range(steps):
            progress(number)
            batch = batches[number % len(batches)]
            seed_everything(seed + number)
            try:
                value, gradients = self._gradients(batch, loss)
            except Exception as error:  # the model's own code, or no memory for a step
                course.failed = f"step {number + 1} raised {type(error).__name__}: {' '.join(str(error).split())[:200]}"
                break
            course.losses.append(value)
            if not math.isfinite(value) or not gradients:
                break
            moved = self._update(gradients, squares)
            for layer, norm in self._by_layer(squares).items():
                course.norms[layer].append(norm)
            for layer, update in self._by_layer(moved).items():
                course.updates[layer].append(update)
        return course

    @torch.no_grad()
    def chance(self, batch: Batch, loss: Callable[[Any, Any], torch.Tensor], seed: int) -> float | None:
        """The loss of a batch whose targets have changed places; None where there are none to exchange."""
        if batch.size < 2 or not any(tensor.dim() for tensor in leaves(batch.target)):
            return None
        own = own_copy(batch)
        seed_everything(seed)
        try:
            exchanged = map_tensors(lambda target: target.roll(1, 0) if target.dim() else target, own.target)
            value = float(loss(self._module(*own.args, **own.kwargs), exchanged))
        except Exception:  # the user's own loss may know its targets by place
            return None
        return value if math.isfinite(value) else None

    def _gradients(
        self, batch: Batch, loss: Callable[[Any, Any], torch.Tensor]
    ) -> tuple[float, dict[str, torch.Tensor]]:
        own = own_copy(batch)
        with torch.enable_grad():
            value = loss(self._module(*own.args, **own.kwargs), own.target)
        found = float(value.detach())
        if not value.requires_grad or not math.isfinite(found):
            return found, {}
        gradients = torch.autograd.grad([value], list(self._parameters.values()), allow_unused=True)
        return found, {name: g for name, g in zip(self._parameters, gradients, strict=True) if g is not None}

    @torch.no_grad()
    def _update(self, gradients: dict[str, torch.Tensor], squares: dict[str, float]) -> dict[str, float]:
        """Step every parameter; give ‖Δ‖² of each, and bring `squares`, ‖W‖² of each, up to date."""
        moved = dict.fromkeys(self._parameters, 0.0)
        for names, optimizer in self._groups:
            stepped = {name: self._parameters[name] for name in names if name in gradients}
            before = self._copies(list(stepped.values()))
            for name, parameter in stepped.items():
                parameter.grad = gradients.pop(name)
            optimizer.step()
            for (name, parameter), old in zip(stepped.items(), before, strict=True):
                parameter.grad = None
                squares[name] = square_sum(parameter.detach())
                moved[name] = square_sum(old.sub_(parameter.detach()))
        return moved

    def _copies(self, group: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Of small parameters in memory that is used again: asking for new memory takes longer than the update itself."""
        copies, begin = [], 0
        for parameter in group:
            size = parameter.numel()
            if size > TOGETHER:
                return [parameter.detach().clone()]
            kind = (parameter.dtype, parameter.device)
            if kind not in self._room:
                self._room[kind] = torch.empty(TOGETHER, dtype=parameter.dtype, device=parameter.device)
            copies.append(self._room[kind][begin : begin + size].view(parameter.shape).copy_(parameter))
            begin += size
        return copies

    def _by_layer(self, squares: Mapping[str, float]) -> dict[str, float]:
        sums: dict[str, float] = {}
        for name, value in squares.items():
            layer = self._layers[name]
            sums[layer] = sums.get(layer, 0.0) + value
        return {layer: math.sqrt(value) for layer, value in sums.items()}


def _groups(parameters: Mapping[str, torch.Tensor]) -> list[list[str]]:
    """Neighbours of `TOGETHER` elements at most: an optimiser of its own for each would cost more than a small update."""
    groups: list[list[str]] = []
    room = 0
    for name, parameter in parameters.items():
        if not groups or parameter.numel() > room:
            groups.append([])
            room = TOGETHER
        groups[-1].append(name)
        room -= parameter.numel()
    return groups
