"""The losses of the contract: each finds the tensor to compare, and brings the target to its shape.

All average over samples and positions: a sum would scale every loss gradient with the batch size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from gradcheck_cli.errors import SampleError
from gradcheck_cli.sample.arrays import shapes
from gradcheck_cli.sample.outputs import own_loss, primary

Loss = Callable[[Any, Any], torch.Tensor]
IGNORED = -100
"""A class index that counts for nothing, torch's default ``ignore_index``."""


def mse(output: Any, target: Any) -> torch.Tensor:
    """Mean squared error; the target is reshaped to the output, never broadcast."""
    out, goal = _alike(output, target)
    return functional.mse_loss(out, goal)


def l1(output: Any, target: Any) -> torch.Tensor:
    """Mean absolute error; the target is reshaped to the output, never broadcast."""
    out, goal = _alike(output, target)
    return functional.l1_loss(out, goal)


def bce_with_logits(output: Any, target: Any) -> torch.Tensor:
    """Binary cross-entropy of outputs that are logits."""
    out, goal = _alike(output, target)
    return functional.binary_cross_entropy_with_logits(out, check_shares(goal))


def bce(output: Any, target: Any) -> torch.Tensor:
    """Binary cross-entropy of outputs that are probabilities."""
    out, goal = _alike(output, target)
    return functional.binary_cross_entropy(out, check_shares(goal))


def cross_entropy(output: Any, target: Any) -> torch.Tensor:
    """Cross-entropy of logits ``(B, C, *)`` or ``(B, S, C)`` with class indices, or with class probabilities."""
    logits, goal = _classes(output, target)
    return functional.cross_entropy(logits, goal, ignore_index=IGNORED)


def nll(output: Any, target: Any) -> torch.Tensor:
    """Negative log-likelihood of log-probabilities ``(B, C, *)`` or ``(B, S, C)`` with class indices."""
    logits, goal = _classes(output, target)
    if goal.is_floating_point():
        raise misfit("nll needs class indices, and the target is floating", output, target)
    return functional.nll_loss(logits, goal, ignore_index=IGNORED)


def model_loss(output: Any, target: Any) -> torch.Tensor:  # noqa: ARG001 - the signature of a loss
    """Return the loss that the model computed itself."""
    loss = own_loss(output)
    if loss is None:
        raise SampleError("no-loss", "the model gave a loss for one batch and none for another", hint="give --loss")
    return loss


def class_logits(output: Any, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Return logits with the classes in dimension 1, and the class indices ``(B, *)`` for them; None if they differ.

    Dimension 1 is torch's habit, the last one that of sequence models. Where both fit, a bare tensor has its classes in
    dimension 1 and ``logits`` in the last.
    """
    out = primary(output)
    if out is None or out.dim() < 2:
        return None
    if target.dim() == out.dim() and 1 in (target.shape[1], target.shape[-1]):
        target = target.squeeze(1) if target.shape[1] == 1 else target.squeeze(-1)
    fits = [dim for dim in (1, out.dim() - 1) if target.shape == out.shape[:dim] + out.shape[dim + 1 :]]
    if not fits:
        return None
    return out.movedim(fits[0 if isinstance(output, torch.Tensor) else -1], 1), target


def misfit(message: str, output: Any, target: Any) -> SampleError:
    """Return the error for a target that the output cannot be compared with, with the shapes of both."""
    out = primary(output)
    both = f"output {shapes(out if out is not None else output)}, target {shapes(target)}"
    hint = "give a target of the output's shape (class indices without the class dimension), or another --loss"
    return SampleError("target-does-not-fit", f"{message}: {both}", hint=hint)


def alike(out: torch.Tensor, target: torch.Tensor) -> torch.Tensor | None:
    """Return the target in the output's shape; None unless the shapes differ only by dimensions of size 1."""
    if [n for n in out.shape if n != 1] != [n for n in target.shape if n != 1]:
        return None
    return target.reshape(out.shape)


def _alike(output: Any, target: Any) -> tuple[torch.Tensor, torch.Tensor]:
    out = primary(output)
    if out is None or not isinstance(target, torch.Tensor):
        raise misfit("the output and the target cannot be compared", output, target)
    goal = alike(out, target)
    if goal is None:
        raise misfit("the target has another shape than the output", output, target)
    return out, goal.to(out)


def _classes(output: Any, target: Any) -> tuple[torch.Tensor, torch.Tensor]:
    out = primary(output)
    if out is None or not isinstance(target, torch.Tensor):
        raise misfit("the output and the target cannot be compared", output, target)
    if target.is_floating_point():
        if out.dim() < 2 or target.shape != out.shape:
            raise misfit("class probabilities need the output's shape", output, target)
        return out, target.to(out)
    pair = class_logits(output, target)
    if pair is None:
        raise misfit("class indices need the output's shape without its class dimension", output, target)
    logits, goal = pair
    check_range(goal, int(logits.shape[1]), output)
    return logits, goal.to(device=logits.device, dtype=torch.int64)


def check_range(target: torch.Tensor, classes: int, output: Any) -> None:
    """Refuse class indices that are no classes of the output; `IGNORED` passes.

    Raises:
        SampleError: ``target-does-not-fit``.
    """
    indices = target[target != IGNORED].to(torch.int64)
    if indices.numel() and not (int(indices.min()) >= 0 and int(indices.max()) < classes):
        low, high = int(indices.min()), int(indices.max())
        message = f"the model has {classes} classes, 0 to {classes - 1}, and the target runs from {low} to {high}"
        raise misfit(message, output, target)


def check_shares(goal: torch.Tensor) -> torch.Tensor:
    """Return the target of a binary cross-entropy.

    Raises:
        SampleError: ``target-does-not-fit`` where it leaves 0 to 1.
    """
    if bool(((goal < 0) | (goal > 1)).any()):
        message = f"bce needs a target from 0 to 1, and it runs from {goal.min().item():g} to {goal.max().item():g}"
        raise SampleError("target-does-not-fit", message, hint="give shares or 0 and 1, or another --loss")
    return goal
