from __future__ import annotations

import gzip
import os
import pickle
import socket
import struct
import tarfile
import zipfile
from collections import OrderedDict
from importlib import import_module
from pathlib import Path

import forged_files as forge
import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from gradcheck_cli.errors import ModelError
from gradcheck_cli.loaders import load
from gradcheck_cli.loaders.formats import REFUSALS, Kind
from gradcheck_cli.loaders.interface import DIRECTORY_LOADERS, LOADERS
from gradcheck_cli.loaders.refusals import Slug
from gradcheck_cli.loaders.sniff import sniff
from gradcheck_cli.loaders.source import open_source


def refused(path: Path | str) -> ModelError:
    with pytest.raises(ModelError) as caught:
        load(str(path))
    assert caught.value.slug in {slug.value for slug in Slug}
    assert caught.value.hint
    assert str(caught.value).isprintable()
    return caught.value


def _onnx() -> bytes:
    def field(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2, len(content)]) + content

    return b"\x08\x08" + field(2, b"pytorch") + field(3, b"2.13.0") + field(7, b"\x0a\x00") + field(8, b"\x10\x12")


def _coreml() -> bytes:
    feature = b"\x0a\x05input"
    described = b"\x0a" + bytes([len(feature)]) + feature
    return b"\x08\x05\x12" + bytes([len(described)]) + described + b"\xa2\x1f\x00"


BYTES: dict[str, tuple[bytes, Kind]] = {
    "gguf": (b"GGUF" + bytes(60), Kind.GGUF),
    "executorch": (b"\x1c\x00\x00\x00ET12" + bytes(60), Kind.EXECUTORCH),
    "tflite": (b"\x1c\x00\x00\x00TFL3" + bytes(60), Kind.TFLITE),
    "ort": (b"\x1c\x00\x00\x00ORTM" + bytes(60), Kind.ORT),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(60), Kind.HDF5),
    "onnx": (_onnx(), Kind.ONNX),
    "onnx-without-producer": (b"\x08\x03\x3a\x02\x0a\x00", Kind.ONNX),
    "coreml": (_coreml(), Kind.COREML),
    "saved-model-pb": (b"\x08\x01\x12\x06\x0a\x04\x22\x02ab", Kind.TENSORFLOW),
    "gzip": (gzip.compress(b"hello"), Kind.COMPRESSED),
    "text": (b"import torch\n", Kind.TEXT),
    "unicode-text": ("привет, мир\n".encode() * 1000, Kind.TEXT),
    "html": (b"\n<!DOCTYPE html><html>", Kind.HTML),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", Kind.LFS_POINTER),
    "json": (b'{"a": 1}', Kind.TEXT),
    "noise": (bytes(range(255, 0, -1)), Kind.UNKNOWN),
    "one-byte": (b"\x80", Kind.UNKNOWN),
    "empty-zip": (b"PK\x05\x06" + bytes(18), Kind.OTHER_ZIP),
    "keras": (forge.zipped({"config.json": b"{}", "model.weights.h5": b"", "metadata.json": b"{}"}), Kind.KERAS),
    "aotinductor": (
        forge.zipped({"m/archive_format": b"pt2", "m/data/aotinductor/model/a.so": b"\x7fELF"}),
        Kind.AOTINDUCTOR,
    ),
    "old-pt2": (
        forge.zipped({"version": b"8.1", "serialized_exported_program.json": b"{}"}),
        Kind.OLD_EXPORTED_PROGRAM,
    ),
    "package": (forge.zipped({"p/.data/extern_modules": b"", "p/model/model.pkl": b""}), Kind.TORCH_PACKAGE),
    "zip": (forge.zipped({"readme.txt": b"hello"}), Kind.OTHER_ZIP),
    "cut-zip": (forge.zipped({"readme.txt": b"hello"})[:-5], Kind.TRUNCATED_ZIP),
}


@pytest.mark.parametrize("kind", BYTES)
def test_a_file_is_known_by_its_content(kind: str, tmp_path: Path) -> None:
    data, expected = BYTES[kind]
    path = tmp_path / "model.pt"
    path.write_bytes(data)
    error = refused(path)
    assert path.read_bytes() == data
    if expected is Kind.ONNX:  # it has a loader, which finds that this is only the beginning of one
        assert error.slug in ("damaged-file", "truncated-file")
        assert "ONNX" in error.message
        return
    assert error.message == f"this is {expected.value}"
    assert error.slug == REFUSALS[expected].slug.value
    assert error.hint == REFUSALS[expected].hint


@pytest.mark.filterwarnings("ignore")
def test_real_files_of_other_tools(tmp_path: Path) -> None:
    tensor = torch.zeros(3)
    np.save(tmp_path / "a.npy", np.zeros(3))
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    import_module("joblib").dump({"w": np.zeros(3)}, tmp_path / "a.joblib")
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"w": 1}))
    safetensors.torch.save_file({"w": tensor}, tmp_path / "a.safetensors")
    torch.save(nn.Linear(2, 2), tmp_path / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), tmp_path / "script.pt")
    with tarfile.open(tmp_path / "a.tar", "w") as out:
        out.add(tmp_path / "a.pkl")
    expected = {
        "a.npy": Kind.NUMPY,
        "a.npz": Kind.NUMPY,
        "a.joblib": Kind.JOBLIB,
        "a.pkl": Kind.PLAIN_PICKLE,
        "a.safetensors": Kind.SAFETENSORS,
        "legacy.pt": Kind.LEGACY_TORCH_SAVE,
        "script.pt": Kind.TORCHSCRIPT,
        "a.tar": Kind.TAR,
    }
    for name, kind in expected.items():
        with open_source(str(tmp_path / name)) as source:
            assert sniff(source) is kind, name
        assert refused(tmp_path / name).hint


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (nn.Sequential(nn.Linear(2, 2)).state_dict(), Kind.STATE_DICT),
        (dict(nn.Linear(2, 2).state_dict()), Kind.STATE_DICT),
        ({"state_dict": nn.Linear(2, 2).state_dict(), "epoch": 3}, Kind.CHECKPOINT),
        ({"pytorch-lightning_version": "2.4", "state_dict": {}}, Kind.LIGHTNING),
        (torch.zeros(3), Kind.TENSOR_FILE),
        ([torch.zeros(3), torch.ones(2)], Kind.TENSOR_FILE),
        ({"x": torch.zeros(3), "y": torch.ones(3)}, Kind.TENSOR_FILE),
        (OrderedDict(), Kind.OTHER_TORCH_SAVE),
        (3, Kind.OTHER_TORCH_SAVE),
        ("text", Kind.OTHER_TORCH_SAVE),
        ([], Kind.OTHER_TORCH_SAVE),
    ],
)
def test_what_torch_save_wrote_is_told_apart(content: object, kind: Kind, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "x.pt")
    error = refused(tmp_path / "x.pt")
    assert error.message.startswith(f"this is {kind.value}")
    if kind in (Kind.STATE_DICT, Kind.CHECKPOINT):
        assert error.slug == "needs-architecture"
        assert f"gradcheck diagnose {tmp_path / 'x.pt'} --arch package.module:factory" in error.hint
    else:
        assert error.slug == "not-a-model"


def test_another_pickle_protocol_is_said(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "x.pt", pickle_protocol=4)
    error = refused(tmp_path / "x.pt")
    assert error.message.startswith(f"this is {Kind.FOREIGN_PROTOCOL.value}")
    assert "torch.save it again" in error.hint


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["saved_model.pb"], Kind.TENSORFLOW),
        (["Manifest.json", "Data"], Kind.COREML),
        ([".metadata", "__0_0.distcp"], Kind.DISTRIBUTED),
        ([], Kind.DIRECTORY),
    ],
)
def test_directories(names: list[str], kind: Kind, tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).touch()
    error = refused(tmp_path)
    assert error.message == f"this is {kind.value}"
    assert error.slug == REFUSALS[kind].slug.value


def test_every_kind_has_a_loader_or_a_refusal() -> None:
    loaded = set(LOADERS) | set(DIRECTORY_LOADERS)
    assert set(Kind) == loaded | set(REFUSALS)
    assert not loaded & set(REFUSALS)
    assert all(slug.meaning for slug in Slug)


def test_what_is_no_readable_file(tmp_path: Path) -> None:
    (tmp_path / "empty.pt").touch()
    assert refused(tmp_path / "empty.pt").slug == "empty-file"
    os.mkfifo(tmp_path / "pipe.pt")
    assert refused(tmp_path / "pipe.pt").slug == "not-a-regular-file"
    assert refused("/dev/zero").slug == "not-a-regular-file"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        assert refused(tmp_path / "s").slug == "not-a-regular-file"
    (tmp_path / "link.pt").symlink_to(tmp_path / "nowhere")
    assert refused(tmp_path / "link.pt").slug == "missing-file"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file(tmp_path: Path) -> None:
    (tmp_path / "secret.pt").write_bytes(b"x")
    (tmp_path / "secret.pt").chmod(0)
    assert refused(tmp_path / "secret.pt").slug == "unreadable-file"


def test_an_open_that_fails_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret.pt").write_bytes(b"x")

    def denied(*args: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    error = refused(tmp_path / "secret.pt")
    assert (error.slug, "permission denied" in error.message) == ("unreadable-file", True)


def test_a_missing_file_suggests_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "resnet18.pt").touch()
    error = refused(tmp_path / "resnet81.pt")
    assert (error.slug, "resnet18.pt" in error.hint) == ("missing-file", True)
    assert refused("no/such/place.pt").slug == "missing-file"
    assert refused("a\x00b").slug == "missing-file"
    assert refused("").slug == "missing-file"
    assert refused("x" * 5000).slug in ("missing-file", "unreadable-file")


def test_a_zip_with_a_lying_directory_is_no_crash(tmp_path: Path) -> None:
    whole = bytearray(forge.zipped({"m/data.pkl": b"N.", "m/version": b"3"}))
    end = whole.rindex(b"PK\x05\x06")
    struct.pack_into("<I", whole, end + 16, 0x7FFFFFFF)
    (tmp_path / "x.pt").write_bytes(bytes(whole))
    assert refused(tmp_path / "x.pt").slug in ("truncated-file", "damaged-file", "unsafe-archive")


def test_a_compressed_pickle_is_not_inflated_to_look(tmp_path: Path) -> None:
    bomb = forge.zipped({"m/data.pkl": b"N" * (1 << 24), "m/version": b"3"}, zipfile.ZIP_DEFLATED)
    (tmp_path / "x.pt").write_bytes(bomb)
    assert refused(tmp_path / "x.pt").slug == "unsafe-archive"
