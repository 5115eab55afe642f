"""What a loader is, and the table that joins the formats: one line a format that can be loaded."""

from __future__ import annotations

from typing import Protocol

from gradcheck_cli.errors import UsageError
from gradcheck_cli.loaders.formats import Kind
from gradcheck_cli.loaders.source import Source, open_source
from gradcheck_cli.records import Subject


class Loader(Protocol):
    """Bytes on disk → `Subject`. Raises only the classes of `gradcheck_cli.errors`."""

    def __call__(self, source: Source, *, arch: str | None, trust: bool) -> Subject:
        """Loads the open file; runs code from it only if `trust`, and the code that `arch` names."""


class DirectoryLoader(Protocol):
    """A directory → `Subject`; raises as a `Loader` does. Code in a directory is never run."""

    def __call__(self, path: str, *, arch: str | None) -> Subject:
        """Loads what lies in the directory."""


def _pickled_module(source: Source, *, arch: str | None, trust: bool) -> Subject:
    from gradcheck_cli.loaders import foreign_module, pickled_module  # imports torch

    if foreign_module.is_foreign(source) and (arch is not None or not trust):
        return foreign_module.load(source, arch)
    if arch is not None:
        pickled_module.check(source)  # a damaged state dict looks like a module: what is wrong with it comes first
    _require_none(arch)
    return pickled_module.load(source, trust=trust)


def _exported_program(source: Source, *, arch: str | None, trust: bool) -> Subject:
    from gradcheck_cli.loaders import exported_program  # imports torch

    _require_none(arch)
    return exported_program.load(source, trust=trust)


def _torchscript(source: Source, *, arch: str | None, trust: bool) -> Subject:
    from gradcheck_cli.loaders import torchscript  # imports torch

    _require_none(arch)
    return torchscript.load(source, trust=trust)


def _onnx(source: Source, *, arch: str | None, trust: bool) -> Subject:  # noqa: ARG001 - nothing in it can run
    from gradcheck_cli.loaders.onnx_model import load  # imports torch and onnx

    _require_none(arch)
    return load.load(source)


def _weights(kind: Kind) -> Loader:
    def loader(source: Source, *, arch: str | None, trust: bool) -> Subject:
        from gradcheck_cli.loaders import pickled_module  # imports torch
        from gradcheck_cli.loaders.weights import load

        if trust and arch is None and kind in _MAY_BE_MODULES:
            return pickled_module.load(source, trust=True)
        return load.load(source, kind, arch)

    return loader


def _sharded(path: str, *, arch: str | None) -> Subject:
    from gradcheck_cli.loaders.weights import load, shards  # imports torch

    with open_source(shards.index_in(path)) as source:
        return load.load(source, Kind.SHARDED_INDEX, arch)


def _hugging_face(path: str, *, arch: str | None) -> Subject:
    from gradcheck_cli.loaders import huggingface  # imports torch

    return huggingface.load(path, arch)


def needless_architecture() -> UsageError:
    """The error for an `--arch` that would not be used."""
    message = "--arch is for bare weights, and this model brings its own architecture"
    return UsageError("needless-arch", message, hint="leave --arch away")


def _require_none(arch: str | None) -> None:
    if arch is not None:
        raise needless_architecture()


_MAY_BE_MODULES = (Kind.CHECKPOINT, Kind.FOREIGN_PROTOCOL, Kind.LEGACY_TORCH_SAVE)
"""Files that hold a whole network as often as bare weights; `--trust` opens it."""
_WEIGHTS = (Kind.STATE_DICT, Kind.LIGHTNING, Kind.SAFETENSORS, Kind.SHARDED_INDEX, *_MAY_BE_MODULES)
LOADERS: dict[Kind, Loader] = {
    Kind.PICKLED_MODULE: _pickled_module,
    Kind.EXPORTED_PROGRAM: _exported_program,
    Kind.TORCHSCRIPT: _torchscript,
    Kind.ONNX: _onnx,
    **{kind: _weights(kind) for kind in _WEIGHTS},
}
"""Every kind of file that is not here is in `formats.REFUSALS`."""
ARCH_LOADERS: dict[Kind, Loader] = {kind: _weights(kind) for kind in (Kind.TENSOR_FILE, Kind.OTHER_TORCH_SAVE)}
"""Kinds that are no model by themselves, but may be one's weights if the user names its architecture."""
DIRECTORY_LOADERS: dict[Kind, DirectoryLoader] = {Kind.SHARDED_INDEX: _sharded, Kind.HUGGING_FACE: _hugging_face}
"""Kinds of directories that can be loaded."""
