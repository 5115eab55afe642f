"""What a file is and what it holds, told without running anything in it: nothing is unpickled, built or imported."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gradcheck_cli.errors import GradcheckError
from gradcheck_cli.loaders.facts import FileFacts, LayerFacts, TensorFacts
from gradcheck_cli.loaders.formats import REFUSALS, Kind
from gradcheck_cli.loaders.interface import ARCH_LOADERS
from gradcheck_cli.loaders.pickle_names import global_names
from gradcheck_cli.loaders.pickle_tree import MAX_BYTES
from gradcheck_cli.loaders.refusals import Slug, printable
from gradcheck_cli.loaders.sniff import sniff, sniff_directory
from gradcheck_cli.loaders.source import Source, missing, open_source

MAX_NAMES = 100
_TENSOR_PARTS = ("torch._utils._rebuild_", "torch._tensor._rebuild_", "torch.storage.")
"""Beginnings of names that make tensors, of kinds that a module of torch.nn has no use for."""
Found = dict[str, Any]
"""Fields of `FileFacts`."""
_ARCH = "the network that the weights belong to, built by a Python function: --arch package.module:factory"
_TRUST = "--trust, which lets the code in the file run: only if you know where it comes from"


def inspect(spec: str) -> FileFacts:
    """The facts of the file, directory or entry point `spec`.

    Raises:
        ModelError: it is missing, unreadable, broken or truncated.
    """
    if not os.path.lexists(spec):
        return _entry_point(spec)
    if Path(spec).is_dir():
        return _directory(spec)
    with open_source(spec) as source:
        kind = sniff(source)
        describe = _FILES.get(kind)
        if describe is None and kind not in ARCH_LOADERS:
            found: Found = {"needs": REFUSALS[kind].hint}
        else:
            found = (describe or _weights)(source, kind)
        facts = {"bytes": source.size, "sha256": source.sha256, "command": _command(spec), **found}
        source.require_unchanged()
    if not (describe or kind in ARCH_LOADERS):
        facts["command"] = ""
    return _facts(spec, kind, facts)


def _entry_point(spec: str) -> FileFacts:
    from gradcheck_cli.loaders import entry_point  # imports torch

    if not entry_point.is_entry_point(spec):
        raise missing(spec)
    return FileFacts(
        path=printable(spec, 400),
        format="entry-point",
        is_="a Python entry point",
        runs_code=True,
        remarks=("it was not looked at any further: that would run it",),
        command=_command(spec),
    )


def _directory(spec: str) -> FileFacts:
    from gradcheck_cli.loaders import huggingface  # imports torch
    from gradcheck_cli.loaders.weights import shards

    kind = sniff_directory(Path(spec))
    if kind is Kind.SHARDED_INDEX:
        with open_source(shards.index_in(spec)) as index:
            return _facts(spec, kind, _weights(index, kind, spec))
    if kind is not Kind.HUGGING_FACE:
        return _facts(spec, kind, {"needs": REFUSALS[kind].hint})
    with open_source(huggingface.weights_file(Path(spec), spec)) as source:
        found = _weights(source, sniff(source), spec)
    with open_source(str(Path(spec) / huggingface.CONFIG)) as config:
        names = huggingface.read_config(config).get("architectures")
    name = names[0] if isinstance(names, list) and names and isinstance(names[0], str) else ""
    if name:
        found |= {"class_name": f"transformers.{printable(name)}", "command": _command(spec), "needs": "transformers"}
    return _facts(spec, kind, found)


# ------------------------------------------------------------------------------------------------------- by the kind


def _weights(source: Source, kind: Kind, spec: str = "") -> Found:
    from gradcheck_cli.loaders.weights import load  # imports torch

    with load.opened(source, kind) as (found, _):
        weights = found[0]
        others = [f"weights are also under {printable(other.key or 'the top', 60)}" for other in found[1:6]]
        code = _foreign(source) if kind not in (Kind.SAFETENSORS, Kind.SHARDED_INDEX) else ()
        return {
            "tensors": _tensors(weights.tensors),
            "found_under": printable(weights.key),
            "class_name": printable(weights.class_name),
            "layers": _layers(weights.tensors, weights.kinds),
            "runs_code": bool(code),
            "code": code,
            "remarks": tuple(others),
            "needs": _ARCH,
            "command": load.command(spec or source.path, weights),
        }


def _pickled_module(source: Source, kind: Kind) -> Found:
    from gradcheck_cli.loaders import pickled_module  # imports torch

    code = _foreign(source)
    try:
        found = _weights(source, kind)
    except GradcheckError as error:
        if error.slug not in (Slug.UNSAFE_PICKLE.value, Slug.NOT_A_MODEL.value):
            raise
        found = {}
    found |= {"code": code, "runs_code": bool(code)}
    if code:
        return {"needs": _TRUST, "command": f"{_command(source.path)} --trust", **found}
    try:
        pickled_module.check(source)
    except GradcheckError as error:
        if error.slug != Slug.UNSAFE_PICKLE.value:
            raise
        return {**found, "runs_code": True, "remarks": (error.message,)}
    return {**found, "needs": "", "command": _command(source.path)}


def _exported_program(source: Source, _: Kind) -> Found:
    from gradcheck_cli.loaders import exported_program  # imports torch
    from gradcheck_cli.loaders.pt2_remarks import remarks

    try:
        program = exported_program.read_program(source)
    except GradcheckError as error:
        if error.slug != Slug.UNSAFE_ARCHIVE.value:
            raise
        trusted = f"{_command(source.path)} --trust"
        return {"runs_code": True, "remarks": (error.message,), "needs": _TRUST, "command": trusted}
    values = program["graph_module"]["graph"]["tensor_values"]
    tensors: list[TensorFacts] = []
    inputs: list[TensorFacts] = []
    for spec in program["graph_module"]["signature"]["input_specs"]:
        ((role, content),) = spec.items()
        node = content.get("arg", {}).get("as_tensor", content.get("arg", {})).get("name")
        if node in values:
            name = content.get("parameter_name") or content.get("buffer_name") or content.get("tensor_constant_name")
            (inputs if role == "user_input" else tensors).append(_node(printable(name or node), values[node]))
    layers = _layers({tensor.name: None for tensor in tensors}, {})
    return {"tensors": tuple(tensors), "inputs": tuple(inputs), "layers": layers, "remarks": remarks(program)}


def _plain_pickle(source: Source, kind: Kind) -> Found:
    names = global_names(source.read(0, min(source.size, MAX_BYTES)))
    code = tuple(printable(name) for name in names)[:MAX_NAMES]
    return {"runs_code": bool(code), "code": code, "needs": REFUSALS[kind].hint, "command": ""}


def _onnx(source: Source, _: Kind) -> Found:
    from gradcheck_cli.loaders.onnx_model import describe  # imports torch and onnx

    found = describe.describe(source)
    owned = {tensor.name: None for tensor in found["tensors"] if "." in tensor.name}
    return {**found, "layers": _layers(owned, {}), "command": "" if found["needs"] else _command(source.path)}


def _torchscript(source: Source, _: Kind) -> Found:
    return {"runs_code": True, "needs": _TRUST, "command": f"{_command(source.path)} --trust"}


_FILES: Mapping[Kind, Callable[[Source, Kind], Found]] = {
    Kind.PICKLED_MODULE: _pickled_module,
    Kind.EXPORTED_PROGRAM: _exported_program,
    Kind.TORCHSCRIPT: _torchscript,
    Kind.ONNX: _onnx,
    **dict.fromkeys((Kind.PLAIN_PICKLE, Kind.JOBLIB), _plain_pickle),
    **dict.fromkeys((Kind.STATE_DICT, Kind.LIGHTNING, Kind.CHECKPOINT, Kind.FOREIGN_PROTOCOL), _weights),
    **dict.fromkeys((Kind.LEGACY_TORCH_SAVE, Kind.SAFETENSORS, Kind.SHARDED_INDEX), _weights),
}


# ----------------------------------------------------------------------------------------------------------- details


def _facts(spec: str, kind: Kind, found: Found) -> FileFacts:
    tensors: Sequence[TensorFacts] = found.get("tensors", ())
    sizes = [tensor.shape for tensor in tensors]
    count = sum(_product(shape) for shape in sizes) if tensors else None
    slug = kind.name.lower().replace("_", "-")
    return FileFacts(path=printable(spec, 400), format=slug, is_=kind.value, parameters=count, **found)


def _product(shape: tuple[int | str, ...]) -> int:
    count = 1
    for extent in shape:
        count *= extent if isinstance(extent, int) else 1
    return count


def _tensors(tensors: Mapping[str, Any]) -> tuple[TensorFacts, ...]:
    return tuple(
        TensorFacts(name=printable(name), dtype=tensor.dtype, shape=tensor.shape) for name, tensor in tensors.items()
    )


def _layers(tensors: Mapping[str, object], kinds: Mapping[str, str]) -> tuple[LayerFacts, ...]:
    """The modules that own tensors, in the file's order."""
    owners = dict.fromkeys(name.rpartition(".")[0] for name in tensors)
    return tuple(
        LayerFacts(name=printable(owner), kind=printable(kinds.get(owner, "").rpartition(".")[2])) for owner in owners
    )


def _node(name: str, value: Mapping[str, Any]) -> TensorFacts:
    shape = tuple(
        size["as_int"] if "as_int" in size else _symbol(size["as_expr"]["expr_str"]) for size in value["sizes"]
    )
    return TensorFacts(name=name, dtype=_SCALAR_TYPES.get(value["dtype"], "unknown"), shape=shape)


def _symbol(expression: str) -> str:
    """``Symbol('s31', positive=True, integer=True)`` → ``s31``."""
    return re.sub(r"Symbol\('(\w+)'[^)]*\)", r"\1", expression)


_SCALAR_TYPES = dict(
    enumerate(
        (
            *("unknown", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"),
            *("complex32", "complex64", "complex128", "bool", "bfloat16"),
        )
    )
)
"""`torch._export.serde.schema.ScalarType` → name of the dtype."""


def _foreign(source: Source) -> tuple[str, ...]:
    """The names in the file's pickle that are not torch's own."""
    from gradcheck_cli.loaders import torch_names  # imports torch
    from gradcheck_cli.loaders.weights.torch_save import open_torch_file

    names = global_names(open_torch_file(source).pickles)
    foreign = (name for name in names if not torch_names.is_allowed(name) and not name.startswith(_TENSOR_PARTS))
    return tuple(printable(name) for name in foreign)[:MAX_NAMES]


def _command(spec: str) -> str:
    return f"gradcheck diagnose {shlex.quote(printable(spec, 400))}"
