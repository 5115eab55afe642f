"""The published rules of others, and packages that can be installed, asked about the same cases.

Every peer gets the same thing: the case's own loss, or where it has none, the mean squared error to fixed targets drawn from
a standard normal distribution, of the outputs' shape; gradients of that loss summed over the batches, on a copy of the model
in train mode. Rules that look at activations see the outputs of all modules that are activations. Where a rule leaves
something open, it is read in its own favour:

- SageMaker Debugger: `VanishingGradient` (mean |g| of a tensor below 1e-7), `DeadRelu` (more than half of a ReLU's outputs
  zero; the rule's inactivity threshold of 100 % for a unit is taken: a unit counts as inactive only where it is zero on all
  of the sample), `ExplodingTensor` (NaN or infinite gradient or output). Tensors with no gradient are not looked at.
- AutoTrainer: first over last layer's gradient (mean |g| of weight matrices) below 1e-3, and the first's below 1e-4:
  vanishing; any ratio of neighbours above 70, or NaN: exploding; at least 70 % of a layer's gradients zero: dying ReLU.
- Forum recipe: mean |g| of the first weight matrix over the last's below 1e-3: vanishing, above 1e3: exploding; NaN:
  exploding; a weight whose gradient is None: dead.
- torchmortem, torchdiag, model-clinic: see `peer_packages`.

Frozen parameters are not looked at by anyone. A peer whose rule fails on a case gives ``unknown``.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from gradcheck_cli.probe.cotangents import predictions

from . import peer_packages
from .cases import DEAD, EXPLODING, HEALTHY, VANISHING, Case, Problem

T = TypeVar("T")
Says = str
OK, UNKNOWN = HEALTHY, "unknown"
Gradients = Mapping[str, Tensor | None]

ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish)


@dataclass(frozen=True)
class Seen:
    """What rules look at."""

    weights: Gradients
    """Gradient of each trainable weight matrix, in order of registration; None where it got none."""
    gradients: Gradients
    """The same of every trainable parameter."""
    inactive: Mapping[str, float]
    """Share of units of each activation that are zero on the whole sample."""
    finite: bool
    """Gradients, loss and outputs of modules."""


def loss_of(problem: Problem, output: object, target: object) -> Tensor:
    """The case's own loss, or the one that all peers get where it has none."""
    if problem.loss is not None:
        return problem.loss(output, target)
    generator = torch.Generator().manual_seed(0)
    total = torch.zeros(())
    for tensor in predictions(output):
        real = torch.view_as_real(tensor) if tensor.is_complex() else tensor
        goal = torch.randn(real.shape, generator=generator).to(real.dtype)
        total = total + (real - goal).square().mean()
    return total


def see(problem: Problem) -> Seen:
    """One backward pass of the loss, summed over the batches, on a copy."""
    net = copy.deepcopy(problem.module).train(problem.mode == "train")
    if not any(p.requires_grad for p in net.parameters()):
        net.requires_grad_(True)
    alive: dict[str, Tensor] = {}
    finite = True

    def watch(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, _inputs: object, output: object) -> None:
            nonlocal finite
            if not isinstance(output, Tensor) or not output.is_floating_point():
                return
            finite = finite and bool(output.isfinite().all())
            if isinstance(module, ACTIVATIONS) and output.ndim > 1:
                units = 1 if output.ndim > 3 else output.ndim - 1
                fired = (output.detach() != 0).movedim(units, 0).flatten(1).any(1)
                alive[name] = alive[name] | fired if name in alive else fired

        return hook

    for name, module in net.named_modules():
        module.register_forward_hook(watch(name))
    targets = problem.targets or [None] * len(problem.batches)
    for inputs, target in zip(problem.batches, targets, strict=True):
        loss = loss_of(problem, net(*inputs), target)
        finite = finite and bool(loss.isfinite())
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]
    gradients = {name: _dense(p.grad) for name, p in net.named_parameters() if p.requires_grad}
    finite = finite and all(bool(g.isfinite().all()) for g in gradients.values() if g is not None)
    shapes = {name: p.ndim for name, p in net.named_parameters()}
    return Seen(
        weights={name: g for name, g in gradients.items() if shapes[name] > 1},
        gradients=gradients,
        inactive={name: 1 - float(fired.float().mean()) for name, fired in alive.items()},
        finite=finite,
    )


def _dense(gradient: Tensor | None) -> Tensor | None:
    if gradient is None:
        return None
    return gradient.detach().to_dense() if gradient.is_sparse else gradient.detach()


def _size(gradient: Tensor) -> float:
    return float(gradient.double().abs().mean())


# --------------------------------------------------------------------------------------------------------------- rules


def sagemaker(seen: Seen) -> Says:
    """NaN first, then dead ReLU, then vanishing: the worst of what its rules say."""
    if not seen.finite:
        return EXPLODING
    if any(share > 0.5 for share in seen.inactive.values()):
        return DEAD
    if any(g is not None and _size(g) < 1e-7 for g in seen.gradients.values()):
        return VANISHING
    return OK


def autotrainer(seen: Seen) -> Says:
    """NaN, dying, vanishing, exploding."""
    if not seen.finite:
        return EXPLODING
    known = [g for g in seen.weights.values() if g is not None]
    if not known:
        return OK
    if any(float((g == 0).double().mean()) >= 0.7 for g in known):
        return DEAD
    first, last = _size(known[0]), _size(known[-1])
    if first < 1e-4 and last > 0 and first / last < 1e-3:
        return VANISHING
    if any(_size(before) > 70 * _size(after) for before, after in _neighbours(known)):
        return EXPLODING
    return OK


def _neighbours(gradients: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    return ((a, b) for a, b in pairwise(gradients) if bool(b.any()))


def forum(seen: Seen) -> Says:
    """None, NaN, and first over last."""
    if not seen.finite:
        return EXPLODING
    if any(g is None for g in seen.weights.values()):
        return DEAD
    known = [g for g in seen.weights.values() if g is not None]
    if not known or not bool(known[-1].any()):
        return DEAD if known else OK
    ratio = _size(known[0]) / _size(known[-1])
    return VANISHING if ratio < 1e-3 else EXPLODING if ratio > 1e3 else OK


RULES: Mapping[str, Callable[[Seen], Says]] = {
    "SageMaker Debugger's rules": sagemaker,
    "AutoTrainer's rules": autotrainer,
    "forum recipe": forum,
}


def ask(case: Case, folder: Path | None = None) -> dict[str, Says]:
    """Peer → verdict. `folder`: where packages of peers are installed, beside those of this interpreter."""
    if folder is not None and str(folder) not in sys.path:
        sys.path.append(str(folder))
    problem = case.problem()
    said: dict[str, Says] = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        seen = _attempt(lambda: see(problem))
        for name, rule in RULES.items():
            said[name] = rule(seen) if seen is not None else UNKNOWN
        for name, package in peer_packages.available().items():
            said[name] = _attempt(partial(package, problem, loss_of)) or UNKNOWN
    return said


def _attempt(work: Callable[[], T]) -> T | None:
    try:
        return work()
    except Exception:  # whatever a peer, or a model under its hooks, may raise
        return None
