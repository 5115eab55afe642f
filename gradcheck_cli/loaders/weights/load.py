"""Bare weights and an architecture → `Subject`; without the architecture, the message that says what is needed."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

from torch import nn

from gradcheck_cli.loaders import entry_point, torch_names
from gradcheck_cli.loaders.formats import Kind
from gradcheck_cli.loaders.pickle_names import global_names
from gradcheck_cli.loaders.refusals import Slug, printable, refuse, some
from gradcheck_cli.loaders.soundness import require_values
from gradcheck_cli.loaders.source import Source
from gradcheck_cli.loaders.weights.contents import Weights
from gradcheck_cli.loaders.weights.digest import digest_of
from gradcheck_cli.loaders.weights.fit import Fit, fill, fit, require_fit
from gradcheck_cli.loaders.weights.safetensors_file import read_safetensors
from gradcheck_cli.loaders.weights.shards import open_shards
from gradcheck_cli.loaders.weights.torch_save import TorchFile, open_torch_file
from gradcheck_cli.records import Subject

FORMATS = {
    Kind.STATE_DICT: "state-dict",
    Kind.TENSOR_FILE: "state-dict",
    Kind.LIGHTNING: "lightning-checkpoint",
    Kind.SAFETENSORS: "safetensors",
    Kind.SHARDED_INDEX: "sharded-checkpoint",
    Kind.PICKLED_MODULE: "torch-module",
}
"""Kind → format slug; ``checkpoint`` for all others."""


def load(source: Source, kind: Kind, arch: str | None) -> Subject:
    """The network that `arch` builds, with the weights in `source`.

    Raises:
        ModelError: `needs-architecture` without `arch`, `weights-do-not-fit`, or what is wrong with file or `arch`.
        NotCompleted: the code behind `arch` raised.
    """
    with opened(source, kind) as (found, files):
        if not found:
            raise refuse(
                Slug.NOT_A_MODEL, source.path, f"this is {kind.value}: no weights are in it", "save the weights"
            )
        if arch is None:
            raise needs_architecture(source.path, kind, found[0])
        module = entry_point.build(arch)
        remarks = put_into(module, found, source.path, arch)
        for file in files:
            file.require_unchanged()
        digest = digest_of(source, files)
    return Subject(
        path=source.path, format=FORMATS.get(kind, "checkpoint"), module=module, sha256=digest, remarks=remarks
    )


@contextmanager
def opened(source: Source, kind: Kind) -> Iterator[tuple[list[Weights], list[Source]]]:
    """The state dicts in a file, at least one, the most likely first, and the files that they lie in."""
    if kind is Kind.SHARDED_INDEX:
        with open_shards(source) as (weights, sources):
            yield [weights], sources
    elif kind is Kind.SAFETENSORS:
        yield [read_safetensors(source)], [source]
    else:
        file = open_torch_file(source)
        yield file.weights(source.path) or _nothing(file, source.path, kind), [source]


def _nothing(file: TorchFile, path: str, kind: Kind) -> NoReturn:
    """Raises what is to be said of a file without weights: above all, what opening it would call."""
    foreign = [name for name in global_names(file.pickles) if not torch_names.is_allowed(name)]
    if foreign:
        message = f"no weights are in it, and opening the file would use {some(foreign)}"
        raise refuse(
            Slug.UNSAFE_PICKLE, path, message, "nothing was run; save the weights: torch.save(model.state_dict())"
        )
    hint = "save the model or its weights: torch.save(model.state_dict(), path)"
    raise refuse(Slug.NOT_A_MODEL, path, f"this is {kind.value}, and no weights are in it", hint)


def put_into(module: nn.Module, found: Sequence[Weights], path: str, name: str) -> tuple[str, ...]:
    """Fills `module` from the first state dict that fits, and returns remarks; raises for the nearest if none does."""
    laid = [fit(weights, module) for weights in found]
    chosen = min(range(len(laid)), key=lambda index: (laid[index].faults, index))
    require_fit(laid[chosen], path, name)
    remarks = (*_chosen(found, laid, chosen), *laid[chosen].remarks, *fill(module, laid[chosen]))
    require_values(module, path)
    return remarks


def _chosen(found: Sequence[Weights], laid: Sequence[Fit], chosen: int) -> list[str]:
    if len(found) == 1:
        return []
    others = [found[index].key for index, other in enumerate(laid) if index != chosen and not other.faults]
    also = f"; those of {some(others)} would fit too" if others else ""
    return [f"the weights were read from {printable(found[chosen].key or 'the top', 60)!r}{also}"]


def needs_architecture(path: str, kind: Kind, weights: Weights) -> Exception:
    """The error that says what a file of weights holds and which command would measure it."""
    message = f"this is {kind.value}; {contents(weights)}"
    hint = f"name the network: {command(path, weights)}"
    if weights.class_name:
        message += f", in a pickled {printable(weights.class_name)}"
        hint += "; or load it with torch and torch.save it again"
    return refuse(Slug.NEEDS_ARCHITECTURE, path, message, hint)


def contents(weights: Weights) -> str:
    """``12 tensors with 3,456 parameters (fc.weight, …)``."""
    count = sum(tensor.elements for tensor in weights.tensors.values())
    where = f" under {printable(weights.key, 60)!r}" if weights.key else ""
    plural = "" if len(weights.tensors) == 1 else "s"
    return (
        f"it holds {len(weights.tensors)} tensor{plural} with {count:,} numbers{where}: {some(list(weights.tensors))}"
    )


def command(path: str, weights: Weights) -> str:
    """The command that measures these weights; with the class where the file names it."""
    module, _, name = weights.class_name.rpartition(".")
    if module == "__main__":
        arch = f"FILE.py:{printable(name)}"
    else:
        arch = f"{printable(module)}:{printable(name)}" if module else "package.module:factory"
    return f"gradcheck diagnose {shlex.quote(printable(path, 400))} --arch {shlex.quote(arch)}"
