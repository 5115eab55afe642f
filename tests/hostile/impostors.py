"""Files of other tools, files that only begin like them, and files of anything else under a model's name."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import forged_files as forge
import numpy as np

from hostile import honest
from hostile.case import Case, of_model
from hostile.pickles import touch

MAGICS: dict[str, bytes] = {
    "gguf": b"GGUF",
    "executorch": b"\x1c\x00\x00\x00ET12",
    "tflite": b"\x1c\x00\x00\x00TFL3",
    "ort": b"\x1c\x00\x00\x00ORTM",
    "hdf5": b"\x89HDF\r\n\x1a\n",
    "numpy": b"\x93NUMPY",
    "git-lfs": b"version https://git-lfs.github.com/spec/v1\n",
    "bzip2": b"BZh9",
    "xz": b"\xfd7zXZ\x00",
    "zstandard": b"\x28\xb5\x2f\xfd",
    "rar": b"Rar!\x1a\x07",
    "elf": b"\x7fELF\x02\x01\x01",
    "onnx": b"\x08\x08\x12\x07pytorch\x1a\x06",
    "onnx-short": b"\x08\x03\x3a\x02\x0a\x00",
    "core-ml": b"\x08\x05\x12\x09\x0a\x07\x0a\x05input",
    "saved-model": b"\x08\x01\x12\x04\x0a\x02\x12\x00",
    "varint": b"\x08\x08\x3a" + b"\xff" * 4000,
    "varint-open": b"\x08\xff\xff\xff\xff\xff",
    "joblib": b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x0esklearn.linear\x8c\x01A\x93.",
    "legacy-magic": b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.",
    "zip-magic": b"PK\x03\x04",
    "zip-end": b"PK\x05\x06",
    "brace": (1 << 20).to_bytes(8, "little") + b"{",
    "utf-16": "\ufeffhello".encode("utf-16"),
}
TEXTS: dict[str, bytes] = {
    "html": b"<!DOCTYPE html><html><script>alert(1)</script></html>",
    "xml": b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "aaaaaaaaaa">]><l>&a;</l>',
    "python": b"import pathlib\npathlib.Path('marker').touch()\n",
    "json": b'{"a": [1, 2, 3]}',
    "csv": b"a,b\n1,2\n",
    "escapes": b"\x1b[31mred\x1b[0m\x1b]0;title\x07",
    "zeros": bytes(1 << 16),
    "random": bytes(np.random.default_rng(0).integers(0, 256, 1 << 14, dtype=np.uint8)),
    "one-byte": b"\x80",
    "two-bytes": b"PK",
    "newline": b"\n",
}


def cases() -> Iterator[Case]:
    for name, magic in MAGICS.items():
        for tail, rest in (("alone", b""), ("zeros", bytes(200)), ("ones", b"\xff" * 200)):
            yield of_model("impostors", f"{name}-{tail}", magic + rest)
    for name, text in TEXTS.items():
        yield of_model("impostors", name, text)
    for name in ("model", "model.safetensors", "model.onnx", "model.pt2", "model.py", "model.json", "x:y"):
        yield of_model("extensions", name, honest.state_dict(), "needs-architecture", filename=name)
    yield of_model("extensions", "numpy.pt", _array(), "not-a-model")
    yield of_model("extensions", "gzip.pt", gzip.compress(honest.module()), "not-a-model")
    yield of_model("extensions", "tar.pt", _tar(), "not-a-model")
    yield of_model("extensions", "keras.pt", forge.zipped({"config.json": b"{}", "model.weights.h5": b""}))
    yield of_model("extensions", "docx.pt", forge.zipped({"[Content_Types].xml": b"", "word/document.xml": b""}))
    yield of_model("extensions", "old-pt2", forge.zipped({"serialized_exported_program.json": b"{}", "version": b"1"}))
    package = {"p/.data/extern_modules": b"os", "p/model/model.pkl": b"", "p/x.py": b"open('marker', 'w')"}
    yield of_model("extensions", "torch-package", forge.zipped(package), "unsupported-format")
    for name, members in _native().items():
        yield of_model("native-code", name, forge.zipped(members), "unsupported-format", "unsafe-archive")
    for name in ("torchscript", "torchscript-forged"):
        members = honest.members(honest.torchscript())
        if name.endswith("forged"):
            members["model/data.pkl"] = forge.PROTO + forge.call("os.system", forge.text("touch marker")) + b"."
        yield of_model("native-code", name, forge.zipped(members))
    yield from _folders()


def _native() -> dict[str, dict[str, bytes]]:
    exported = honest.members(honest.exported())
    shared = b"\x7fELF\x02\x01\x01" + bytes(100)
    return {
        "aotinductor": {**exported, "model/data/aotinductor/model/x.so": shared},
        "aotinductor-source": {"m/archive_format": b"pt2", "m/data/aotinductor/model/x.cpp": b"int main() {}"},
        "library-at-the-root": {"x.so": shared},
        "library-in-a-module": {**honest.members(honest.module()), "model/evil.so": shared},
    }


def _array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{}, None], dtype=object))
    return buffer.getvalue()


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("../../marker")
        info.size = 3
        archive.addfile(info, io.BytesIO(b"abc"))
    return buffer.getvalue()


def _folders() -> Iterator[Case]:
    """Directories, among them Hugging Face ones that want code to run."""

    def folder(name: str, files: dict[str, bytes], *slugs: str) -> Case:
        def build(place: Path) -> list[str]:
            for file, content in files.items():
                path = place / "model" / file
                path.parent.mkdir(parents=True, exist_ok=True)
                if content == b"FIFO":
                    os.mkfifo(path)
                else:
                    path.write_bytes(content)
            (place / "model").mkdir(exist_ok=True)
            return ["model"]

        return Case("directories", name, build, slugs)

    code = b"import pathlib\npathlib.Path('marker').touch()\n"
    remote = {"model_type": "evil", "auto_map": {"AutoConfig": "code.Config", "AutoModel": "code.Model"}}
    bert = {"model_type": "bert", "architectures": ["BertModel"], "hidden_size": 8, "num_attention_heads": 2}
    small = {**bert, "num_hidden_layers": 1, "intermediate_size": 8, "vocab_size": 16}
    evil = forge.archive(touch(Path("marker")))
    yield folder("empty", {}, "not-a-regular-file")
    yield folder("of-pickles", {"a.pt": evil, "b.pt": evil}, "not-a-regular-file")
    yield folder("saved-model", {"saved_model.pb": b"\x08\x01"}, "unsupported-format")
    yield folder("core-ml", {"Manifest.json": b"{}", "Data/x": b""}, "unsupported-format")
    yield folder("distributed", {".metadata": evil, "__0_0.distcp": evil}, "unsupported-format")
    yield folder("two-indexes", {"a.index.json": b'{"weight_map": {}}', "b.index.json": b"{}"}, "not-a-model")
    yield folder("index-fifo", {"a.index.json": b"FIFO"}, "not-a-regular-file")
    yield folder("config-fifo", {"config.json": b"FIFO"})
    yield folder("config-broken", {"config.json": b"{"})
    yield folder("config-list", {"config.json": b"[1]"})
    yield folder("config-nested", {"config.json": b"[" * 200_000})
    yield folder("config-empty", {"config.json": b""})
    yield folder("remote-code", {"config.json": json.dumps(remote).encode(), "code.py": code})
    yield folder("remote-type", {"config.json": b'{"model_type": "../../x"}'})
    yield folder("no-weights", {"config.json": json.dumps(small).encode()})
    yield folder("pickled-weights", {"config.json": json.dumps(small).encode(), "pytorch_model.bin": evil})
    broken = {"config.json": json.dumps(small).encode(), "model.safetensors": b"\xff" * 64}
    yield folder("broken-weights", broken)
    index = json.dumps({"weight_map": {"a": "../../good.pt"}}).encode()
    yield folder("index-outside", {**broken, "model.safetensors.index.json": index})
