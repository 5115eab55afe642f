"""Hostile files as ``--data``: arrays, archives, tables, tensors and images that are not what they say."""

from __future__ import annotations

import functools
import io
import os
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import forged_files as forge
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from hostile import honest
from hostile.case import GOOD, MARKER, Case, of_data
from hostile.pickles import LAYER, Payload, shared_tuples, touch


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npy_header(text: str, data: bytes = bytes(16), version: bytes = b"\x01\x00") -> bytes:
    """A .npy file whose header is `text`."""
    raw = text.encode().ljust(117) + b"\n"
    length = struct.pack("<H" if version == b"\x01\x00" else "<I", len(raw))
    return b"\x93NUMPY" + version + length + raw + data


def _declared(shape: str, descr: str = "'<f4'") -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"


ARRAYS: dict[str, bytes] = {
    "huge": npy_header(_declared("(1000000000000, 1000)")),
    "overflow": npy_header(_declared("(4611686018427387904, 8)")),
    "over-64-bits": npy_header(_declared("(" + "9" * 40 + ",)")),
    "digits": npy_header(_declared("(" + "9" * 5000 + ",)")),
    "negative": npy_header(_declared("(-4,)")),
    "many-dimensions": npy_header(_declared("(" + "1," * 100 + ")")),
    "float-shape": npy_header(_declared("(4.0,)")),
    "text-shape": npy_header(_declared("'abcd'")),
    "object": npy_header(_declared("(1,)", "'|O'"), b"\x80\x04cos\nsystem\n(X\x0c\x00\x00\x00touch markertR."),
    "object-in-record": npy_header(_declared("(1,)", "[('a', '|O'), ('b', '<f4')]")),
    "object-in-subarray": npy_header(_declared("(1,)", "('|O', (2,))")),
    "void": npy_header(_declared("(1,)", "'|V2000000000'")),
    "text": npy_header(_declared("(1,)", "'<U4'")),
    "date": npy_header(_declared("(2,)", "'<M8[s]'")),
    "descr-call": npy_header(_declared("(1,)", "__import__('os').system('touch marker')")),
    "header-call": npy_header("__import__('os').system('touch marker')"),
    "header-list": npy_header("[1, 2]"),
    "header-nested": npy_header("(" * 20_000),
    "header-minus": npy_header("-" * 60_000),
    "header-extra": npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (4,), 'x': 1}"),
    "header-length": b"\x93NUMPY\x02\x00\xff\xff\xff\x7f" + b" " * 100,
    "header-short": b"\x93NUMPY\x01\x00\xff\xff",
    "version": npy_header(_declared("(4,)"), version=b"\x09\x00"),
    "magic-only": b"\x93NUMPY",
    "fortran-huge": npy_header("{'descr': '<f4', 'fortran_order': True, 'shape': (1000000, 1000000), }"),
    "cut": npy_header(_declared("(5,)")),
}


def cases() -> Iterator[Case]:
    yield of_data("arrays", "pickled-object.npy", _pickled_object, "object-array", filename="x.npy")
    for name, content in ARRAYS.items():
        yield of_data("arrays", f"{name}.npy", content, filename="x.npy")
        yield of_data("arrays", f"{name}.npz", forge.zipped({"x.npy": content}), filename="x.npz")
    whole = npy(np.ones((4, 4), np.float32))
    for place in (1, 6, 8, 10, 60, 127, len(whole) - 1):
        yield of_data("truncated-data", f"npy-{place}", whole[:place], filename="x.npy")
    yield from _archives(whole)
    yield from _pickles()
    yield from _tables()
    yield from _onnx_tensors()
    yield from _images()
    for suffix, content in (
        ("h5", b"\x89HDF\r\n\x1a\n"),
        ("pkl", b"\x80\x04N."),
        ("png", _png()),
        ("xyz", b"\x00\xff" * 40),
    ):
        yield of_data("arrays", f"other-{suffix}", content, "unsupported-data", filename=f"x.{suffix}")
    yield Case("arrays", "target", _hostile_target, ("object-array",))


def _pickled_object(marker: Path) -> bytes:
    return npy(np.array([Payload(marker), None], dtype=object))


def _hostile_target(folder: Path) -> list[str]:
    (folder / "x.npy").write_bytes(npy(np.ones((4, 4), np.float32)))
    (folder / "y.npy").write_bytes(_pickled_object(folder / MARKER))
    return [GOOD, "--data", "x.npy", "--target", "y.npy"]


def _archives(array: bytes) -> Iterator[Case]:
    deflated = zipfile.ZIP_DEFLATED
    huge = npy_header(_declared("(67108864,)")) + bytes((1 << 28) - 16)
    yield of_data("archives-data", "bomb", forge.zipped({"x.npy": huge + bytes(1)}, deflated), filename="x.npz")
    yield of_data("archives-data", "object-bomb", forge.zipped({"x.npy": npy_header("(" * 20_000)}), filename="x.npz")
    for name in ("../marker.npy", "/tmp/x.npy", "a/b.npy", "..\\x.npy"):
        yield of_data("archives-data", name.replace("/", "_"), forge.zipped({name: array}), filename="x.npz")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        buffer = io.BytesIO(forge.zipped({"x.npy": array}))
        with zipfile.ZipFile(buffer, "a") as archive:
            archive.writestr("x.npy", array)
    yield of_data("archives-data", "duplicate", buffer.getvalue(), "broken-data", filename="x.npz")
    flipped = bytearray(forge.zipped({"x.npy": array}))
    flipped[200] ^= 1
    yield of_data("archives-data", "checksum", bytes(flipped), "broken-data", filename="x.npz")
    yield of_data("archives-data", "lzma", forge.zipped({"x.npy": array}, zipfile.ZIP_LZMA), filename="x.npz")
    yield of_data("archives-data", "empty", forge.zipped({}), filename="x.npz")
    many = {f"{number}.npy": b"" for number in range(60_000)}
    yield of_data("archives-data", "many-members", forge.zipped(many), filename="x.npz")
    whole = forge.zipped({"x.npy": array, "y.npy": array})
    for place in (1, 30, 60, len(whole) // 2, len(whole) - 30, len(whole) - 1):
        yield of_data("truncated-data", f"npz-{place}", whole[:place], filename="x.npz")


PICKLED: dict[str, bytes] = {
    "shared-as-key": b"}" + shared_tuples(60) + b"K\x01s",
    "million-nested": b")" + b"\x85" * 1_000_000,
    "million-lists": b"]" * 500_000 + b"a" * 499_999,
    "bytearray": forge.call("builtins.bytearray", forge.integer(1 << 34)),
    "float-tensor": forge.call("torch.FloatTensor", forge.integer(1 << 32)),
    "module": forge.relu(),
    "linear": forge.call(LAYER, forge.integer(1 << 16), forge.integer(1 << 16)),
    "beyond": forge.tensor("0", [4, 4], [4, 1], numel=4),
    "offset": forge.tensor("0", [2, 2], [2, 1], numel=4, offset=1),
    "expanded": forge.tensor("0", [10**8, 10**7], [0, 0], numel=4),
    "negative": forge.tensor("0", [-2, 2], [2, 1], numel=4),
    "overflow": forge.tensor("0", [1 << 62, 1 << 62], [0, 0], numel=4),
    "far-stride": forge.tensor("0", [2, 2], [1 << 62, 1], numel=4),
    "storage-key": forge.tensor("../x", [2, 2], [2, 1], numel=4),
    "sparse": forge.call(
        "torch._utils._rebuild_sparse_tensor", forge.name("torch.sparse_coo"), forge.items(forge.NONE, forge.NONE)
    ),
    "hooks": forge.tensor("0", [2, 2], [2, 1], numel=4, hooks=forge.ordered({"0": forge.name("os.system")})),
}


def _call(marker: Path) -> bytes:
    return forge.archive(touch(marker))


def _saved(marker: Path, **options: Any) -> bytes:
    return honest.saved(Payload(marker), **options)


def _beside_tensors(marker: Path, **options: Any) -> bytes:
    return honest.saved({"x": torch.ones(2, 4), "y": Payload(marker)}, **options)


def _pickles() -> Iterator[Case]:
    yield of_data("pickles-data", "call", _call, filename="x.pt")
    for protocol in range(6):
        content = functools.partial(_saved, pickle_protocol=protocol)
        yield of_data("pickles-data", f"protocol-{protocol}", content, filename="x.pt")
    for zipped in (True, False):
        content = functools.partial(_beside_tensors, _use_new_zipfile_serialization=zipped)
        yield of_data("pickles-data", f"beside-tensors-{'zip' if zipped else 'legacy'}", content, filename="x.pt")
    for name, pickled in PICKLED.items():
        yield of_data("pickles-data", name, forge.archive(pickled, {"0": bytes(16)}), filename="x.pt")
    whole = honest.saved(torch.ones(4, 4))
    for place in (1, 40, len(whole) // 3, len(whole) // 2, len(whole) - 1):
        yield of_data("truncated-data", f"pt-{place}", whole[:place], filename="x.pt")
    yield of_data("pickles-data", "torchscript", honest.torchscript(), filename="x.pt")


TABLES: dict[str, bytes] = {
    "ragged": b"1,2,3,4\n1,2\n",
    "formula": b"a,b,c,d\n=cmd|' /C calc'!A0,1,2,3\n",
    "escapes": b"a,b,c,d\n\x1b[31mred,1,2,3\n",
    "header-escapes": b"a\x1b[31m,b\x07,c,d\n1,2,3,x\n",
    "nul": b"1,2,3,4\n1,2,\x00,4\n",
    "no-utf-8": b"1,2,3,4\n1,2,\xff\xfe,4\n",
    "long-line": b"1," * (9 << 20),
    "long-number": b"1,2,3," + b"9" * 100_000 + b"\n",
    "many-digits": b"1,2,3,4\n1,2,3," + b"1" * 5000 + b"\n",
    "nan": b"1,2,3,nan\n",
    "quote-open": b'1,2,3,"4\n' + b"1,2,3,4\n" * 100_000,
    "many-columns": b",".join(str(number).encode() for number in range(200_000)) + b"\n",
    "twice": b"a,a,b,c\n1,2,3,4\n",
    "header-only": b"a,b,c,d\n",
    "blank": b"\n" * 1000 + b",,,\n",
    "infinite": b"1,2,3,1e999\n",
}


def _tables() -> Iterator[Case]:
    for name, text in TABLES.items():
        yield of_data("tables", f"{name}.csv", text, filename="x.csv")
    buffer = io.BytesIO()
    pq.write_table(pa.table({name: [1.0, 2.0] for name in "abcd"}), buffer)
    whole = buffer.getvalue()
    for place in (4, 20, len(whole) // 2, len(whole) - 9, len(whole) - 1):
        yield of_data("truncated-data", f"parquet-{place}", whole[:place], filename="x.parquet")
    footer = len(whole) - 8
    for name, length in (("huge", 1 << 31), ("beyond", len(whole)), ("zero", 0), ("short", 3)):
        content = whole[:footer] + struct.pack("<I", length) + b"PAR1"
        yield of_data("tables", f"footer-{name}.parquet", content, filename="x.parquet")
    yield of_data("tables", "magic.parquet", b"PAR1PAR1", filename="x.parquet")
    yield of_data("tables", "encrypted.parquet", whole[:-4] + b"PARE", filename="x.parquet")
    for name, column in (("text", ["a\x1b[31m", "b"]), ("missing", [1.0, None]), ("lists", [[1.0], [1.0, 2.0]])):
        pq.write_table(pa.table({"a": column}), buffer := io.BytesIO())
        yield of_data("tables", f"{name}.parquet", buffer.getvalue(), filename="x.parquet")


def _field(number: int, content: bytes) -> bytes:
    length, rest = b"", len(content)
    while rest > 0x7F:
        length, rest = length + bytes([rest & 0x7F | 0x80]), rest >> 7
    return bytes([number << 3 | 2]) + length + bytes([rest]) + content


MESSAGES: dict[str, bytes] = {
    "huge-dims": b"\x08" + b"\xff" * 8 + b"\x7f" + b"\x10\x01",
    "external": b"\x08\x01\x10\x01" + _field(13, _field(1, b"location") + _field(2, b"/etc/passwd")),
    "location": b"\x08\x01\x10\x01\x70\x01",
    "text": b"\x08\x01\x10\x08" + _field(6, b"\x1b[31m"),
    "few-values": b"\x08\x04\x10\x01" + _field(9, bytes(8)),
    "type": b"\x08\x01\x10\x63" + _field(9, bytes(4)),
    "varint": b"\x08" + b"\xff" * 40,
    "length": b"\x4a\xff\xff\xff\xff\x0f",
    "group": b"\x0b\x0b\x0b",
    "two-kinds": b"\x08\x01\x10\x01" + _field(9, bytes(4)) + _field(5, b"\x01"),
    "many-dims": b"\x08\x01" * 100 + b"\x10\x01" + _field(9, bytes(4)),
    "name": b"\x08\x01\x10\x01" + _field(8, b"\xff\xfe") + _field(9, bytes(4)),
    "nothing": b"\x10\x01",
}


def _onnx_tensors() -> Iterator[Case]:
    for name, message in MESSAGES.items():
        yield of_data("onnx-tensors", name, message, filename="x.pb")


def _png(width: int = 4, height: int = 4, data: bytes | None = None) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    pixels = zlib.compress(bytes((1 + 3 * width) * height)) if data is None else data
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def _images() -> Iterator[Case]:
    jpeg = io.BytesIO()
    Image.new("RGB", (8, 8)).save(jpeg, "JPEG")
    contents = {
        "pixels-declared": _png(60_000, 60_000, zlib.compress(bytes(100))),
        "pixels-bomb": _png(9_000, 9_000, zlib.compress(bytes(9_000 * 27_001))),
        "no-data": _png(4, 4, b""),
        "zero-size": _png(0, 0, b""),
        "cut": _png()[:40],
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(marker) (w) file\n",
        "text": b"hello",
        "empty": b"",
        "jpeg-cut": jpeg.getvalue()[:200],
        "tiff": b"II*\x00\x08\x00\x00\x00" + bytes(40),
        "gif": b"GIF89a" + bytes(40),
    }
    for name, content in contents.items():
        yield Case("images", name, _image_folder(functools.partial(_write, content)))
    special: dict[str, Callable[[Path], object]] = {
        "fifo": os.mkfifo,
        "link-to-zero": lambda path: path.symlink_to("/dev/zero"),
        "dangling": lambda path: path.symlink_to("nowhere"),
    }
    for name, make in special.items():
        yield Case("images", name, _image_folder(make))
        yield Case("images", f"onnx-{name}", _image_folder(make, name="input_0.pb"))
    yield Case("images", "nothing", _image_folder(lambda path: None, name="x.txt"))


def _write(content: bytes, path: Path) -> None:
    path.write_bytes(content)


def _image_folder(make: Callable[[Path], object], name: str = "a.png") -> Callable[[Path], list[str]]:
    def build(folder: Path) -> list[str]:
        (folder / "images").mkdir()
        make(folder / "images" / name)
        return ["../picture.pt", "--data", "images"]

    return build
