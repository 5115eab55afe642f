"""Builds files that torch.save would never write: an assembler for pickles of protocol 2, and zip archives."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

END = b"."
PROTO = b"\x80\x02"
NONE = b"N"
TRUE = b"\x88"
EMPTY_TUPLE = b")"


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def integer(value: int) -> bytes:
    raw = value.to_bytes((value.bit_length() // 8) + 1, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def name(path: str) -> bytes:
    module, _, attribute = path.rpartition(".")
    return f"c{module}\n{attribute}\n".encode()


def items(*parts: bytes) -> bytes:
    """A tuple."""
    return b"(" + b"".join(parts) + b"t"


def listed(*parts: bytes) -> bytes:
    return b"](" + b"".join(parts) + b"e"


def mapping(pairs: dict[str, bytes]) -> bytes:
    return b"}(" + b"".join(text(key) + value for key, value in pairs.items()) + b"u"


def call(path: str, *args: bytes) -> bytes:
    return name(path) + items(*args) + b"R"


def ordered(pairs: dict[str, bytes] | None = None) -> bytes:
    filled = b"(" + b"".join(text(key) + value for key, value in pairs.items()) + b"u" if pairs else b""
    return name("collections.OrderedDict") + EMPTY_TUPLE + b"R" + filled


def storage(key: str, numel: int, kind: str = "torch.FloatStorage") -> bytes:
    return items(text("storage"), name(kind), text(key), text("cpu"), integer(numel)) + b"Q"


def tensor(
    key: str, shape: list[int], stride: list[int], *, numel: int, offset: int = 0, hooks: bytes | None = None
) -> bytes:
    return call(
        "torch._utils._rebuild_tensor_v2",
        storage(key, numel),
        integer(offset),
        items(*map(integer, shape)),
        items(*map(integer, stride)),
        b"\x89",
        ordered() if hooks is None else hooks,
    )


def parameter(data: bytes, hooks: bytes | None = None) -> bytes:
    return call("torch._utils._rebuild_parameter", data, TRUE, ordered() if hooks is None else hooks)


def module(cls: str, **state: bytes) -> bytes:
    """``cls`` made with NEWOBJ and the given state over an empty one."""
    full = {"training": TRUE, "_parameters": mapping({}), "_buffers": mapping({}), "_modules": mapping({}), **state}
    return name(cls) + EMPTY_TUPLE + b"\x81" + mapping(full) + b"b"


def relu(**state: bytes) -> bytes:
    return module("torch.nn.modules.activation.ReLU", inplace=b"\x89", **state)


def sequential(**modules: bytes) -> bytes:
    return module("torch.nn.modules.container.Sequential", _modules=mapping(modules))


def archive(pickle: bytes, storages: dict[str, bytes] | None = None) -> bytes:
    """A torch.save file around ``pickle`` (without PROTO and END)."""
    members = {"data.pkl": PROTO + pickle + END, "byteorder": b"little", "version": b"3\n"}
    members.update({f"data/{key}": data for key, data in (storages or {}).items()})
    return zipped({f"model/{member}": data for member, data in members.items()})


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as out:
        for member, data in members.items():
            out.writestr(member, data)
    return buffer.getvalue()


def unzipped(file: Path | io.BytesIO) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as source:
        return {member: source.read(member) for member in source.namelist()}


def written(folder: Path, data: bytes, filename: str = "model.pt") -> str:
    path = folder / filename
    path.write_bytes(data)
    return str(path)
