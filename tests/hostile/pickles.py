"""Pickles that would do more than build a network of torch.nn classes."""

from __future__ import annotations

import dataclasses
import functools
import pickle
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import forged_files as forge
import torch
from torch import nn

from hostile import honest
from hostile.case import LINEAR, Case, of_model

LAYER = "torch.nn.modules.linear.Linear"
FLOATS = bytes(16)


class Payload:
    """Leaves the marker if it is ever unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


def touch(marker: Path) -> bytes:
    return forge.call("os.system", forge.text(f"touch {marker}"))


def stack_global(module: str, name: str) -> bytes:
    return b"".join(b"\x8c" + bytes([len(part)]) + part.encode() for part in (module, name)) + b"\x93"


PLACES: dict[str, Callable[[bytes], bytes]] = {
    "root-call": lambda call: call,
    "attribute": lambda call: forge.relu(extra=call),
    "state-of-a-module": lambda call: forge.name(LAYER) + b")\x81" + call + b"b",
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
    "dict-key": lambda call: forge.relu(extra=b"}" + call + b"K\x01s"),
    "popped": lambda call: call + b"0" + forge.relu(),
    "before-the-end": lambda call: forge.relu() + b"." + forge.PROTO + call,
    "memoised": lambda call: call + b"q\x000" + forge.relu(extra=b"h\x00"),
}
"""Where in a pickle a call can hide."""

ALLOWED_LOOKING: dict[str, bytes] = {
    "eval": forge.call("builtins.eval", forge.text("1")),
    "getattr": forge.call("builtins.getattr", forge.name("torch._C._VariableFunctionsClass"), forge.text("from_file")),
    "getattr-class": forge.call(
        "builtins.getattr", forge.name("torch._C._VariableFunctionsClass"), forge.text("__class__")
    ),
    "getattr-init": forge.call("builtins.getattr", forge.name(LAYER), forge.text("__init__")),
    "bytearray": forge.call("builtins.bytearray", forge.integer(1 << 33)),
    "float-tensor": forge.call("torch.FloatTensor", forge.integer(1 << 31)),
    "float-storage": forge.call("torch.FloatStorage", forge.integer(1 << 31)),
    "linear": forge.call(LAYER, forge.integer(20_000), forge.integer(20_000)),
    "relu": forge.call("torch.nn.functional.relu", forge.integer(1)),
    "counter": forge.call("collections.Counter", forge.text("aab")),
    "sparse": forge.call("torch._utils._rebuild_sparse_tensor", forge.NONE, forge.NONE),
    "parameter-new": forge.name("torch.nn.parameter.Parameter") + forge.EMPTY_TUPLE + b"\x81",
    "float-tensor-new": forge.name("torch.FloatTensor") + forge.items(forge.integer(1 << 31)) + b"\x81",
    "torch-load": forge.call("torch.load", forge.text("x.pt")),
    "torch-hub": forge.call("torch.hub.load", forge.text("x"), forge.text("y")),
    "jit-load": forge.call("torch.jit.load", forge.text("x")),
    "load-library": forge.call("torch.ops.load_library", forge.text("./x.so")),
}
"""Names of torch, or harmless to a hasty eye."""


def changed_module(change: str) -> nn.Module:
    """A network of torch.nn in which one thing is not only data."""
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    state, relu = vars(model[1]), nn.functional.relu
    if change in _HOOKS:
        vars(model[0])[change][0] = relu
    elif change in _ATTRIBUTES:
        state[change] = _ATTRIBUTES[change]
    elif change == "helper":
        state["helper"] = relu
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
    elif change == "no-mode":
        del state["training"]
    else:
        raise ValueError(change)
    return model


_HOOKS = (
    *("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks", "_state_dict_hooks"),
    *("_state_dict_pre_hooks", "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks"),
)
_ATTRIBUTES: dict[str, object] = {
    **dict.fromkeys(("forward", "parameters", "named_modules"), nn.functional.relu),
    **dict.fromkeys(("_call_impl", "register_forward_hook", "train"), 3),
    **{
        "training": "yes",
        "__dict__": {},
        "__class__": nn.Linear,
        "class-as-attribute": nn.Linear,
        "hidden": [nn.Linear(2, 2)],
    },
}
CHANGES = (
    *(*_HOOKS, *_ATTRIBUTES, "helper", "child-no-module", "parameter-no-parameter", "buffer-no-tensor"),
    *("child-name", "cycle", "no-mode"),
)


def linear_with(weight: bytes) -> bytes:
    return forge.module(LAYER, _parameters=forge.mapping({"weight": weight}))


def _hooked() -> dict[str, bytes]:
    relu = forge.name("torch.nn.functional.relu")
    hooks = forge.ordered({"0": relu})
    plain = forge.tensor("0", [2, 2], [2, 1], numel=4)
    return {
        "parameter-hooks": linear_with(forge.parameter(plain, hooks)),
        "tensor-hooks": linear_with(forge.parameter(forge.tensor("0", [2, 2], [2, 1], numel=4, hooks=hooks))),
        "hooks-in-a-list": linear_with(forge.parameter(plain, forge.listed(relu))),
    }


TENSORS: dict[str, tuple[bytes, str]] = {
    "expanded": (forge.tensor("0", [10**8, 10**7], [0, 0], numel=4), "unsafe-pickle"),
    "stride-beyond": (forge.tensor("0", [2, 2], [4, 1], numel=4), "unsafe-pickle"),
    "offset-beyond": (forge.tensor("0", [2, 2], [2, 1], numel=4, offset=1), "unsafe-pickle"),
    "storage-larger": (forge.tensor("0", [2, 2], [2, 1], numel=5), "damaged-file"),
    "storage-missing": (forge.tensor("1", [2, 2], [2, 1], numel=4), "damaged-file"),
    "ranks": (forge.tensor("0", [2, 2], [2], numel=4), "unsafe-pickle"),
    "negative": (forge.tensor("0", [-2, 2], [2, 1], numel=4), "unsafe-pickle"),
    "overflow": (forge.tensor("0", [1 << 63, 0], [1, 1], numel=4), "unsafe-pickle"),
}
"""Tensors that do not fit their storage of four floats, and the slug."""


def shared_tuples(levels: int) -> bytes:
    """A tuple that holds the one before twice: 2^levels leaves in a few bytes."""
    return b")" + b"q\x00h\x00\x86" * levels


def _nested_modules(levels: int) -> bytes:
    parts = [forge.text("_parameters"), b"}", forge.text("_buffers"), b"}", forge.text("_modules"), b"}"]
    level = forge.name("torch.nn.modules.container.Sequential") + b")\x81}(" + b"".join([*parts, forge.text("0")])
    return level * levels + forge.relu() + b"sub" * levels


MODULE_BOMBS: dict[str, bytes] = {
    "shared-60-fold": forge.relu(extra=shared_tuples(60)),
    "shared-60-fold-as-key": forge.relu(extra=b"}" + shared_tuples(60) + b"K\x01s"),
    "million-nested": forge.relu(extra=b")" + b"\x85" * 1_000_000),
    "million-nested-as-key": forge.relu(extra=b"}" + b")" + b"\x85" * 1_000_000 + b"K\x01s"),
    "million-nested-lists": forge.relu(extra=b"]" * 500_000 + b"a" * 499_999),
    "opcodes": forge.relu(extra=b"](" + b"N" * 3_000_000 + b"e"),
    "bytearray": forge.call("builtins.bytearray", forge.integer(1 << 34)),
    "float-tensor": forge.call("torch.FloatTensor", forge.integer(1 << 32)),
    "linear": forge.call(LAYER, forge.integer(1 << 16), forge.integer(1 << 16)),
    "embedding": forge.call("torch.nn.modules.sparse.Embedding", forge.integer(1 << 22), forge.integer(1 << 10)),
    "huge-string": b"X" + b"\xff\xff\xff\x7f" + b"a",
    "huge-integer": forge.relu(extra=b"\x8b\xff\xff\xff\x7f" + b"1"),
    "memo": forge.relu(extra=b"Nr\xff\xff\xff\x7f"),
    "nested-modules": _nested_modules(2000),
}
"""Pickles of modules that cost far more than their bytes."""


def _shared_modules(levels: int) -> bytes:
    """Each module holds the next one twice: 2^levels paths."""
    parts = [
        forge.text("_parameters"),
        b"}",
        forge.text("_buffers"),
        b"}",
        forge.text("_modules"),
        b"}(",
        forge.text("x"),
    ]
    made = forge.module("a.B")
    for level in range(levels):
        slot = bytes([level])
        made = (
            forge.name("a.B")
            + b")\x81}("
            + b"".join(parts)
            + made
            + b"q"
            + slot
            + forge.text("y")
            + b"h"
            + slot
            + b"uub"
        )
    return made


CHECKPOINT_BOMBS: dict[str, bytes] = {
    "shared-modules": _shared_modules(60),
    "million-nested": b")" + b"\x85" * 1_000_000,
    "opcodes": b"](" + b"N" * 3_000_000 + b"e",
    "million-dicts": b"](" + b"}" * 1_000_000 + b"e",
    "huge-string": b"X\xff\xff\xff\x7fa",
    "frames": b"\x95\xff\xff\xff\xff\xff\xff\xff\x7f" + b"N",
    "bytearray": b"\x96\xff\xff\xff\xff\x00\x00\x00\x00" + b"N",
    "dup": b"N" + b"2" * 1_500_000,
}
"""The same in a checkpoint, where objects of any class may lie beside the weights."""


def checkpoint_with(bomb: bytes) -> bytes:
    content = forge.mapping({"a": bomb, "lr": forge.call("foreign.f")})
    members = {"m/data.pkl": b"\x80\x04" + content + b".", "m/version": b"3\n", "m/byteorder": b"little"}
    return forge.zipped(members)


BESIDE_WEIGHTS: dict[str, Callable[[object, dict[str, torch.Tensor]], object]] = {
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
"""Checkpoints with code in them and honest weights, which are read without it."""
WAYS_OF_SAVING: dict[str, dict[str, Any]] = {
    "zip": {},
    "protocol-4": {"pickle_protocol": 4},
    "legacy": {"_use_new_zipfile_serialization": False},
}


def cases() -> Iterator[Case]:
    yield from _calls()
    yield from _protocols()
    for change in CHANGES:
        yield of_model("module-state", change, honest.saved(changed_module(change)), "unsafe-pickle")
    for attribute in ("_compiled_call_impl", "forward", "__call__", "__setstate__", "extra"):
        model = forge.relu(**{attribute: forge.name("torch.nn.functional.relu")})
        yield of_model("module-state", f"forged-{attribute}", forge.archive(model), "unsafe-pickle")
    for name, model in _hooked().items():
        yield of_model("module-state", name, forge.archive(model, {"0": FLOATS}), "unsafe-pickle")
    for name, (tensor, slug) in TENSORS.items():
        yield of_model("tensors", name, forge.archive(linear_with(forge.parameter(tensor)), {"0": FLOATS}), slug)
    view = forge.parameter(forge.tensor("0", [1000], [1], numel=1000))
    model = forge.module(LAYER, _parameters=forge.mapping({f"w{index}": view for index in range(100)}))
    yield of_model("tensors", "many-views", forge.archive(model, {"0": bytes(4000)}), "unsafe-pickle")
    for name, bomb in MODULE_BOMBS.items():
        yield of_model("pickle-bombs", f"module-{name}", forge.archive(bomb), "unsafe-pickle", "foreign-class")
    for name, bomb in CHECKPOINT_BOMBS.items():
        content = checkpoint_with(bomb)
        slugs = ("unsafe-pickle", "damaged-file", "foreign-class", "needless-arch", "not-a-model", "needs-architecture")
        yield of_model("pickle-bombs", f"checkpoint-{name}", content, *slugs, options=LINEAR)
        yield of_model("pickle-bombs", f"plain-{name}", b"\x80\x04" + bomb + b".", "unsupported-format")
    yield from _beside_weights()


def _calling(put: Callable[[bytes], bytes], marker: Path) -> bytes:
    return forge.archive(put(touch(marker)))


def _calls() -> Iterator[Case]:
    for place, put in PLACES.items():
        yield of_model("pickle-calls", place, functools.partial(_calling, put))
    for name, call in ALLOWED_LOOKING.items():
        yield of_model("pickle-calls", name, forge.archive(forge.relu(extra=call)), "unsafe-pickle", "foreign-class")
    yield of_model(
        "pickle-calls",
        "stack-global",
        lambda marker: forge.zipped(
            {
                "m/data.pkl": b"\x80\x04"
                + stack_global("os", "system")
                + forge.items(forge.text(f"touch {marker}"))
                + b"R.",
                "m/version": b"3\n",
            }
        ),
    )
    yield of_model(
        "pickle-calls", "old-instance", lambda marker: b"(S'touch %s'\nios\nsystem\n." % str(marker).encode()
    )
    for opcode, name in (
        (b"\x82\x01", "extension-1"),
        (b"\x83\x01\x00", "extension-2"),
        (b"P0\n", "text-persistent-id"),
    ):
        yield of_model("pickle-calls", name, forge.archive(forge.relu(extra=opcode)), "unsafe-pickle")
    for name in ("x.safetensors", "x.onnx", "x.png", "x.npy", "x", "x.pt2", "x.gguf", "model.PT"):
        yield of_model(
            "pickle-calls", f"named-{name}", functools.partial(_calling, bytes), "unsafe-pickle", filename=name
        )


def _pickled(protocol: int, marker: Path) -> bytes:
    return pickle.dumps([Payload(marker)], protocol=protocol)


def _zipped(protocol: int, marker: Path) -> bytes:
    return forge.zipped({"m/data.pkl": _pickled(protocol, marker), "m/version": b"3\n"})


def _saved(options: dict[str, Any], marker: Path) -> bytes:
    return honest.saved(Payload(marker), **options)


def _protocols() -> Iterator[Case]:
    for protocol in range(6):
        plain, inside = functools.partial(_pickled, protocol), functools.partial(_zipped, protocol)
        yield of_model("pickle-protocols", f"plain-{protocol}", plain, "unsupported-format")
        slugs = ("unsafe-pickle", "unsupported-format", "not-a-model")
        yield of_model("pickle-protocols", f"zip-{protocol}", inside, *slugs)
        for way in ("zip", "legacy"):
            options = {**WAYS_OF_SAVING[way], "pickle_protocol": protocol}
            yield of_model("pickle-protocols", f"torch-{way}-{protocol}", functools.partial(_saved, options))


def _checkpoint(place: str, way: str, marker: Path) -> bytes:
    state = dict(nn.Linear(2, 2).state_dict())
    return honest.saved(BESIDE_WEIGHTS[place](Payload(marker), state), **WAYS_OF_SAVING[way])


def _beside_weights() -> Iterator[Case]:
    family = "code-beside-weights"
    for place in BESIDE_WEIGHTS:
        for way in WAYS_OF_SAVING:
            content = functools.partial(_checkpoint, place, way)
            yield of_model(family, f"{place}-{way}", content, "needs-architecture", filename="x.ckpt")
            case = of_model(family, f"{place}-{way}-arch", content, filename="x.ckpt", options=LINEAR)
            yield dataclasses.replace(case, loadable=True)
