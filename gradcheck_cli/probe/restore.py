"""The user's model comes out as it went in: modes, buffers, gradients, which parameters train, and the random state."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from torch import nn

from gradcheck_cli.tensors import rescaled_tables


@contextmanager
def untouched(module: nn.Module) -> Iterator[None]:
    """Put back, whatever happens, everything that measuring may change in `module` and in the process's random state.

    Parameters themselves are never written here; who writes them (see `opening`) puts them back at once.
    """
    modes = [(child, child.training) for child in module.modules()]
    trainable = [(p, p.requires_grad, p.grad) for p in module.parameters()]
    buffers = [
        (child, name, buffer, buffer.detach().clone())
        for child in module.modules()
        for name, buffer in child._buffers.items()
        if buffer is not None
    ]
    rescaled = [(table, table.clone()) for table in rescaled_tables(module)]
    with ExitStack() as stack:
        stack.enter_context(_random_state())
        try:
            yield
        finally:
            for child, training in modes:
                child.training = training
            for parameter, requires_grad, grad in trainable:
                parameter.requires_grad_(requires_grad)
                parameter.grad = grad
            with torch.no_grad():
                for weight, value in rescaled:
                    weight.copy_(value)
                for child, name, buffer, value in buffers:
                    if buffer.shape != value.shape:
                        buffer.resize_(value.shape)
                    if not _same(buffer, value):
                        buffer.copy_(value)
                    child._buffers[name] = buffer


def _same(buffer: torch.Tensor, value: torch.Tensor) -> bool:
    return buffer.shape == value.shape and torch.equal(buffer, value)


@contextmanager
def _random_state() -> Iterator[None]:
    python, array = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=_devices()):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(array)


def _devices() -> list[int]:
    return list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]


def seed_everything(seed: int) -> None:
    """Seed what a model's forward may draw from (dropout, stochastic depth); inside `untouched` only."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def set_mode(module: nn.Module, mode: str) -> None:
    """Put every module into train or eval; exported programs refuse the call, so the flag is set on each module."""
    for child in module.modules():
        child.training = mode == "train"


def unfreeze_if_all_frozen(module: nn.Module) -> bool:
    """A model saved for inference has nothing to train; it is then measured as if all of it were."""
    floating = [p for p in module.parameters() if p.is_floating_point()]
    if not floating or any(parameter.requires_grad for parameter in floating):
        return False
    for parameter in floating:
        parameter.requires_grad_(True)
    return True
