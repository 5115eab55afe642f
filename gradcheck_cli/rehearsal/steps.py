"""The steps themselves: one gradient, one update of every parameter, and what the update did to each layer's weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from gradcheck_cli.probe.gradients import differentiate
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
    """Steps the parameters of one module, one at a time, so that only one old value is kept beside the gradients."""

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
        self._optimizers = {name: OPTIMIZERS[optimizer]([value], lr) for name, value in parameters.items()}

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
        gradients: dict[str, torch.Tensor] = {}
        if value.requires_grad and math.isfinite(float(value.detach())):
            differentiate(
                [value], None, self._parameters, lambda name, g: gradients.update({name: g.clone()}), retain_graph=False
            )
        return float(value.detach()), gradients

    @torch.no_grad()
    def _update(self, gradients: dict[str, torch.Tensor], squares: dict[str, float]) -> dict[str, float]:
        """Step every parameter; give ‖Δ‖² of each, and bring `squares`, ‖W‖² of each, up to date."""
        moved = dict.fromkeys(self._parameters, 0.0)
        for name in list(gradients):
            parameter = self._parameters[name]
            before = parameter.detach().clone()
            parameter.grad = gradients.pop(name)
            self._optimizers[name].step()
            parameter.grad = None
            squares[name] = square_sum(parameter.detach())
            moved[name] = square_sum(before.sub_(parameter.detach()))
        return moved

    def _by_layer(self, squares: Mapping[str, float]) -> dict[str, float]:
        sums: dict[str, float] = {}
        for name, value in squares.items():
            layer = self._layers[name]
            sums[layer] = sums.get(layer, 0.0) + value
        return {layer: math.sqrt(value) for layer, value in sums.items()}
