"""Damaged and tricky containers: cut files, flipped bits, and zip archives that can be read in two ways."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator

import forged_files as forge

from hostile import honest
from hostile.case import LINEAR, Case, of_model

HONEST: dict[str, tuple[Callable[[], bytes], tuple[str, ...]]] = {
    "module.pt": (honest.module, ()),
    "state.pt": (honest.state_dict, LINEAR),
    "legacy.pt": (lambda: honest.state_dict(legacy=True), LINEAR),
    "lightning.ckpt": (honest.lightning, LINEAR),
    "x.safetensors": (honest.safetensors_file, LINEAR),
    "net.pt2": (honest.exported, ()),
    "script.pt": (honest.torchscript, ()),
}
"""File name → its bytes, and the options that would make it a model."""
CUTS = 12
ODD_NAMES = (
    *("model/../x", "/etc/x", "model//x", "model\\x", "other/version", "plain", "model/data/evil", "model/x.so.1"),
    *("model/./x", "../../marker", "model/\x1b[31m", "model/a\x00b"),
)
"""Member names that torch never writes."""


def cases() -> Iterator[Case]:
    for name, (build, options) in HONEST.items():
        data = build()
        places = [1, 2, 4, 9, 40, *(len(data) * part // CUTS for part in range(1, CUTS)), len(data) - 1]
        for place in places:
            yield of_model("truncated", f"{name}-{place}", data[:place], filename=name, options=options)
        yield of_model("truncated", f"{name}-beginning", data[7:], filename=name, options=options)
        if name != "script.pt":
            for place, bit in _flips(name, data):
                flipped = bytearray(data)
                flipped[place] ^= 1 << bit
                yield of_model("bit-flips", f"{name}-{place}", bytes(flipped), filename=name, options=options)
    yield from _zips()


def _flips(name: str, data: bytes) -> Iterator[tuple[int, int]]:
    """Bits that no reader may overlook: of a member's bytes, of the directory, of a header."""
    if name == "x.safetensors":
        text = data[8 : 8 + int.from_bytes(data[:8], "little")].rstrip()
        yield from ((place, 4) for place in (0, 1, 8, *range(9, 8 + len(text), 13), 7 + len(text)))
    elif name == "legacy.pt":
        yield from ((place, 3) for place in (0, 3, 9, 15, 20))
    else:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.infolist():
                content = archive.read(member)
                begin = data.index(content, member.header_offset)
                yield from ((begin + place, 5) for place in sorted({0, len(content) - 1}) if content)


def _zips() -> Iterator[Case]:
    members = honest.members(honest.module())
    whole = forge.zipped(members)
    for name in ODD_NAMES:
        content = (
            forge.zipped({**members, name: b"1"}) if "\x00" not in name else whole.replace(b"version", b"vers\x00on")
        )
        yield of_model("archives", f"member-{name!r}".replace("/", "_"), content, "unsafe-archive", "truncated-file")
    yield from _bombs(members)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of zipfile, on the second member of one name
        yield of_model("archives", "duplicate", _appended(whole, "model/data/0", bytes(64)), "unsafe-archive")
        evil = forge.PROTO + forge.call("os.system", forge.text("touch marker")) + b"."
        yield of_model("archives", "duplicate-pickle", _appended(whole, "model/data.pkl", evil), "unsafe-archive")
    with zipfile.ZipFile(commented := io.BytesIO(whole), "a") as archive:
        archive.comment = b"hello"
    yield of_model("archives", "comment", commented.getvalue(), "unsafe-archive")
    slugs = ("unsafe-archive", "damaged-file", "truncated-file")
    yield of_model("archives", "twice", whole + whole, *slugs)
    yield of_model("archives", "bytes-before", b"PK\x03\x04" + bytes(60) + whole, *slugs)
    yield of_model("archives", "checksum", _directory_field(whole, 16, b"\0\0\0\0"), "damaged-file")
    yield of_model("archives", "encrypted", _directory_field(whole, 8, b"\1\0"), *slugs)
    yield of_model("archives", "size-beyond", _directory_field(whole, 20, struct.pack("<II", 1 << 30, 1 << 30)), *slugs)
    yield of_model("archives", "offset-beyond", _directory_field(whole, 42, struct.pack("<I", 1 << 30)), *slugs)
    yield of_model("archives", "offset-shared", _directory_field(whole, 42, bytes(4), entry=2), *slugs)
    yield of_model("archives", "names-differ", whole.replace(b"model/version", b"model/VERSION", 1), *slugs)
    yield of_model("archives", "no-pickle", forge.zipped({"model/version": b"3\n", "model/byteorder": b"little"}))
    yield of_model("archives", "empty", forge.zipped({}), "not-a-model", "truncated-file")
    yield of_model("archives", "two-roots", forge.zipped({**members, "m2/data.pkl": b"."}), "unsafe-archive")
    yield of_model("archives", "native-code", forge.zipped({**members, "model/data/aotinductor/x.so": b"\x7fELF"}))


def _bombs(members: dict[str, bytes]) -> Iterator[Case]:
    deflated = zipfile.ZIP_DEFLATED
    yield of_model("zip-bombs", "deflated", forge.zipped(members, deflated), "unsafe-archive")
    storage = {**members, "model/data/9": bytes(1 << 26)}
    yield of_model("zip-bombs", "storage", forge.zipped(storage, deflated), "unsafe-archive")
    pickle = {**members, "model/data.pkl": forge.PROTO + b"](" + b"N" * (1 << 25) + b"e."}
    yield of_model("zip-bombs", "pickle", forge.zipped(pickle, deflated), "unsafe-archive")
    yield of_model("zip-bombs", "lzma", forge.zipped(members, zipfile.ZIP_LZMA), "unsafe-archive")
    yield of_model("zip-bombs", "bzip2", forge.zipped(members, zipfile.ZIP_BZIP2), "unsafe-archive")
    inner = forge.zipped(storage, deflated)
    yield of_model("zip-bombs", "nested", forge.zipped({"model/model.pt": inner}), "not-a-model", "unsafe-archive")
    many = {f"model/data/{number}": b"" for number in range(20_000)}
    yield of_model("zip-bombs", "many-members", forge.zipped({**members, **many}))
    yield of_model("zip-bombs", "overlapping", overlapping(2000, 1 << 20))
    for name, build in (("pt2", honest.exported), ("script", honest.torchscript)):
        yield of_model("zip-bombs", name, forge.zipped(honest.members(build()), deflated))


def overlapping(count: int, size: int) -> bytes:
    """A zip whose `count` members all are the same `size` bytes: Fifield's bomb in its simplest form."""
    payload = zlib.compress(bytes(size), 9)[2:-4]
    checksum = zlib.crc32(bytes(size))
    fields = struct.pack("<HHHHHIII", 20, 0, 8, 0, 0, checksum, len(payload), size)
    name = b"m/data.pkl"
    local = b"PK\x03\x04" + fields + struct.pack("<HH", len(name), 0) + name + payload
    directory = b""
    for index in range(count):
        entry = name if not index else f"m/data/{index}".encode()
        directory += b"PK\x01\x02" + struct.pack("<H", 20) + fields
        directory += struct.pack("<HHHHHII", len(entry), 0, 0, 0, 0, 0, 0) + entry
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, count, count, len(directory), len(local), 0)
    return local + directory + end


def _appended(whole: bytes, name: str, data: bytes) -> bytes:
    buffer = io.BytesIO(whole)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(name, data)
    return buffer.getvalue()


def _directory_field(whole: bytes, offset: int, value: bytes, entry: int = 0) -> bytes:
    """The archive with the field at `offset` of an entry of its directory overwritten."""
    begin = whole.index(b"PK\x01\x02")
    for _ in range(entry):
        begin = whole.index(b"PK\x01\x02", begin + 4)
    return whole[: begin + offset] + value + whole[begin + offset + len(value) :]
