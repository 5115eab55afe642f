"""Loads a pickled nn.Module made of torch.nn classes without running any code of the file's.

Three boundaries, each enough by itself for what is known: a strict archive (`archive`), an allow-list over an inert
tree of the pickle (`pickle_tree`, `pickle_policy`), and torch's own weights-only unpickler with the same allow-list.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import torch

from gradcheck_cli.errors import GradcheckError
from gradcheck_cli.loaders import pickle_policy, torch_names
from gradcheck_cli.loaders.archive import Archive, read_archive
from gradcheck_cli.loaders.import_path import put_working_directory_on_path
from gradcheck_cli.loaders.pickle_names import global_names
from gradcheck_cli.loaders.pickle_tree import Made, PickleError, Tree, read_tree
from gradcheck_cli.loaders.refusals import BUILD_IN_PYTHON, TRUST, Slug, printable, refuse, some
from gradcheck_cli.loaders.soundness import require_module, require_no_hooks, require_values
from gradcheck_cli.loaders.source import Source
from gradcheck_cli.records import Subject

FORMAT = "torch-module"
_PICKLE = "data.pkl"
_STORAGE_PREFIX = "data/"
_OTHER_MEMBERS = frozenset(
    {"version", "byteorder", ".data/serialization_id", ".data/version", ".format_version", ".storage_alignment"}
)


def load(source: Source, *, trust: bool) -> Subject:
    """The module in a torch.save file, on the CPU.

    Raises:
        ModelError: the file is damaged, foreign or unsafe, or holds no module.
        MemoryError: not enough memory.
    """
    module = require_module(_load_trusted(source) if trust else _load_checked(source), source.path)
    require_values(module, source.path)
    digest = source.sha256
    source.require_unchanged()
    return Subject(path=source.path, format=FORMAT, module=module, sha256=digest)


def load_tensors(data: bytes, path: str) -> object:
    """What a torch.save file of tensors in plain containers holds; anything else is refused as in `load`."""
    archive = read_archive(data, path)
    pickle_policy.check(_tree(archive), _storages(archive), path, allow_modules=False)
    return _weights_only(io.BytesIO(data), path)


def check(source: Source) -> None:
    """Passes if the file builds a module of torch.nn classes and does nothing else; raises as `load`, builds nothing."""
    archive = read_archive(source, source.path)
    tree = _tree(archive)
    pickle_policy.check(tree, _storages(archive), source.path)
    if not (isinstance(tree.root, Made) and tree.root.new):
        hint = "save the module itself: torch.save(model, path)"
        raise refuse(Slug.NOT_A_MODULE, source.path, "the file holds no module", hint)


def _load_checked(source: Source) -> object:
    check(source)
    module = require_module(_weights_only(source.stream, source.path), source.path)
    require_no_hooks(module, source.path)
    return module


def _tree(archive: Archive) -> Tree:
    if _PICKLE not in archive.members:
        raise refuse(Slug.DAMAGED_FILE, archive.path, "the archive has no data.pkl", "copy or save the file again")
    data = bytes(archive.members[_PICKLE])
    try:
        return read_tree(data)
    except PickleError as error:
        found_names = global_names(data)
        pickle_policy.require_values(found_names, archive.path)
        names = [name for name in found_names if not torch_names.is_allowed(name)]
        found = f" (it refers to {some(names)})" if names else ""
        hint = f"nothing was run; {BUILD_IN_PYTHON}, or {TRUST}"
        raise refuse(Slug.UNSAFE_PICKLE, archive.path, f"{error}{found}", hint) from error


def _storages(archive: Archive) -> dict[str, int]:
    """Storage key → bytes; every member that is neither a storage nor one that torch.save writes is refused."""
    storages = {}
    for name, payload in archive.members.items():
        if name.startswith(_STORAGE_PREFIX) and name[len(_STORAGE_PREFIX) :].isdecimal():
            storages[name[len(_STORAGE_PREFIX) :]] = len(payload)
        elif name != _PICKLE and name not in _OTHER_MEMBERS:
            message = f"the archive has the member {printable(name)}, which torch.save never writes"
            raise refuse(Slug.UNSAFE_ARCHIVE, archive.path, message, "load it with torch and save it again")
    return storages


def _weights_only(stream: BinaryIO, path: str) -> object:
    stream.seek(0)
    with torch_errors(path), torch.serialization.safe_globals(torch_names.safe_globals()):
        return torch.load(stream, map_location="cpu", weights_only=True)


def _load_trusted(source: Source) -> object:
    put_working_directory_on_path()
    source.stream.seek(0)
    with torch_errors(source.path):
        return torch.load(source.stream, map_location="cpu", weights_only=False)


@contextmanager
def torch_errors(path: str) -> Iterator[None]:
    """What opening a file raises, in one clause; caught by stage, not by type, as unpickling raises every kind."""
    try:
        yield
    except (GradcheckError, MemoryError):
        raise
    except (ImportError, AttributeError) as error:
        message = f"a class that the file needs cannot be imported: {printable(error)}"
        hint = f"run in the project's directory, or {BUILD_IN_PYTHON}"
        raise refuse(Slug.LOAD_FAILED, path, message, hint) from error
    except Exception as error:
        if "allocate memory" in str(error):  # torch's own allocator raises a RuntimeError
            raise MemoryError from error
        message = f"torch cannot open the file: {type(error).__name__}: {printable(error)}"
        raise refuse(Slug.LOAD_FAILED, path, message, "save it again with this version of torch") from error
