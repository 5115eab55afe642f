"""What a file is, told by its content and never by its extension, without torch and without unpickling anything."""

from __future__ import annotations

import codecs
import re
import zipfile
from pathlib import Path

from gradcheck_cli.errors import GradcheckError
from gradcheck_cli.loaders import pickle_tree, protobuf
from gradcheck_cli.loaders.formats import Kind
from gradcheck_cli.loaders.pickle_any import read_root
from gradcheck_cli.loaders.pickle_names import global_names
from gradcheck_cli.loaders.pickle_tree import Global, Made, Node, Pairs
from gradcheck_cli.loaders.refusals import Slug, printable, refuse
from gradcheck_cli.loaders.source import HEAD, Source

_LEGACY_MAGIC = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
_OLD_PICKLE = re.compile(rb"\(?[ci][a-zA-Z_][\w.]*\n[a-zA-Z_][\w.]*\n|\([dl]p\d+\n|[\]}]q\x00")
"""Pickle protocols 0 and 1: begin with a global, or with a dict or list that is put in the memo."""
_PREFIXES: tuple[tuple[int, bytes, Kind], ...] = (
    (0, _LEGACY_MAGIC, Kind.LEGACY_TORCH_SAVE),
    (0, b"GGUF", Kind.GGUF),
    (4, b"ET12", Kind.EXECUTORCH),
    (4, b"TFL3", Kind.TFLITE),
    (4, b"ORTM", Kind.ORT),
    (0, b"\x89HDF\r\n\x1a\n", Kind.HDF5),
    (0, b"\x93NUMPY", Kind.NUMPY),
    (0, b"\x1f\x8b", Kind.COMPRESSED),
    (0, b"BZh", Kind.COMPRESSED),
    (0, b"\xfd7zXZ\x00", Kind.COMPRESSED),
    (0, b"\x28\xb5\x2f\xfd", Kind.COMPRESSED),
    (0, b"7z\xbc\xaf\x27\x1c", Kind.COMPRESSED),
    (0, b"Rar!", Kind.COMPRESSED),
    (257, b"ustar", Kind.TAR),
    (0, b"version https://git-lfs", Kind.LFS_POINTER),
)


def sniff(source: Source) -> Kind:
    """The kind of an open file. Reads the head, for zip archives their directory and at most one small member.

    Raises a `ModelError` (`damaged-file`) where that member cannot be read.
    """
    head = source.head
    for offset, magic, kind in _PREFIXES:
        if head[offset : offset + len(magic)] == magic:
            return kind
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return _zip_kind(source)
    if _is_pickle(head):
        names = global_names(head)
        return Kind.JOBLIB if any(name.startswith(("joblib.", "sklearn.")) for name in names) else Kind.PLAIN_PICKLE
    return _safetensors(source) or protobuf.kind(head, source.size) or _text_kind(head) or Kind.UNKNOWN


def sniff_directory(path: Path) -> Kind:
    """The kind of a directory, by the names in it."""
    names = {entry.name for entry in path.iterdir()}
    if "config.json" in names:
        return Kind.HUGGING_FACE
    if "saved_model.pb" in names:
        return Kind.TENSORFLOW
    if "Manifest.json" in names and "Data" in names:
        return Kind.COREML
    if ".metadata" in names and any(name.endswith(".distcp") for name in names):
        return Kind.DISTRIBUTED
    if any(name.endswith(".index.json") for name in names):
        return Kind.SHARDED_INDEX
    return Kind.DIRECTORY


def _is_pickle(head: bytes) -> bool:
    return (head[0] == 0x80 and len(head) > 1 and 1 <= head[1] <= 5) or bool(_OLD_PICKLE.match(head))


def _safetensors(source: Source) -> Kind | None:
    length = int.from_bytes(source.head[:8], "little")
    is_one = source.head[8:9] == b"{" and 2 <= length <= source.size - 8
    return Kind.SAFETENSORS if is_one else None


def _text_kind(head: bytes) -> Kind | None:
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head, final=len(head) < HEAD)
    except UnicodeDecodeError:
        return None
    if any(char < " " and char not in "\t\n\r\f" for char in text):
        return None
    start = text.lstrip("﻿ \t\r\n")[:64].lower()
    if start.startswith(("<!doctype html", "<html", "<?xml")):
        return Kind.HTML
    return Kind.SHARDED_INDEX if start.startswith("{") and '"weight_map"' in text else Kind.TEXT


# ------------------------------------------------------------------------------------------------------ zip archives


def _zip_kind(source: Source) -> Kind:
    try:
        source.stream.seek(0)
        with zipfile.ZipFile(source.stream) as archive:
            names = archive.namelist()
            below = {name.partition("/")[2] for name in names}
            kind = _archive_kind(names, below)
            if kind is None and "data.pkl" in below:
                member = next(name for name in names if name.partition("/")[2] == "data.pkl")
                return _torch_save_kind(archive, member, source.path)
    except GradcheckError:
        raise
    except Exception:  # zipfile raises many kinds on broken directories
        return Kind.TRUNCATED_ZIP
    return kind or Kind.OTHER_ZIP


def _archive_kind(names: list[str], below: set[str]) -> Kind | None:
    """The kind by member names, whole and below the root folder; None leaves torch.save and unknown ones."""
    if any("data/aotinductor/" in name or name.endswith((".so", ".cpp")) for name in names):
        return Kind.AOTINDUCTOR
    if "archive_format" in below:
        return Kind.EXPORTED_PROGRAM
    if "serialized_exported_program.json" in {*names, *below}:
        return Kind.OLD_EXPORTED_PROGRAM
    if ".data/extern_modules" in below:
        return Kind.TORCH_PACKAGE
    if "constants.pkl" in below and any(name.startswith(("code/", "bytecode")) for name in below):
        return Kind.TORCHSCRIPT
    if {"config.json", "model.weights.h5"} <= set(names):
        return Kind.KERAS
    return Kind.NUMPY if names and all(name.endswith(".npy") for name in names) else None


def _torch_save_kind(archive: zipfile.ZipFile, member: str, path: str) -> Kind:
    """What data.pkl would build; where it cannot be told, the loader of modules gets it and says what is wrong."""
    info = archive.getinfo(member)
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > pickle_tree.MAX_BYTES:
        return Kind.PICKLED_MODULE
    try:
        with archive.open(info) as stream:
            data = stream.read(pickle_tree.MAX_BYTES)
    except Exception as error:  # as above
        message = f"the archive's member {printable(member)} is damaged"
        raise refuse(Slug.DAMAGED_FILE, path, message, "copy or save the file again") from error
    try:
        return _root_kind(pickle_tree.read_tree(data).root)
    except pickle_tree.ForeignOpcodeError:
        return Kind.FOREIGN_PROTOCOL if len(data) > 1 and data[1] != 2 else Kind.PICKLED_MODULE
    except pickle_tree.PickleError:
        return _checkpoint_kind(data)


def _checkpoint_kind(data: bytes) -> Kind:
    """The kind where foreign objects lie in it, which may be anything: only a dict on the outside is a checkpoint."""
    try:
        root, _ = read_root(data)
    except pickle_tree.PickleError:
        return Kind.PICKLED_MODULE
    return _root_kind(root) if isinstance(root, Pairs) else Kind.PICKLED_MODULE


def _root_kind(root: Node) -> Kind:
    if _is_tensor(root):
        return Kind.TENSOR_FILE
    if isinstance(root, (list, tuple)):
        return Kind.TENSOR_FILE if root and all(_is_data(item) for item in root) else Kind.OTHER_TORCH_SAVE
    if isinstance(root, Pairs) or _is_call(root, "collections.OrderedDict"):
        return _dict_kind({key: value for key, value in root.items if isinstance(key, str)})  # type: ignore[union-attr]
    if isinstance(root, Made):
        return Kind.PICKLED_MODULE
    return Kind.OTHER_TORCH_SAVE


def _dict_kind(items: dict[str, Node]) -> Kind:
    if "pytorch-lightning_version" in items:
        return Kind.LIGHTNING
    if not items:
        return Kind.OTHER_TORCH_SAVE
    if all(_is_tensor(value) for value in items.values()):
        return Kind.STATE_DICT if any("." in key or key in ("weight", "bias") for key in items) else Kind.TENSOR_FILE
    if all(_is_data(value) for value in items.values()):
        return Kind.TENSOR_FILE
    return Kind.CHECKPOINT


def _is_data(node: Node) -> bool:
    if isinstance(node, (list, tuple)):
        return all(_is_tensor(item) for item in node)
    return _is_tensor(node)


def _is_tensor(node: Node) -> bool:
    return isinstance(node, Made) and isinstance(node.callee, Global) and node.callee.path.startswith("torch._utils._r")


def _is_call(node: Node, path: str) -> bool:
    return isinstance(node, Made) and isinstance(node.callee, Global) and node.callee.path == path
