"""Seeded damage to honest files, one form for each format that can be a model or data."""

from __future__ import annotations

import functools
import io
import json
import random
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass

import forged_files as forge
import numpy as np
import safetensors.torch
import torch
from torch import nn

from hostile import honest
from hostile.case import GOOD, LINEAR

TOKENS = (
    *(
        b"\x00",
        b"\xff",
        b"\x7f",
        b"\x80",
        b".",
        b"0",
        b"-1",
        b"[",
        b"]",
        b"{",
        b"}",
        b"(",
        b")",
        b"N",
        b"\n",
        b'"',
        b",",
    ),
    *(b"\xff\xff\xff\xff", b"\x00\x00\x00\x80", b"\xff\xff\xff\x7f", b"9" * 20, b"\x1b[31m", b"../", b"\xe2\x80\xae"),
    *(b"R", b"b", b"c", b"\x81", b"Q", b"q\x00", b"h\x00", b"cos\nsystem\n", b"1e999", b"NaN", b"true", b"null"),
)
"""Bytes that mean something to some reader."""


@dataclass(frozen=True)
class Form:
    """One format."""

    build: Callable[[], bytes]
    """The honest file."""
    filename: str
    arguments: tuple[str, ...]
    """Behind ``gradcheck diagnose``; the file has the name `filename` in the working directory."""


def mutated(data: bytes, rng: random.Random) -> bytes:
    """`data` with one to eight changes; of a zip archive, as often a member's with fresh checksums."""
    if data[:4] == b"PK\x03\x04" and rng.random() < 0.6:
        members = forge.unzipped(io.BytesIO(data))
        name = rng.choice(list(members))
        return forge.zipped({**members, name: _changed(members[name], rng)})
    return _changed(data, rng)


def _changed(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        rng.choice(_CHANGES)(changed, rng)
    return bytes(changed)


def _at(data: bytearray, rng: random.Random) -> int:
    """A place in the file, as often in its first or last hundred bytes, where headers and directories are."""
    whole = len(data)
    return rng.choice((rng.randrange(whole + 1), min(rng.randrange(100), whole), max(whole - rng.randrange(100), 0)))


def _flip(data: bytearray, rng: random.Random) -> None:
    at = _at(data, rng)
    if at < len(data):
        data[at] ^= 1 << rng.randrange(8)


def _overwrite(data: bytearray, rng: random.Random) -> None:
    at, token = _at(data, rng), rng.choice(TOKENS)
    data[at : at + len(token)] = token


def _insert(data: bytearray, rng: random.Random) -> None:
    at = _at(data, rng)
    data[at:at] = rng.choice((rng.choice(TOKENS), rng.randbytes(rng.randrange(1, 9))))


def _delete(data: bytearray, rng: random.Random) -> None:
    at = _at(data, rng)
    del data[at : at + rng.choice((1, 2, 4, 8, 64))]


def _repeat(data: bytearray, rng: random.Random) -> None:
    at, count = _at(data, rng), rng.choice((1, 8, 64))
    data[at:at] = data[at : at + count] * rng.choice((1, 2, 50))


def _number(data: bytearray, rng: random.Random) -> None:
    """A decimal or binary number becomes another one."""
    digits = [place for place, byte in enumerate(data[:100_000]) if 48 <= byte <= 57]
    if digits and rng.random() < 0.7:
        at = rng.choice(digits)
        data[at : at + 1] = str(rng.choice((0, 1, -1, 7, 255, 2**31, 2**63, 10**15))).encode()
    else:
        at = _at(data, rng)
        width = rng.choice((1, 2, 4, 8))
        data[at : at + width] = rng.choice((0, 1, 2 ** (8 * width - 1), 2 ** (8 * width) - 1)).to_bytes(width, "little")


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[_at(data, rng) :]


_CHANGES = (_flip, _flip, _overwrite, _overwrite, _insert, _delete, _repeat, _number, _number, _cut)


def _network() -> bytes:
    """Many kinds of layers, and few weights."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(4, 2, 4, activation=torch.relu, batch_first=True)
    return honest.saved(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.PReLU(), nn.Unflatten(1, (1, 4)), layer))


def _checkpoint(*, legacy: bool = False) -> bytes:
    content = {"state_dict": nn.Linear(2, 2).state_dict(), "args": Namespace(a=[1, {"b": (2.0, None)}])}
    return honest.saved(content, _use_new_zipfile_serialization=not legacy)


def _index() -> bytes:
    return json.dumps({"metadata": {}, "weight_map": dict.fromkeys(("weight", "bias"), "part.bin")}).encode()


def _npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ones((4, 4), np.float32))
    return buffer.getvalue()


def _npz() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, x=np.ones((4, 4), np.float32), y=np.zeros(4, np.int64))
    return buffer.getvalue()


def _parquet() -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.table({name: [1.0, 2.0, 3.0, 4.0] for name in "abcd"}), buffer)
    return buffer.getvalue()


def _picture(kind: str) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 100, 50)).save(buffer, kind)
    return buffer.getvalue()


_ONNX_TENSOR = b"\x08\x04\x08\x04\x10\x01\x42\x01x\x4a\x40" + np.ones(16, np.float32).tobytes()
_CSV = b"a,b,c,d\n1,2.5,3,4\n5,6,-7e3,8\n9,10,11,12\n0,0,0,1\n"


def _data(build: Callable[[], bytes], filename: str) -> Form:
    return Form(build, filename, (GOOD, "--data", filename))


def _pictures(kind: str, filename: str) -> Form:
    return Form(functools.partial(_picture, kind), f"images/{filename}", ("../picture.pt", "--data", "images"))


FORMS: dict[str, Form] = {
    "module": Form(_network, "model.pt", ("model.pt",)),
    "state-dict": Form(honest.state_dict, "model.pt", ("model.pt", *LINEAR)),
    "checkpoint": Form(_checkpoint, "x.ckpt", ("x.ckpt", *LINEAR)),
    "legacy": Form(lambda: _checkpoint(legacy=True), "old.pt", ("old.pt", *LINEAR)),
    "safetensors": Form(honest.safetensors_file, "x.safetensors", ("x.safetensors", *LINEAR)),
    "index": Form(_index, "x.index.json", ("x.index.json", *LINEAR)),
    "pt2": Form(honest.exported, "net.pt2", ("net.pt2",)),
    "torchscript": Form(honest.torchscript, "script.pt", ("script.pt",)),
    "data-npy": _data(_npy, "x.npy"),
    "data-npz": _data(_npz, "x.npz"),
    "data-pt": _data(lambda: honest.saved({"x": torch.ones(4, 4), "y": torch.zeros(4).long()}), "x.pt"),
    "data-safetensors": _data(lambda: safetensors.torch.save({"x": torch.ones(4, 4)}), "x.safetensors"),
    "data-csv": _data(lambda: _CSV, "x.csv"),
    "data-parquet": _data(_parquet, "x.parquet"),
    "data-onnx-tensor": _data(lambda: _ONNX_TENSOR, "x.pb"),
    "data-png": _pictures("PNG", "a.png"),
    "data-jpeg": _pictures("JPEG", "a.jpg"),
}
"""Format → its honest file."""
