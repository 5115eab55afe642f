"""Puts stored weights into a network, strictly: every name and shape must agree, or the network is not measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from gradcheck_cli.loaders.refusals import Slug, printable, refuse
from gradcheck_cli.loaders.weights.contents import Weights
from gradcheck_cli.loaders.weights.names import renamed
from gradcheck_cli.loaders.weights.stored import StoredTensor

_SHOWN = 3
_COUNTER = "num_batches_tracked"
"""Batch norm's count of batches: absent from old files, and it changes no signal."""


@dataclass(frozen=True)
class Fit:
    """How a state dict lies on a network."""

    pairs: tuple[tuple[str, StoredTensor], ...]
    """Name in the network and what goes there."""
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    """Names in the file."""
    misshapen: tuple[str, ...]
    """Each with both shapes."""
    remarks: tuple[str, ...]

    @property
    def faults(self) -> int:
        """How many names or shapes do not agree."""
        return len(self.missing) + len(self.unexpected) + len(self.misshapen)


def tensors_of(module: nn.Module) -> dict[str, torch.Tensor]:
    """Name → parameter or persistent buffer, tied ones under all their names; the tensors themselves, not copies."""
    return {
        name: tensor for name, tensor in module.state_dict(keep_vars=True).items() if isinstance(tensor, torch.Tensor)
    }


def fit(weights: Weights, module: nn.Module) -> Fit:
    """Lays `weights` on `module` by names and shapes; reads and changes no values."""
    wanted = tensors_of(module)
    table, said = renamed(weights.tensors.keys(), wanted.keys())
    passing = {name for name, _ in module.named_buffers()} - wanted.keys()
    pairs, unexpected, misshapen = [], [], []
    for name, target in table.items():
        stored = weights.tensors[name]
        if target not in wanted:
            unexpected += [name] if target not in passing else []
        elif not is_lazy(wanted[target]) and not _agrees(target, stored, wanted[target]):
            misshapen.append(_both(target, stored, wanted[target]))
        else:
            pairs.append((target, stored))
    there = {id(wanted[target]) for target in table.values() if target in wanted}
    missing = [name for name, tensor in wanted.items() if id(tensor) not in there]
    outside = [name for name in weights.tensors if name not in table]
    remarks = [said, *_left_out(outside, weights), *_not_there(missing), *_converted(pairs, wanted)]
    return Fit(
        tuple(pairs),
        tuple(name for name in missing if not name.endswith(_COUNTER)),
        tuple(unexpected),
        tuple(misshapen),
        tuple(remark for remark in remarks if remark),
    )


def require_fit(laid: Fit, path: str, arch: str) -> None:
    """Raises a `ModelError` (`weights-do-not-fit`) that lists the first names of each kind of fault."""
    if not laid.faults:
        return
    kinds = (
        ("missing from the file", laid.missing),
        ("unknown to the network", laid.unexpected),
        ("of another shape", laid.misshapen),
    )
    listed = "; ".join(f"{len(names)} {what}: {_few(names)}" for what, names in kinds if names)
    message = f"the weights do not fit {printable(arch)} ({len(laid.pairs)} do): {listed}"
    hint = "let --arch build the network that was saved, with the same sizes"
    raise refuse(Slug.WEIGHTS_DO_NOT_FIT, path, message, hint)


def fill(module: nn.Module, laid: Fit) -> tuple[str, ...]:
    """Reads every value into its place, one tensor at a time, and returns remarks.

    The network's own tensors are kept, and so are its ties and dtypes; those without values (meta) get them.
    """
    with torch.no_grad():
        _materialise(module)
        wanted = tensors_of(module)
        filled: dict[int, str] = {}
        differing = []
        for name, stored in laid.pairs:
            target = wanted[name]
            if id(target) in filled and not torch.equal(target, stored.read().to(target.dtype)):
                differing.append(f"{printable(filled[id(target)], 60)} and {printable(name, 60)}")
            else:
                stored.read_into(target)
                filled[id(target)] = name
    if not differing:
        return ()
    return (f"the network ties what the file has two values for, and the first was taken: {_few(tuple(differing))}",)


def _materialise(module: nn.Module) -> None:
    """Gives every tensor on the meta device memory, one for all that are tied; it is filled next, or refused."""
    made: dict[int, torch.Tensor] = {}
    saved = {id(tensor) for tensor in tensors_of(module).values()}
    for part in module.modules():
        for table in (part._parameters, part._buffers):
            tensors: Mapping[str, torch.Tensor | None] = table
            for name, tensor in tensors.items():
                if tensor is not None and tensor.is_meta and not is_lazy(tensor) and id(tensor) in saved:
                    if id(tensor) not in made:
                        empty = torch.empty_like(tensor, device="cpu")
                        is_parameter = isinstance(tensor, nn.Parameter)
                        made[id(tensor)] = nn.Parameter(empty, tensor.requires_grad) if is_parameter else empty
                    table[name] = made[id(tensor)]  # type: ignore[assignment]


def _agrees(name: str, stored: StoredTensor, target: torch.Tensor) -> bool:
    if stored.shape != tuple(target.shape):
        return False
    # Whoever halves a state dict halves the counters too.
    return _family(stored.dtype) == _family(str(target.dtype)) or name.endswith(_COUNTER)


def _family(dtype: str) -> str:
    """Whole numbers, fractions and complex numbers are not taken for each other."""
    name = dtype.removeprefix("torch.")
    return next((kind for kind in ("bfloat", "float", "complex") if name.startswith(kind)), "int").removeprefix("b")


def _both(name: str, stored: StoredTensor, target: torch.Tensor) -> str:
    here, there = (
        f"{kind} {list(shape)}" for kind, shape in ((stored.dtype, stored.shape), (_dtype(target), target.shape))
    )
    if stored.dtype == _dtype(target):
        here, there = str(list(stored.shape)), str(list(target.shape))
    return f"{name} is {here} in the file and {there} in the network"


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _left_out(outside: list[str], weights: Weights) -> list[str]:
    found = []
    if outside:
        found.append(f"{len(outside)} weights of the file outside of that prefix were left out: {_few(tuple(outside))}")
    if weights.left_out:
        count = len(weights.left_out)
        found.append(f"{count} entries of the file that are no weights were left out: {_few(weights.left_out)}")
    return found


def _not_there(missing: list[str]) -> list[str]:
    counters = tuple(name for name in missing if name.endswith(_COUNTER))
    return [f"the file lacks {len(counters)} counters of batch norm, as old files do"] if counters else []


def _converted(pairs: list[tuple[str, StoredTensor]], wanted: Mapping[str, torch.Tensor]) -> list[str]:
    changes: dict[tuple[str, str], int] = {}
    for name, stored in pairs:
        change = (stored.dtype, _dtype(wanted[name]))
        if change[0] != change[1]:
            changes[change] = changes.get(change, 0) + 1
    return [
        f"{count} tensors were converted from {old} to the network's {new}" for (old, new), count in changes.items()
    ]


def _few(names: tuple[str, ...]) -> str:
    shown = ", ".join(printable(name, 100) for name in names[:_SHOWN])
    return f"{shown}, and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown
