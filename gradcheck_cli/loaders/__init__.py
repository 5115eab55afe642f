"""The load stage: a file, a Python entry point or a module in memory → a `Subject`. Imports torch only when called."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from gradcheck_cli.errors import NotCompleted
from gradcheck_cli.loaders.facts import FileFacts
from gradcheck_cli.loaders.formats import REFUSALS, Kind
from gradcheck_cli.loaders.interface import ARCH_LOADERS, DIRECTORY_LOADERS, LOADERS, needless_architecture
from gradcheck_cli.loaders.refusals import printable, refuse
from gradcheck_cli.loaders.sniff import sniff, sniff_directory
from gradcheck_cli.loaders.source import missing, open_source
from gradcheck_cli.records import Subject

if TYPE_CHECKING:
    import torch

__all__ = ["adopt", "inspect", "load"]


def load(spec: str, *, arch: str | None = None, trust: bool = False) -> Subject:
    """Loads what `spec` names: an existing path is a file or directory, ``module:attribute`` an entry point.

    Args:
        spec: as the user wrote it.
        arch: the architecture of bare weights, ``module:callable``; its code runs.
        trust: lets code inside the file run. Without it, only an entry point runs code.

    Raises:
        ModelError: the file or entry point is missing, broken, unsafe or unsupported, or needs another `arch`.
        UsageError: `needless-arch`, the model brings its own architecture.
        NotCompleted: the entry point's own code raised, or the memory did not suffice.
    """
    if not _exists(spec):
        if arch is not None:
            raise needless_architecture()
        return _entry_point(spec)
    try:
        return _directory(spec, arch) if _is_directory(spec) else _file(spec, arch, trust=trust)
    except MemoryError as error:
        message = "there is not enough memory to load the model"
        hint = "free memory, or raise the limit"
        raise NotCompleted("out-of-memory", message, hint=hint, file=printable(spec, 400)) from error


def inspect(spec: str) -> FileFacts:
    """What the file `spec` is and what it holds; nothing in it is run. Raises a `ModelError` where it is broken."""
    from gradcheck_cli.loaders import inspection

    return inspection.inspect(spec)


def adopt(module: torch.nn.Module, name: str = "model") -> Subject:
    """A module in memory as a `Subject` of the format ``in-memory``; the module itself, not a copy.

    Raises:
        ModelError: it is no module, or has parameters without values.
    """
    from gradcheck_cli.loaders.soundness import require_module, require_values

    require_values(require_module(module, name), name)
    return Subject(path=name, format="in-memory", module=module)


def _file(spec: str, arch: str | None, *, trust: bool) -> Subject:
    with open_source(spec) as source:
        kind = sniff(source)
        loader = LOADERS.get(kind) or (ARCH_LOADERS.get(kind) if arch else None)
        if loader is None:
            raise _refusal(kind, spec)
        return loader(source, arch=arch, trust=trust)


def _directory(spec: str, arch: str | None) -> Subject:
    kind = _directory_kind(spec)
    loader = DIRECTORY_LOADERS.get(kind)
    if loader is None:
        raise _refusal(kind, spec)
    return loader(spec, arch=arch)


def _exists(spec: str) -> bool:
    try:
        return os.path.lexists(spec)
    except ValueError:  # a NUL byte
        return False


def _is_directory(spec: str) -> bool:
    return Path(spec).is_dir()


def _directory_kind(spec: str) -> Kind:
    try:
        return sniff_directory(Path(spec))
    except OSError:
        return Kind.DIRECTORY


def _entry_point(spec: str) -> Subject:
    from gradcheck_cli.loaders import entry_point  # imports torch

    if not entry_point.is_entry_point(spec):
        raise missing(spec)
    return entry_point.load(spec)


def _refusal(kind: Kind, spec: str) -> Exception:
    refusal = REFUSALS[kind]
    return refuse(refusal.slug, spec, f"this is {kind.value}", refusal.hint)
