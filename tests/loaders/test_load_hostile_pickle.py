"""Each file here would do something if it were simply opened; each must be refused with nothing done."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import forged_files as forge
import pytest
import torch
from torch import nn

from gradcheck_cli.errors import ModelError
from gradcheck_cli.loaders import load

LINEAR = "torch.nn.modules.linear.Linear"
FLOATS = bytes(16)


def refused(folder: Path, data: bytes, *slugs: str) -> ModelError:
    with pytest.raises(ModelError) as caught:
        load(forge.written(folder, data))
    assert caught.value.slug in slugs, str(caught.value)
    assert str(caught.value).isprintable()
    return caught.value


class _Payload:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return Path.touch, (self.marker,)  # type: ignore[return-value]


def _touch(marker: Path) -> bytes:
    return forge.call("os.system", forge.text(f"touch {marker}"))


PAYLOADS: dict[str, Callable[[bytes], bytes]] = {
    "root-call": lambda call: call,
    "attribute": lambda call: forge.relu(extra=call),
    "state-of-a-module": lambda call: forge.name(LINEAR) + b")\x81" + call + b"b",
    "argument-of-an-allowed-call": lambda call: forge.call("torch.Size", call),
    "persistent-id": lambda call: forge.relu(extra=call + b"Q"),
    "pickle-in-persistent-id": lambda call: forge.relu(
        extra=forge.text((forge.PROTO + call + b".").decode("latin-1")) + b"Q"
    ),
    "storage-key": lambda call: forge.relu(
        extra=forge.items(forge.text("storage"), forge.name("torch.FloatStorage"), call, forge.text("cpu"), b"K\x01")
        + b"Q"
    ),
    "child": lambda call: forge.sequential(a=call),
    "set-item": lambda call: forge.call("builtins.set", forge.listed(call)),
}


@pytest.mark.parametrize("place", PAYLOADS)
def test_a_call_is_found_wherever_it_is(place: str, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    error = refused(tmp_path, forge.archive(PAYLOADS[place](_touch(marker))), "unsafe-pickle")
    assert not marker.exists()
    assert "os.system" in error.message or place == "pickle-in-persistent-id"


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_is_refused_and_nothing_runs(protocol: int, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    plain = pickle.dumps([_Payload(marker)], protocol=protocol)
    refused(tmp_path, plain, "unsupported-format")
    members = {"m/data.pkl": plain, "m/version": b"3\n", "m/byteorder": b"little"}
    error = refused(tmp_path, forge.zipped(members), "unsafe-pickle", "unsupported-format", "not-a-model")
    assert error.hint
    buffer = io.BytesIO()
    torch.save(_Payload(marker), buffer, pickle_protocol=protocol)
    refused(tmp_path, buffer.getvalue(), "unsafe-pickle", "unsupported-format")
    assert not marker.exists()


@pytest.mark.parametrize(
    "call",
    [
        forge.call("builtins.eval", forge.text("1")),
        forge.call("builtins.getattr", forge.name("torch._C._VariableFunctionsClass"), forge.text("from_file")),
        forge.call("builtins.getattr", forge.name("torch._C._VariableFunctionsClass"), forge.text("__class__")),
        forge.call("builtins.getattr", forge.name(LINEAR), forge.text("__init__")),
        forge.call("builtins.bytearray", forge.integer(1 << 33)),
        forge.call("torch.FloatTensor", forge.integer(1 << 31)),
        forge.call("torch.FloatStorage", forge.integer(1 << 31)),
        forge.call(LINEAR, forge.integer(20_000), forge.integer(20_000)),
        forge.call("torch.nn.functional.relu", forge.integer(1)),
        forge.call("collections.Counter", forge.text("aab")),
        forge.call("torch._utils._rebuild_sparse_tensor", forge.NONE, forge.NONE),
        forge.name("torch.nn.parameter.Parameter") + forge.EMPTY_TUPLE + b"\x81",
        forge.name("torch.FloatTensor") + forge.items(forge.integer(1 << 31)) + b"\x81",
    ],
)
def test_allowed_looking_calls_are_refused(call: bytes, tmp_path: Path) -> None:
    refused(tmp_path, forge.archive(forge.relu(extra=call)), "unsafe-pickle", "foreign-class")


def _with(change: str) -> nn.Module:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    relu = nn.functional.relu
    if change == "hook":
        model[0]._forward_hooks[0] = relu
    elif change == "state-dict-hook":
        model._state_dict_hooks[0] = relu
    elif change == "shadowed-forward":
        vars(model[1])["forward"] = relu
    elif change == "shadowed-call":
        vars(model[1])["_call_impl"] = 3
    elif change == "dunder":
        vars(model[1])["__dict__"] = {}
    elif change == "function-attribute":
        vars(model[1])["helper"] = relu
    elif change == "class-attribute":
        vars(model[1])["helper"] = nn.Linear
    elif change == "module-outside-modules":
        vars(model[1])["hidden"] = [nn.Linear(2, 2)]
    elif change == "child-no-module":
        model._modules["2"] = OrderedDict()  # type: ignore[assignment]
    elif change == "parameter-no-parameter":
        model[0]._parameters["weight"] = torch.ones(2, 2)  # type: ignore[assignment]
    elif change == "buffer-no-tensor":
        model[0]._buffers["b"] = [1]  # type: ignore[assignment]
    elif change == "child-name":
        model._modules["a.b"] = nn.ReLU()
    elif change == "cycle":
        model._modules["2"] = model
    return model


CHANGES = [
    *("hook", "state-dict-hook", "shadowed-forward", "shadowed-call", "dunder", "function-attribute"),
    *("class-attribute", "module-outside-modules", "child-no-module", "parameter-no-parameter", "buffer-no-tensor"),
    *("child-name", "cycle"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_module_that_is_not_only_data_is_refused(change: str, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save(_with(change), buffer)
    refused(tmp_path, buffer.getvalue(), "unsafe-pickle")


@pytest.mark.parametrize("attribute", ["_compiled_call_impl", "forward", "__call__", "extra"])
def test_a_function_as_an_attribute_is_refused(attribute: str, tmp_path: Path) -> None:
    model = forge.relu(**{attribute: forge.name("torch.nn.functional.relu")})
    refused(tmp_path, forge.archive(model), "unsafe-pickle")


def test_hooks_on_parameters_and_tensors_are_refused(tmp_path: Path) -> None:
    hooks = forge.ordered({"0": forge.name("torch.nn.functional.relu")})
    plain = forge.tensor("0", [2, 2], [2, 1], numel=4)
    honest = forge.module(LINEAR, _parameters=forge.mapping({"weight": forge.parameter(plain)}))
    path = forge.written(tmp_path, forge.archive(honest, {"0": FLOATS}), "honest.pt")
    assert load(path).module.weight.shape == (2, 2)
    hooked = [
        forge.parameter(plain, hooks),
        forge.parameter(forge.tensor("0", [2, 2], [2, 1], numel=4, hooks=hooks)),
        forge.parameter(plain, forge.listed(forge.name("torch.nn.functional.relu"))),
    ]
    for weight in hooked:
        model = forge.module(LINEAR, _parameters=forge.mapping({"weight": weight}))
        refused(tmp_path, forge.archive(model, {"0": FLOATS}), "unsafe-pickle")


@pytest.mark.parametrize(
    ("tensor", "slug"),
    [
        (forge.tensor("0", [10**8, 10**7], [0, 0], numel=4), "unsafe-pickle"),
        (forge.tensor("0", [2, 2], [4, 1], numel=4), "unsafe-pickle"),
        (forge.tensor("0", [2, 2], [2, 1], numel=4, offset=1), "unsafe-pickle"),
        (forge.tensor("0", [2, 2], [2, 1], numel=5), "damaged-file"),
        (forge.tensor("1", [2, 2], [2, 1], numel=4), "damaged-file"),
        (forge.tensor("0", [2, 2], [2], numel=4), "unsafe-pickle"),
        (forge.tensor("0", [-2, 2], [2, 1], numel=4), "unsafe-pickle"),
        (forge.tensor("0", [1 << 63, 0], [1, 1], numel=4), "unsafe-pickle"),
    ],
)
def test_a_tensor_must_fit_its_storage(tensor: bytes, slug: str, tmp_path: Path) -> None:
    model = forge.module(LINEAR, _parameters=forge.mapping({"weight": forge.parameter(tensor)}))
    refused(tmp_path, forge.archive(model, {"0": FLOATS}), slug)


def test_many_views_of_one_storage_are_refused(tmp_path: Path) -> None:
    view = forge.parameter(forge.tensor("0", [1000], [1], numel=1000))
    model = forge.module(LINEAR, _parameters=forge.mapping({f"w{index}": view for index in range(100)}))
    refused(tmp_path, forge.archive(model, {"0": bytes(4000)}), "unsafe-pickle")


def _shared_tuples(levels: int) -> bytes:
    made = b")"
    for _ in range(levels):
        made += b"q\x00h\x00\x86"
    return made


BOMBS = {
    "shared-60-fold": forge.relu(extra=_shared_tuples(60)),
    "shared-60-fold-as-key": forge.relu(extra=b"}" + _shared_tuples(60) + b"K\x01s"),
    "million-nested": forge.relu(extra=b")" + b"\x85" * 1_000_000),
    "million-nested-as-key": forge.relu(extra=b"}" + b")" + b"\x85" * 1_000_000 + b"K\x01s"),
    "million-nested-lists": forge.relu(extra=b"]" * 500_000 + b"a" * 499_999),
    "opcodes": forge.relu(extra=b"](" + b"N" * 3_000_000 + b"e"),
    "bytearray": forge.call("builtins.bytearray", forge.integer(1 << 34)),
    "float-tensor": forge.call("torch.FloatTensor", forge.integer(1 << 32)),
    "linear": forge.call(LINEAR, forge.integer(1 << 16), forge.integer(1 << 16)),
    "huge-string": b"X" + b"\xff\xff\xff\x7f" + b"a",
    "nested-modules": b"".join(
        forge.name("torch.nn.modules.container.Sequential")
        + b")\x81}("
        + b"".join(
            [
                forge.text("_parameters"),
                b"}",
                forge.text("_buffers"),
                b"}",
                forge.text("_modules"),
                b"}",
                forge.text("0"),
            ]
        )
        for _ in range(2000)
    )
    + forge.relu()
    + b"sub" * 2000,
}

_BOUNDED = """
import resource, sys
import torch
from gradcheck_cli.errors import ModelError
from gradcheck_cli.loaders import load
torch.nn.Linear(2, 2)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
for path in sys.argv[1:]:
    try:
        load(path)
        print("loaded", path)
    except ModelError as error:
        print(error.slug)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_bombs_are_refused_in_bounded_memory(tmp_path: Path) -> None:
    paths = [forge.written(tmp_path, forge.archive(bomb), f"{kind}.pt") for kind, bomb in BOMBS.items()]
    answer = subprocess.run([sys.executable, "-c", _BOUNDED, *paths], capture_output=True, text=True, check=True)
    *slugs, grown = answer.stdout.split()
    assert set(slugs) <= {"unsafe-pickle", "foreign-class"}, answer.stdout
    assert len(slugs) == len(BOMBS)
    assert int(grown) < 200, "MiB"


# --------------------------------------------------------------------------------------------------------- archives


@pytest.fixture
def honest(tmp_path: Path) -> bytes:
    torch.save(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)), tmp_path / "honest.pt")
    return (tmp_path / "honest.pt").read_bytes()


def test_a_cut_file_is_said_to_be_cut(honest: bytes, tmp_path: Path) -> None:
    for part in range(1, 21):
        cut = honest[: len(honest) * part // 21]
        refused(tmp_path, cut, "truncated-file")
    refused(tmp_path, honest[:-1], "truncated-file")
    refused(tmp_path, b"PK", "not-a-model")


def test_a_flipped_bit_in_the_weights_is_found(honest: bytes, tmp_path: Path) -> None:
    members = forge.unzipped(tmp_path / "honest.pt")
    weights = [data for member, data in members.items() if "/data/" in member]
    assert len(weights) == 4
    for data in weights:
        at = honest.index(data)
        for position in (at, at + len(data) - 1):
            flipped = bytearray(honest)
            flipped[position] ^= 0x10
            refused(tmp_path, bytes(flipped), "damaged-file")


def test_a_compressed_archive_is_refused(honest: bytes, tmp_path: Path) -> None:
    members = {**forge.unzipped(tmp_path / "honest.pt"), "honest/data/9": bytes(1 << 24)}
    bomb = forge.zipped(members, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 1 << 18
    refused(tmp_path, bomb, "unsafe-archive")


@pytest.mark.parametrize(
    "member",
    ["honest/../x", "/etc/x", "honest//x", "honest\\x", "other/version", "plain", "honest/data/evil", "honest/x.so.1"],
)
def test_members_with_odd_names_are_refused(honest: bytes, member: str, tmp_path: Path) -> None:
    members = forge.unzipped(tmp_path / "honest.pt")
    assert load(forge.written(tmp_path, forge.zipped(members))).module is not None
    refused(tmp_path, forge.zipped({**members, member: b"1"}), "unsafe-archive")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicate_members_and_hidden_bytes_are_refused(honest: bytes, tmp_path: Path) -> None:
    buffer = io.BytesIO(honest)
    with zipfile.ZipFile(buffer, "a") as out:
        out.writestr("honest/data/0", bytes(64))
    refused(tmp_path, buffer.getvalue(), "unsafe-archive")
    with zipfile.ZipFile(buffer := io.BytesIO(honest), "a") as out:
        out.comment = b"hello"
    refused(tmp_path, buffer.getvalue(), "unsafe-archive")
    refused(tmp_path, honest + honest, "unsafe-archive", "damaged-file", "truncated-file")


def test_hostile_names_are_escaped(tmp_path: Path) -> None:
    evil = forge.archive(forge.module("evil\x1b[31m.Net"))
    error = refused(tmp_path, evil, "foreign-class")
    assert "\\x1b" in error.message
