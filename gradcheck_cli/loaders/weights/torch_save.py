"""The two containers of torch.save, zip archive and the older stream of pickles, opened down to the inert tree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gradcheck_cli.loaders.archive import Region, read_archive
from gradcheck_cli.loaders.pickle_any import read_root
from gradcheck_cli.loaders.pickle_tree import MAX_BYTES, Node, Pairs, Persistent, PickleError, children
from gradcheck_cli.loaders.refusals import Slug, refuse
from gradcheck_cli.loaders.source import Source
from gradcheck_cli.loaders.weights.contents import Weights, find_weights, storage_reference
from gradcheck_cli.loaders.weights.stored import ITEMSIZE

_LEGACY_VERSION = 1001
_PICKLE = "data.pkl"
_DATA = "data/"
_AGAIN = "copy or save the file again"


@dataclass(frozen=True)
class TorchFile:
    """What torch.save wrote."""

    root: Node
    pickles: bytes
    """The bytes of the pickle that `root` is of."""
    storages: dict[str, Region]
    """Key → where its bytes are."""

    def weights(self, path: str) -> list[Weights]:
        """Its state dicts, the most likely one first. Raises a `ModelError` (`unsafe-pickle`)."""
        try:
            return find_weights(self.root, self.storages)
        except PickleError as error:
            raise _broken(path, error) from error


def open_torch_file(source: Source) -> TorchFile:
    """Reads a torch.save file of either kind; no object is made and nothing but the pickle is kept in memory.

    Raises:
        ModelError: `truncated-file`, `damaged-file`, `unsafe-archive` or `unsafe-pickle`.
    """
    opened = source.parsed.get(__name__)
    if not isinstance(opened, TorchFile):
        try:
            opened = _open_zip(source) if source.head[:2] == b"PK" else _open_legacy(source)
        except PickleError as error:
            raise _broken(source.path, error) from error
        source.parsed[__name__] = opened
    return opened


def _broken(path: str, error: PickleError) -> Exception:
    return refuse(Slug.UNSAFE_PICKLE, path, str(error), f"nothing was run; {_AGAIN}")


def _open_zip(source: Source) -> TorchFile:
    archive = read_archive(source, source.path)
    if _PICKLE not in archive.members:
        raise refuse(Slug.DAMAGED_FILE, source.path, "the archive has no data.pkl", _AGAIN)
    if archive.text("byteorder") not in ("little", None):
        hint = "load it with torch on any machine and save it on a little-endian one"
        raise refuse(Slug.UNSUPPORTED_FORMAT, source.path, "its numbers are not little-endian", hint)
    member = archive.members[_PICKLE]
    if member.size > MAX_BYTES:
        raise PickleError(f"its pickle has {member.size} bytes, over the limit of {MAX_BYTES}")
    pickles = bytes(member)
    storages = {name[len(_DATA) :]: part for name, part in archive.members.items() if name.startswith(_DATA)}
    return TorchFile(read_root(pickles)[0], pickles, storages)


def _open_legacy(source: Source) -> TorchFile:
    """Magic number, version, system, the object, the storages' keys; then for each key its length and its bytes."""
    data = source.read(0, min(source.size, MAX_BYTES))
    _, position = read_root(data)
    version, position = read_root(data, position)
    system, begin = read_root(data, position)
    root, end = read_root(data, begin)
    keys, position = read_root(data, end)
    little = isinstance(system, Pairs) and dict(item for item in system.items if isinstance(item[0], str))
    if version != _LEGACY_VERSION or not little or little.get("little_endian") is not True:
        raise refuse(Slug.UNSUPPORTED_FORMAT, source.path, "it is of a version that torch no longer writes", _AGAIN)
    dtypes = dict(_references(root))
    storages: dict[str, Region] = {}
    for key in keys if isinstance(keys, list) else []:
        length = int.from_bytes(source.read(position, 8), "little") * ITEMSIZE[dtypes.get(str(key), "uint8")]
        if position + 8 + length > source.size:
            raise refuse(Slug.TRUNCATED_FILE, source.path, "the file ends before its last weights", _AGAIN)
        storages[str(key)] = Region(source, position + 8, length)
        position += 8 + length
    return TorchFile(root, data[begin:end], storages)


def _references(root: Node) -> Iterator[tuple[str, str]]:
    """Key and dtype of every storage that the tree refers to."""
    seen: set[int] = set()
    work = [root]
    while work:
        node = work.pop()
        if isinstance(node, (bool, int, float, str, bytes)) or node is None or id(node) in seen:
            continue
        seen.add(id(node))
        reference = storage_reference(node) if isinstance(node, Persistent) else None
        if reference:
            yield reference
        else:
            work += children(node)
