"""Chooses the loss: the one asked for, the model's own, or one by the target's dtype; then checks it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from gradcheck_cli.errors import SampleError
from gradcheck_cli.sample import losses
from gradcheck_cli.sample.blame import first_line
from gradcheck_cli.sample.entry_points import is_entry_point, resolve
from gradcheck_cli.sample.outputs import own_loss, primary
from gradcheck_cli.sample.trial import Trial
from gradcheck_cli.tensors import leaves

NAMES = ("cross-entropy", "bce", "mse", "l1", "nll", "none")
_PLAIN: dict[str, losses.Loss] = {
    "cross-entropy": losses.cross_entropy,
    "mse": losses.mse,
    "l1": losses.l1,
    "nll": losses.nll,
    "model": losses.model_loss,
}
_SHARES = frozenset({"sigmoid", "hardsigmoid"})


@dataclass(frozen=True)
class Choice:
    """A loss, its name in the report, and what to tell about it."""

    name: str
    loss: losses.Loss | None
    remarks: tuple[str, ...] = ()


def choose(wanted: str | Callable[[Any, Any], Any] | None, trial: Trial, targets: Sequence[Any]) -> Choice:
    """Return the loss for a model that gave `trial` on the batch of ``targets[0]``; the rest are the other batches'.

    Raises:
        SampleError: ``unknown-loss``, ``missing-target``, ``target-does-not-fit``, ``loss-failed``.
    """
    choice = _by_default(trial, targets) if wanted is None else _asked_for(wanted, trial, targets)
    if choice.loss is not None:
        _check(choice, trial, targets)
    return choice


def _asked_for(wanted: str | Callable[[Any, Any], Any], trial: Trial, targets: Sequence[Any]) -> Choice:
    if not isinstance(wanted, str):
        return Choice(getattr(wanted, "__name__", type(wanted).__name__), _users(wanted))
    if wanted == "none":
        return Choice("none", None)
    if wanted not in NAMES:
        if is_entry_point(wanted):
            return Choice(wanted, _users(resolve(wanted)))
        hint = f"use one of {', '.join(NAMES)}, or module:callable"
        raise SampleError("unknown-loss", f"there is no loss named {wanted!r}", hint=hint)
    if targets[0] is None:
        hint = "give --data with a target (y), or --target"
        raise SampleError("missing-target", f"the loss {wanted} needs a target, and there is none", hint=hint)
    if primary(trial.output) is None:
        raise losses.misfit("the model gives no tensor to compare", trial.output, targets[0])
    return _named(wanted, trial)


def _by_default(trial: Trial, targets: Sequence[Any]) -> Choice:
    if own_loss(trial.output) is not None:
        return Choice("model", losses.model_loss)
    target = targets[0]
    if target is None:
        return Choice("none", None)
    out = primary(trial.output)
    if out is None or not out.is_floating_point():
        return Choice("none", None, ("no loss: the model gives no floating tensor to compare the target with",))
    if not isinstance(target, torch.Tensor):
        message = "the target is not one array, so no built-in loss can take it"
        raise SampleError("target-does-not-fit", message, hint="give --loss module:callable")
    if target.is_floating_point():
        return _named("mse", trial)
    return _for_integers(out, target, trial)


def _for_integers(out: torch.Tensor, target: torch.Tensor, trial: Trial) -> Choice:
    """Class indices take cross-entropy; yes or no for each output unit takes binary cross-entropy."""
    single = out.dim() < 2 or out.shape[1] == 1 or out.shape[-1] == 1
    if single and losses.alike(out, target) is not None:
        why = "bce, because the target is integer and the model has one output unit"
    elif target.shape == out.shape and bool(((target == 0) | (target == 1)).all()):
        why = "bce, because the target has a 0 or 1 for every output unit"
    else:
        return _named("cross-entropy", trial)
    return _named("bce", trial, why)


def _named(name: str, trial: Trial, *remarks: str) -> Choice:
    if name == "bce":
        if trial.last_operation in _SHARES:
            told = "bce of probabilities: the model ends in a sigmoid"
            return Choice(name, losses.bce, (*remarks, told))
        return Choice(name, losses.bce_with_logits, (*remarks, "bce of logits: the model does not end in a sigmoid"))
    if name == "cross-entropy" and trial.last_operation == "softmax":
        told = "the model ends in a softmax, and cross-entropy takes logits: the softmax is applied twice"
        return Choice(name, losses.cross_entropy, (*remarks, told))
    return Choice(name, _PLAIN[name], remarks)


def _check(choice: Choice, trial: Trial, targets: Sequence[Any]) -> None:
    assert choice.loss is not None
    with torch.no_grad():
        choice.loss(trial.output, targets[0])
    # The other batches' outputs are not known yet; their targets' values are.
    for target in targets[1:]:
        _check_values(choice, trial, target)


def _check_values(choice: Choice, trial: Trial, target: Any) -> None:
    out = primary(trial.output)
    for tensor in leaves(target):
        if choice.loss in (losses.bce, losses.bce_with_logits):
            losses.check_shares(tensor)
        elif choice.loss in (losses.cross_entropy, losses.nll) and out is not None and not tensor.is_floating_point():
            # One sample stands for all, so that the dimensions can be compared whatever the size of the batch.
            pair = losses.class_logits(trial.output, tensor[:1].expand(out.shape[0], *tensor.shape[1:]))
            if pair is not None:
                losses.check_range(tensor, int(pair[0].shape[1]), trial.output)


def _users(loss: Any) -> losses.Loss:
    """Wrap the user's own: a module class is made first, what it raises becomes our error, a ``(1,)`` a scalar."""
    function = loss() if isinstance(loss, type) and issubclass(loss, torch.nn.Module) else loss
    if not callable(function):
        raise SampleError("unknown-loss", f"the loss is a {type(loss).__name__}, which cannot be called")

    def compute(output: Any, target: Any) -> torch.Tensor:
        try:
            value = function(output, target)
        except Exception as error:  # the user's code may raise anything
            message = f"the loss raised {type(error).__name__}: {first_line(error)}"
            raise SampleError("loss-failed", message, hint="it is called as loss(output, target)") from error
        if not isinstance(value, torch.Tensor) or value.numel() != 1 or not value.is_floating_point():
            given = f"{value.dtype} {tuple(value.shape)}" if isinstance(value, torch.Tensor) else type(value).__name__
            message = f"the loss must give one floating number as a tensor, and gave {given}"
            raise SampleError("loss-failed", message, hint="average over the batch")
        return value.reshape(())

    return compute
