"""One trial forward pass: does the model take this input, what does it give, and by which operation last."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from gradcheck_cli.records import Batch
from gradcheck_cli.sample.outputs import primary
from gradcheck_cli.sample.restoring import quiet_trial
from gradcheck_cli.tensors import leaves


@dataclass(frozen=True)
class Trial:
    """What came out."""

    output: Any
    last_operation: str
    """The operation that computed the primary output, views of it apart: ``sigmoid``, ``addmm``; empty if not seen."""


def attempt(module: torch.nn.Module, batch: Batch, *, train: bool = False, fixed: bool = False) -> Trial:
    """Run the module once without gradients, in eval mode unless `train`; `fixed`: its mode cannot be set.

    To be called inside `restoring.preserved`. Raises whatever the model raises.
    """
    if not fixed:
        for part in module.modules():
            part.training = train
    operations = _Operations()
    with quiet_trial():
        try:
            with operations:
                output = module(*batch.args, **batch.kwargs)
        except RuntimeError as error:
            if not any(text in str(error) for text in _WANTS_GRADIENTS):
                raise
            # A model that differentiates inside its own forward (forces from energies), or hooks a tensor in it.
            with torch.enable_grad(), operations:
                output = module(*batch.args, **batch.kwargs)
    return Trial(output, operations.origin(primary(output)))


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Remembers for every storage the last operation that made it (views share their input's)."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._made_by: dict[int, str] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        name = func.name().removeprefix("aten::").split(".")[0]
        given = _storages(leaves((args, kwargs)))
        plain = name.strip("_")
        if plain in _COPIES and given:
            plain = self._made_by.get(given[0], plain)
        for storage in _storages(leaves(output)):
            if storage not in given or name.endswith("_"):
                self._made_by[storage] = plain
        return output

    def origin(self, tensor: torch.Tensor | None) -> str:
        return "" if tensor is None else next((self._made_by.get(s, "") for s in _storages([tensor])), "")


def _storages(tensors: Iterable[torch.Tensor]) -> list[int]:
    return [t.untyped_storage().data_ptr() for t in tensors if t.layout == torch.strided and type(t) in _PLAIN]


_WANTS_GRADIENTS = ("does not require grad", "doesn't require grad")
"""What torch says where a forward counts on gradients, and they are off."""

_PLAIN = (torch.Tensor, torch.nn.Parameter)
_COPIES = frozenset({"to_copy", "clone"})
"""Operations that change no value: the result counts as made by what made their input."""
