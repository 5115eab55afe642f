"""Leaves a module and the random generators as they were, whatever a trial pass does to them."""

from __future__ import annotations

import random
import sys
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from gradcheck_cli.tensors import rescaled_tables


@contextmanager
def preserved(module: torch.nn.Module) -> Iterator[None]:
    """Restore on exit: modes, buffers (bit by bit), attributes, ``requires_grad``, and all random states.

    Parameters are not copied: a forward that overwrites its own parameters is not undone.
    """
    with ExitStack() as stack, preserved_random():
        for part in module.modules():
            stack.callback(_attributes(part))
        stack.callback(_flags(list(module.parameters())))
        stack.callback(_buffers([*module.buffers(), *rescaled_tables(module)]))
        yield


@contextmanager
def preserved_random() -> Iterator[None]:
    """Restore on exit the random state of torch (CPU and GPU), of Python and, where it is in use, of numpy."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    numpy = sys.modules.get("numpy")
    python_state = random.getstate()
    numpy_state = numpy.random.get_state() if numpy else None
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            random.setstate(python_state)
            if numpy and numpy_state is not None:
                numpy.random.set_state(numpy_state)


@contextmanager
def quiet_trial() -> Iterator[None]:
    """Run inside without gradients, warnings, and the fused attention paths that only evaluation takes."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def _attributes(part: torch.nn.Module) -> Callable[[], None]:
    """Remember the module's attributes (its mode among them) and what its tables of children and hooks hold.

    transformers installs hooks in the first forward pass and remembers that in an attribute: one without the other would
    make it install them twice, and see each layer twice.
    """
    attributes = dict(part.__dict__)
    tables = {
        name: dict(table)
        for name, table in attributes.items()
        if (name in ("_buffers", "_parameters", "_modules") or "_hooks" in name) and type(table) in (dict, OrderedDict)
    }

    def restore() -> None:
        for name in set(part.__dict__) - set(attributes):
            del part.__dict__[name]
        part.__dict__.update(attributes)
        for name, table in tables.items():
            _restore_table(part.__dict__[name], table)

    return restore


def _restore_table(table: dict[str, Any], before: dict[str, Any]) -> None:
    if list(table) != list(before) or any(table[name] is not value for name, value in before.items()):
        table.clear()
        table.update(before)


def _flags(parameters: list[torch.nn.Parameter]) -> Callable[[], None]:
    flags = [parameter.requires_grad for parameter in parameters]

    def restore() -> None:
        for parameter, flag in zip(parameters, flags, strict=True):
            if parameter.requires_grad != flag:
                parameter.requires_grad_(flag)

    return restore


def _buffers(buffers: list[torch.Tensor]) -> Callable[[], None]:
    plain = [b for b in buffers if b.layout == torch.strided and not b.is_quantized]
    copies = [buffer.detach().clone() for buffer in plain]

    def restore() -> None:
        for buffer, copy in zip(plain, copies, strict=True):
            # Only what changed is written: a write would spoil an autograd graph that the caller keeps.
            if buffer.shape != copy.shape or not torch.equal(_bits(buffer), _bits(copy)):
                with torch.no_grad():
                    buffer.resize_(copy.shape).copy_(copy)

    return restore


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """Return the bytes of `tensor`, so that NaN equals NaN."""
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)
