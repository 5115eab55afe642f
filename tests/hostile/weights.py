"""Weights that lie: safetensors headers, indexes that lead elsewhere, tensors beyond their storage, old files."""

from __future__ import annotations

import functools
import io
import json
import os
import pickle
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import forged_files as forge
import safetensors.torch
import torch

from hostile import honest
from hostile.case import LINEAR, Case, of_data, of_model

HONEST = {
    "weight": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
    "bias": {"dtype": "F32", "shape": [2], "data_offsets": [16, 24]},
}


def tensors(header: object, data: bytes = bytes(24), *, length: int | None = None) -> bytes:
    """A safetensors file with this header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def changed(name: str, **fields: object) -> dict[str, object]:
    return {**HONEST, name: {**HONEST[name], **fields}}


HEADERS: dict[str, bytes] = {
    "overlap": tensors(changed("bias", data_offsets=[8, 16])),
    "same-place": tensors({"a": HONEST["weight"], "b": HONEST["weight"]}, bytes(16)),
    "hole": tensors(changed("bias", data_offsets=[20, 28]), bytes(28)),
    "hole-at-the-start": tensors({"bias": {**HONEST["bias"], "data_offsets": [4, 12]}}, bytes(12)),
    "beyond-the-end": tensors(changed("bias", data_offsets=[16, 1 << 40], shape=[1 << 38])),
    "backwards": tensors(changed("bias", data_offsets=[24, 16])),
    "negative": tensors(changed("bias", shape=[-2])),
    "negative-offset": tensors(changed("bias", data_offsets=[-8, 0])),
    "overflow": tensors(changed("bias", shape=[1 << 33, 1 << 33, 1 << 33])),
    "huge-number": tensors(b'{"a":{"dtype":"F32","shape":[' + b"9" * 5000 + b'],"data_offsets":[0,24]}}'),
    "shape-times-dtype": tensors(changed("bias", dtype="F64")),
    "float-shape": tensors(changed("bias", shape=[2.0])),
    "boolean-shape": tensors(changed("bias", shape=[True, 2])),
    "many-dimensions": tensors({"a": {"dtype": "U8", "shape": [1] * 100, "data_offsets": [0, 1]}}, b"x"),
    "unknown-dtype": tensors(changed("bias", dtype="F33")),
    "listed-dtype": tensors(changed("bias", dtype=["F32"])),
    "missing-field": tensors({**HONEST, "bias": {"dtype": "F32", "shape": [2]}}),
    "extra-field": tensors(changed("bias", code="import os")),
    "entry-no-dict": tensors({**HONEST, "bias": [1, 2]}),
    "metadata-no-text": tensors({**HONEST, "__metadata__": {"a": {"b": "c"}}}),
    "metadata-list": tensors({**HONEST, "__metadata__": ["a"]}),
    "twice": tensors(
        b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
        b"x",
    ),
    "field-twice": tensors(b'{"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}', b"x"),
    "no-json": tensors(b"{'a': 1}"),
    "nan": tensors(b'{"a": NaN}'),
    "no-utf-8": tensors(b'{"\xff": 1}'),
    "nested": tensors(b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
    "containers": tensors(b'{"a":[' + b"[]," * 700_000 + b"[]]}"),
    "length-short": tensors(HONEST, length=20),
    "length-long": tensors(HONEST, length=200),
    "bytes-behind": tensors(HONEST, bytes(25)),
    "cut": tensors(HONEST, bytes(23)),
    "no-tensors": tensors({}, b""),
    "only-metadata": tensors({"__metadata__": {"a": "b"}}, b""),
}
HARMLESS_AS_DATA = frozenset({"metadata-no-text", "metadata-list", "field-twice", "boolean-shape"})
"""What is no fault of a file of data, or is refused there for not fitting the model."""

LYING: dict[str, bytes] = {
    "beyond": forge.tensor("0", [4, 4], [4, 1], numel=16),
    "offset": forge.tensor("0", [2, 2], [2, 1], numel=4, offset=1),
    "far-stride": forge.tensor("0", [2, 2], [1 << 40, 1], numel=4),
    "no-storage": forge.tensor("7", [2, 2], [2, 1], numel=4),
    "negative": forge.tensor("0", [-2, 2], [2, 1], numel=4),
    "ranks": forge.tensor("0", [2, 2], [2], numel=4),
    "huge-and-empty": forge.tensor("0", [1 << 62, 0], [1, 1], numel=4),
    "expanded": forge.tensor("0", [10**8, 10**7], [0, 0], numel=4),
}
"""Tensors in a state dict that are not what they say."""


def state_dict_with(weight: bytes) -> bytes:
    root = forge.mapping({"weight": weight, "bias": forge.tensor("1", [2], [1], numel=2)})
    content = forge.mapping({"state_dict": root, "epoch": b"K\x01"})
    return forge.archive(content, {"0": bytes(16), "1": bytes(8)})


def old(*, version: int = 1001, keys: object = None, lengths: tuple[int, ...] = (4,), data: bytes = bytes(16)) -> bytes:
    """A file of the old torch.save with one tensor of four floats, in which something may be wrong."""
    buffer = io.BytesIO()
    torch.save({"weight": torch.zeros(2, 2)}, buffer, _use_new_zipfile_serialization=False)
    whole = buffer.getvalue()
    stream = io.BytesIO(whole)
    for _ in range(3):
        pickle.load(stream)
    begin = stream.tell()
    end = whole.index(b".\x80\x02]", begin) + 1
    parts = [pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, version, {"little_endian": True})]
    parts += [whole[begin:end], pickle.dumps(pickle.loads(whole[end:]) if keys is None else keys, 2)]
    return b"".join(parts) + b"".join(struct.pack("<q", length) for length in lengths) + data


OLD: dict[str, tuple[Callable[[], bytes], str]] = {
    "length-huge": (lambda: old(lengths=(1 << 40,)), "truncated-file"),
    "length-negative": (lambda: old(lengths=(-1,)), "truncated-file"),
    "cut": (lambda: old(data=bytes(15)), "truncated-file"),
    "no-storage": (lambda: old(lengths=(), data=b""), "truncated-file"),
    "version": (lambda: old(version=7), "unsupported-format"),
    "keys-dict": (lambda: old(keys={"a": 1}), "not-a-model"),
    "keys-other": (lambda: old(keys=["other"]), "not-a-model"),
}


OUTSIDE = (
    *("../a.safetensors", "/etc/passwd", "sub/a.safetensors", "..", ".", "", "a\\b", "a\x00b"),
    "sub/../../a.safetensors",
)
INDEXES: dict[str, tuple[object, str]] = {
    "other-names": ({"weight": "b.safetensors"}, "damaged-file"),
    "missing-file": ({"weight": "nope.safetensors"}, "missing-file"),
    "number": ({"weight": 1}, "damaged-file"),
    "empty": ({}, "damaged-file"),
    "list": ([], "damaged-file"),
    "many": ({str(number): f"{number}.safetensors" for number in range(3000)}, "damaged-file"),
    "itself": ({"weight": "x.index.json"}, "not-a-model"),
    "pipe": ({"weight": "pipe"}, "not-a-regular-file"),
    "device": ({"weight": "zero"}, "unsafe-path"),
    "link": ({"weight": "link.safetensors"}, "unsafe-path"),
    "folder": ({"weight": "sub"}, "not-a-regular-file"),
    "pickle": ({"weight": "evil.bin"}, "not-a-model"),
}
"""What the index says, and the slug."""


def write_index(folder: Path, table: object) -> str:
    """An index that says `table`, with files of every kind beside it; returns its name."""
    (folder / "sub").mkdir()
    for name, tensor in (("a", torch.zeros(2, 2)), ("b", torch.zeros(2))):
        key = "weight" if name == "a" else "bias"
        safetensors.torch.save_file({key: tensor}, folder / f"{name}.safetensors")
    os.mkfifo(folder / "pipe")
    (folder / "zero").symlink_to("/dev/zero")
    (folder / "link.safetensors").symlink_to("../good.pt")
    (folder / "evil.bin").write_bytes(forge.archive(forge.call("os.system", forge.text("touch marker"))))
    (folder / "x.index.json").write_text(json.dumps({"weight_map": table}))
    return "x.index.json"


def cases() -> Iterator[Case]:
    for name, content in HEADERS.items():
        slugs = ("damaged-file", "truncated-file", "not-a-model")
        yield of_model("safetensors", name, content, *slugs, filename="x.safetensors", options=LINEAR)
        if name not in HARMLESS_AS_DATA:
            yield of_data("safetensors-data", name, content, filename="x.safetensors")
    yield Case("safetensors", "header-of-8-GB", functools.partial(_huge_header, data=False), ("damaged-file",))
    yield Case("safetensors-data", "header-of-8-GB", functools.partial(_huge_header, data=True), ("broken-data",))
    for table in OUTSIDE:
        yield Case(
            "indexes", f"outside-{table!r}", functools.partial(_index, table={"weight": table}), ("unsafe-path",)
        )
    for name, (entries, slug) in INDEXES.items():
        yield Case("indexes", name, functools.partial(_index, table=entries), (slug,))
        yield Case("indexes", f"{name}-as-folder", functools.partial(_index, table=entries, whole=True), (slug,))
    deep = b'{"weight_map": {"a": ' + b"[" * 500_000
    yield of_model("indexes", "nested", deep, filename="x.index.json", options=LINEAR)
    for name, tensor in LYING.items():
        yield of_model("state-dicts", name, state_dict_with(tensor), "weights-do-not-fit", options=LINEAR)
    for name, (build, slug) in OLD.items():
        yield of_model("state-dicts", f"old-{name}", build(), slug, options=LINEAR)
    yield of_model("state-dicts", "other-shapes", honest.module(), options=LINEAR)
    yield of_model("state-dicts", "without-architecture", honest.state_dict(), "needs-architecture")


def _huge_header(folder: Path, *, data: bool) -> list[str]:
    with (folder / "x.safetensors").open("wb") as out:
        out.write(struct.pack("<Q", 1 << 33) + b"{")
        out.truncate(9 << 30)  # sparse: takes no room
    return ["../good.pt", "--data", "x.safetensors"] if data else ["x.safetensors", *LINEAR]


def _index(folder: Path, *, table: object, whole: bool = False) -> list[str]:
    name = write_index(folder, table)
    return ["." if whole else name, *LINEAR]
