"""Sharded checkpoints: an index names the file that each tensor lies in, and every file must lie beside the index."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from gradcheck_cli.loaders.formats import Kind
from gradcheck_cli.loaders.refusals import Slug, printable, refuse, some
from gradcheck_cli.loaders.sniff import sniff
from gradcheck_cli.loaders.source import Source, open_source
from gradcheck_cli.loaders.weights.contents import Weights
from gradcheck_cli.loaders.weights.safetensors_file import read_safetensors
from gradcheck_cli.loaders.weights.stored import StoredTensor
from gradcheck_cli.loaders.weights.torch_save import open_torch_file

MAX_INDEX = 32 << 20
MAX_SHARDS = 2000
MAX_NAME = 255
"""Bytes of a file's name, in every file system in use."""
_COMPLETE = "download or save the whole checkpoint again"


def index_in(folder: str) -> str:
    """The one index in a folder, safetensors first. Raises a `ModelError` (`not-a-model`) where there are several."""
    found = sorted(str(path) for path in Path(folder).glob("*.index.json"))
    preferred = [path for path in found if path.endswith(".safetensors.index.json")] or found
    if len(preferred) != 1:
        message = (
            f"the folder has {len(preferred)} indexes of checkpoints: {some([Path(path).name for path in preferred])}"
        )
        raise refuse(Slug.NOT_A_MODEL, folder, message, "pass the index that is meant")
    return preferred[0]


def read_index(source: Source) -> dict[str, str]:
    """Tensor name → file name, of ``*.index.json``. Raises a `ModelError` (`damaged-file`)."""
    if source.size > MAX_INDEX:
        raise refuse(Slug.DAMAGED_FILE, source.path, f"the index has over {MAX_INDEX} bytes", _COMPLETE)
    try:
        index: Any = json.loads(source.read(0, source.size))
    except (ValueError, RecursionError) as error:
        raise refuse(Slug.DAMAGED_FILE, source.path, "the index is no readable JSON", _COMPLETE) from error
    table = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(table, dict) or not table or not all(isinstance(name, str) for name in table.values()):
        raise refuse(Slug.DAMAGED_FILE, source.path, "the index names no weights", _COMPLETE)
    if len(set(table.values())) > MAX_SHARDS:
        raise refuse(Slug.DAMAGED_FILE, source.path, f"the index names over {MAX_SHARDS} files", _COMPLETE)
    return table


@contextmanager
def open_shards(index: Source) -> Iterator[tuple[Weights, list[Source]]]:
    """All tensors that the index names, and the files that they lie in, which stay open meanwhile.

    Raises:
        ModelError: `unsafe-path` for a file outside of the index's folder, `missing-file`, `damaged-file` where index
            and files contradict each other, and whatever is wrong with a file.
    """
    table = read_index(index)
    folder = Path(index.path).parent
    with ExitStack() as stack:
        sources = {name: stack.enter_context(open_source(inside(folder, name))) for name in sorted(set(table.values()))}
        held = {name: read_shard(source).tensors for name, source in sources.items()}
        yield _joined(index, table, held), list(sources.values())


def _joined(index: Source, table: dict[str, str], held: dict[str, Any]) -> Weights:
    absent = [name for name, file in table.items() if name not in held[file]]
    if absent:
        message = f"the index names weights that its files do not hold: {some(absent)}"
        raise refuse(Slug.DAMAGED_FILE, index.path, message, _COMPLETE)
    tensors: dict[str, StoredTensor] = {name: held[file][name] for name, file in table.items()}
    return Weights(tensors, left_out=tuple(name for found in held.values() for name in found if name not in table))


def read_shard(source: Source) -> Weights:
    """The one state dict in a file of weights. Raises a `ModelError` where it is something else."""
    kind = sniff(source)
    if kind is Kind.SAFETENSORS:
        return read_safetensors(source)
    if kind in (Kind.STATE_DICT, Kind.TENSOR_FILE, Kind.LEGACY_TORCH_SAVE, Kind.FOREIGN_PROTOCOL):
        found = open_torch_file(source).weights(source.path)
        if found and not found[0].key:
            return found[0]
    raise refuse(Slug.NOT_A_MODEL, source.path, f"this is {kind.value}, and not a part of a checkpoint", _COMPLETE)


def inside(folder: Path, name: str) -> str:
    """The path of the file `name` in `folder`; a link may lead only to the cache that the folder is part of.

    Raises:
        ModelError: `unsafe-path` for a name with a folder in it, or a link that leads elsewhere.
    """
    path = folder / name
    too_long = len(name.encode("utf-8", "surrogatepass")) > MAX_NAME
    if not name or too_long or "/" in name or "\\" in name or "\0" in name or name in (".", ".."):
        message = f"the file {printable(name)} is not beside the index"
        raise refuse(Slug.UNSAFE_PATH, str(folder), message, "put the weights into the same folder")
    if path.is_symlink():
        home, target = folder.resolve(), path.resolve()
        # The cache of the Hugging Face hub: snapshots/REVISION/NAME links to blobs/HASH beside it.
        allowed = {home, home.parents[1] / "blobs"} if home.parent.name == "snapshots" else {home}
        if target.parent not in allowed:
            message = f"the file {printable(name)} is a link to somewhere else"
            raise refuse(Slug.UNSAFE_PATH, str(folder), message, "put the weights themselves into the folder")
    return str(path)
