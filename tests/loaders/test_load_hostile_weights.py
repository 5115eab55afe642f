"""Weights from strangers: headers that lie, indexes that lead elsewhere, checkpoints that would run code."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forged_files as forge
import pytest
import safetensors.torch
import torch
from torch import nn

from gradcheck_cli.errors import GradcheckError
from gradcheck_cli.loaders import inspect, load

HERE = "test_load_hostile_weights"


def linear() -> nn.Module:
    return nn.Linear(2, 2)


def refused(path: str, *slugs: str) -> GradcheckError:
    for arch in (None, f"{HERE}:linear"):
        with pytest.raises(GradcheckError) as caught:
            load(path, arch=arch)
        assert caught.value.slug in slugs, str(caught.value)
        assert str(caught.value).isprintable()
    return caught.value


# ------------------------------------------------------------------------------------------------------- safetensors

HONEST = {
    "weight": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
    "bias": {"dtype": "F32", "shape": [2], "data_offsets": [16, 24]},
}


def tensors(header: object, data: bytes = bytes(24), *, length: int | None = None) -> bytes:
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


@pytest.mark.parametrize("kind", HEADERS)
def test_a_header_that_lies_is_refused(kind: str, tmp_path: Path) -> None:
    path = forge.written(tmp_path, HEADERS[kind], "x.safetensors")
    refused(path, "damaged-file", "truncated-file", "not-a-model")


def test_the_honest_one_is_read(tmp_path: Path) -> None:
    path = forge.written(tmp_path, tensors({**HONEST, "__metadata__": {"format": "pt"}}), "x.safetensors")
    assert load(path, arch=f"{HERE}:linear").module.get_parameter("weight").sum() == 0
    hostile = tensors({"a\x1b[31m": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}, b"x")
    assert "\\x1b" in refused(forge.written(tmp_path, hostile), "needs-architecture", "weights-do-not-fit").message


def test_a_header_over_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with path.open("wb") as out:
        out.write(struct.pack("<Q", 1 << 33) + b"{")
        out.truncate(9 << 30)  # sparse: takes no room
    assert "over the limit" in refused(str(path), "damaged-file").message


# ------------------------------------------------------------------------------------------------------------- indexes


def index(folder: Path, table: object, **files: dict[str, torch.Tensor]) -> str:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        safetensors.torch.save_file(content, folder / f"{name}.safetensors")
    (folder / "x.index.json").write_text(json.dumps({"weight_map": table}))
    return str(folder / "x.index.json")


@pytest.mark.parametrize(
    "name",
    [
        "../a.safetensors",
        "/etc/passwd",
        "sub/a.safetensors",
        "..",
        ".",
        "",
        "a\\b",
        "a\x00b",
        "sub/../../a.safetensors",
    ],
)
def test_an_index_leads_nowhere_else(name: str, tmp_path: Path) -> None:
    safetensors.torch.save_file({"weight": torch.zeros(2, 2)}, tmp_path / "a.safetensors")
    (tmp_path / "in" / "sub").mkdir(parents=True)
    refused(index(tmp_path / "in", {"weight": name}), "unsafe-path")


def test_a_link_leads_only_into_its_own_cache(tmp_path: Path) -> None:
    content = {"weight": torch.ones(2, 2), "bias": torch.ones(2)}
    safetensors.torch.save_file(content, tmp_path / "secret.safetensors")
    path = index(tmp_path / "in", dict.fromkeys(content, "a.safetensors"))
    (tmp_path / "in" / "a.safetensors").symlink_to(tmp_path / "secret.safetensors")
    refused(path, "unsafe-path")
    (tmp_path / "in" / "a.safetensors").unlink()
    (tmp_path / "in" / "a.safetensors").symlink_to(tmp_path / "in" / "nothing")
    refused(path, "missing-file")
    # As the cache of the Hugging Face hub lies on disk.
    snapshot = tmp_path / "models--a--b" / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    (tmp_path / "models--a--b" / "blobs").mkdir()
    safetensors.torch.save_file(content, tmp_path / "models--a--b" / "blobs" / "abc")
    path = index(snapshot, dict.fromkeys(content, "a.safetensors"))
    (snapshot / "a.safetensors").symlink_to("../../blobs/abc")
    assert load(path, arch=f"{HERE}:linear").module.get_parameter("weight").sum() == 4


@pytest.mark.parametrize(
    ("table", "slug"),
    [
        ({"weight": "b.safetensors"}, "damaged-file"),
        ({"weight": "nope.safetensors"}, "missing-file"),
        ({"weight": 1}, "damaged-file"),
        ({}, "damaged-file"),
        ([], "damaged-file"),
        ({str(number): f"{number}.safetensors" for number in range(3000)}, "damaged-file"),
        ({"weight": "x.index.json"}, "not-a-model"),
        ({"weight": "pipe"}, "not-a-regular-file"),
    ],
)
def test_an_index_that_lies_is_refused(table: object, slug: str, tmp_path: Path) -> None:
    path = index(tmp_path / "in", table, a={"weight": torch.zeros(2, 2)}, b={"bias": torch.zeros(2)})
    os.mkfifo(tmp_path / "in" / "pipe")
    refused(path, slug)


def test_several_indexes_in_a_folder_are_not_guessed_between(tmp_path: Path) -> None:
    for name in ("a.index.json", "b.index.json"):
        (tmp_path / name).write_text('{"weight_map": {"a": "b"}}')
    assert "a.index.json, b.index.json" in refused(str(tmp_path), "not-a-model").message


# --------------------------------------------------------------------------------------------------- code in pickles


class Payload:
    """Leaves a marker if it is ever unpickled by Python."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


PLACES: dict[str, Callable[[object, dict[str, torch.Tensor]], object]] = {
    "beside": lambda evil, state: {"state_dict": state, "hyper_parameters": evil},
    "in-it": lambda evil, state: {"state_dict": {**state, "evil": evil}},
    "first": lambda evil, state: {"evil": evil, "state_dict": state},
    "nested": lambda evil, state: {"state_dict": state, "a": [{"b": (evil, {evil.__class__: evil})}]},
    "lightning": lambda evil, state: {
        "pytorch-lightning_version": "2.5",
        "state_dict": state,
        "callbacks": {"x": evil},
    },
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("options", [{}, {"pickle_protocol": 4}, {"_use_new_zipfile_serialization": False}])
def test_code_beside_weights_is_passed_by(place: str, options: dict[str, Any], tmp_path: Path) -> None:
    state = nn.Linear(2, 2).state_dict()
    torch.save(PLACES[place](Payload(tmp_path / "marker"), dict(state)), tmp_path / "x.ckpt", **options)
    path = str(tmp_path / "x.ckpt")
    with pytest.raises(GradcheckError) as caught:
        load(path)
    assert caught.value.slug == "needs-architecture"
    assert any("touch" in name or "Path" in name for name in inspect(path).code)
    loaded = load(path, arch=f"{HERE}:linear").module
    assert torch.equal(loaded.get_parameter("weight"), state["weight"])
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("legacy", [True, False])
def test_only_code_is_refused(legacy: bool, tmp_path: Path) -> None:
    torch.save(Payload(tmp_path / "marker"), tmp_path / "x.pt", _use_new_zipfile_serialization=not legacy)
    refused(str(tmp_path / "x.pt"), "unsafe-pickle", "not-a-model", "needless-arch")
    assert not (tmp_path / "marker").exists()


def zipped(root: bytes, storages: dict[str, bytes] | None = None) -> bytes:
    return forge.archive(forge.mapping({"state_dict": root, "epoch": b"K\x01"}), storages)


WEIGHT = forge.tensor("0", [2, 2], [2, 1], numel=4)
LYING: dict[str, bytes] = {
    "beyond": forge.tensor("0", [4, 4], [4, 1], numel=16),
    "offset": forge.tensor("0", [2, 2], [2, 1], numel=4, offset=1),
    "far-stride": forge.tensor("0", [2, 2], [1 << 40, 1], numel=4),
    "no-storage": forge.tensor("7", [2, 2], [2, 1], numel=4),
    "negative": forge.tensor("0", [-2, 2], [2, 1], numel=4),
    "ranks": forge.tensor("0", [2, 2], [2], numel=4),
    "huge-and-empty": forge.tensor("0", [1 << 62, 0], [1, 1], numel=4),
}


@pytest.mark.parametrize("kind", LYING)
def test_a_tensor_beyond_its_storage_is_no_weight(kind: str, tmp_path: Path) -> None:
    content = forge.mapping({"weight": LYING[kind], "bias": forge.tensor("1", [2], [1], numel=2)})
    path = forge.written(tmp_path, zipped(content, {"0": bytes(16), "1": bytes(8)}))
    with pytest.raises(GradcheckError) as caught:
        load(path, arch=f"{HERE}:linear")
    assert caught.value.slug == "weights-do-not-fit"


def test_an_expanded_tensor_takes_no_room_until_it_fits(tmp_path: Path) -> None:
    content = forge.mapping({"weight": forge.tensor("0", [10**8, 10**7], [0, 0], numel=4)})
    path = forge.written(tmp_path, zipped(content, {"0": bytes(16)}))
    refused(path, "needs-architecture", "weights-do-not-fit")
    assert inspect(path).parameters == 10**15


def test_hooks_in_a_state_dict_are_not_kept(tmp_path: Path) -> None:
    hooks = forge.ordered({"0": forge.name("torch.nn.functional.relu")})
    weight = forge.parameter(WEIGHT, hooks)
    content = forge.mapping({"weight": weight, "bias": forge.tensor("1", [2], [1], numel=2, hooks=hooks)})
    path = forge.written(tmp_path, zipped(content, {"0": bytes(16), "1": bytes(8)}))
    module = load(path, arch=f"{HERE}:linear").module
    assert all(not parameter._backward_hooks for parameter in module.parameters())


def _shared_modules(levels: int) -> bytes:
    """Each module holds the next one twice: 2^levels paths."""
    made = forge.module("a.B")
    for level in range(levels):
        slot = bytes([level])
        made += b"q" + slot
        made = (
            forge.name("a.B")
            + b")\x81}("
            + b"".join([forge.text("_parameters"), b"}", forge.text("_buffers"), b"}", forge.text("_modules"), b"}("])
            + forge.text("x")
            + made
            + forge.text("y")
            + b"h"
            + slot
            + b"uub"
        )
    return made


def _cyclic_module() -> bytes:
    return (
        forge.name("a.B") + b")\x81q\x00}(" + forge.text("_parameters") + forge.mapping({"w": WEIGHT})
        + forge.text("_buffers") + b"}" + forge.text("_modules") + b"}(" + forge.text("me") + b"h\x00uub"
    )  # fmt: skip


BOMBS: dict[str, bytes] = {
    "shared-modules": _shared_modules(60),
    "million-nested": b")" + b"\x85" * 1_000_000,
    "opcodes": b"](" + b"N" * 3_000_000 + b"e",
    "million-dicts": b"](" + b"}" * 1_000_000 + b"e",
    "huge-string": b"X\xff\xff\xff\x7fa",
    "frames": b"\x95\xff\xff\xff\xff\xff\xff\xff\x7f" + b"N",
    "bytearray": b"\x96\xff\xff\xff\xff\x00\x00\x00\x00" + b"N",
    "dup": b"N" + b"2" * 1_500_000,
}
_BOUNDED = """
import resource, sys
from gradcheck_cli.errors import GradcheckError
from gradcheck_cli.loaders import inspect, load
import gradcheck_cli.loaders.weights.load
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
for path in sys.argv[1:]:
    try:
        (inspect if "shared" in path else load)(path)
        print("opened", path)
    except GradcheckError as error:
        print(error.slug)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_bombs_are_refused_in_bounded_memory(tmp_path: Path) -> None:
    paths = []
    for kind, bomb in BOMBS.items():
        content = forge.mapping({"a": bomb, "lr": forge.call("foreign.f")})
        members = {"m/data.pkl": b"\x80\x04" + content + b".", "m/version": b"3\n", "m/byteorder": b"little"}
        paths.append(forge.written(tmp_path, forge.zipped(members), f"{kind}.pt"))
    answer = subprocess.run([sys.executable, "-c", _BOUNDED, *paths], capture_output=True, text=True, check=True)
    *slugs, grown = answer.stdout.split()
    assert set(slugs) <= {"unsafe-pickle", "damaged-file"}, answer.stdout
    assert len(slugs) == len(BOMBS)
    assert int(grown) < 300, "MiB"


def test_a_module_inside_itself_ends(tmp_path: Path) -> None:
    path = forge.written(tmp_path, forge.archive(_cyclic_module(), {"0": bytes(16)}))
    facts = inspect(path)
    assert [tensor.name for tensor in facts.tensors] == ["w"]
    refused(path, "foreign-class", "weights-do-not-fit")


# ------------------------------------------------------------------------------------------------------ old torch.save


def old(*, version: int = 1001, keys: object = None, lengths: tuple[int, ...] = (4,), data: bytes = bytes(16)) -> bytes:
    """An old file with one tensor of four floats, in which something may be wrong."""
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


def test_the_old_format_must_hold_what_it_says(tmp_path: Path) -> None:
    honest = old()
    path = forge.written(tmp_path, honest)
    with pytest.raises(GradcheckError) as caught:
        load(path)
    assert caught.value.slug == "needs-architecture"
    assert "weight" in caught.value.message
    for broken, slugs in {
        old(lengths=(1 << 40,)): {"truncated-file"},
        old(lengths=(-1,)): {"truncated-file"},
        old(data=bytes(15)): {"truncated-file"},
        old(lengths=(), data=b""): {"truncated-file"},
        old(version=7): {"unsupported-format"},
        old(keys={"a": 1}): {"not-a-model"},
        old(keys=["other"]): {"not-a-model"},
    }.items():
        refused(forge.written(tmp_path, broken), *slugs)


def test_a_cut_old_file_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "x.pt", _use_new_zipfile_serialization=False)
    whole = (tmp_path / "x.pt").read_bytes()
    for part in range(1, 24):
        cut = whole[: len(whole) * part // 24]
        refused(forge.written(tmp_path, cut), "truncated-file", "unsafe-pickle", "not-a-model", "unsupported-format")


# ------------------------------------------------------------------------------------- files that change while read


@pytest.mark.parametrize("form", ["pt", "safetensors"])
@pytest.mark.parametrize("change", ["cut", "written"])
def test_a_file_that_changes_while_it_is_read_is_refused(form: str, change: str, tmp_path: Path) -> None:
    state = nn.Linear(2, 2).state_dict()
    path = tmp_path / f"x.{form}"
    torch.save(state, path) if form == "pt" else safetensors.torch.save_file(state, path)
    os.environ["HOSTILE"] = f"{change}:{path}"
    with pytest.raises(GradcheckError) as caught:
        load(str(path), arch=f"{HERE}:changing")
    assert caught.value.slug in ("damaged-file", "truncated-file")


def changing() -> nn.Module:
    """The architecture is built after the file was looked at, and before its values are read."""
    change, _, path = os.environ["HOSTILE"].partition(":")
    if change == "cut":
        os.truncate(path, 30)
    else:
        os.utime(path, ns=(1, 1))
    return linear()
