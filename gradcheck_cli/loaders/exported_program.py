"""Loads a ``.pt2`` of `torch.export.save` without running any code of the file's.

`torch.export.load` runs code through many doors (pickles, sympify, guards, tree specs). So the archive is checked and
rewritten first: torch is only ever given a clean copy in memory, made of what `pt2_schema` understood.
"""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from gradcheck_cli.loaders import pickled_module
from gradcheck_cli.loaders.archive import Archive, Region, read_archive
from gradcheck_cli.loaders.pt2_errors import DoorError
from gradcheck_cli.loaders.pt2_remarks import remarks
from gradcheck_cli.loaders.pt2_schema import clean_payload_config, clean_program
from gradcheck_cli.loaders.refusals import BUILD_IN_PYTHON, TRUST, Slug, printable, refuse
from gradcheck_cli.loaders.soundness import require_module, require_values
from gradcheck_cli.loaders.source import Source
from gradcheck_cli.records import Batch, Subject

FORMAT = "exported-program"
MAX_JSON = 256 << 20
_MODEL = "models/model.json"
_SAMPLE_INPUTS = "data/sample_inputs/model.pt"
_PAYLOADS = {
    "data/weights/": ("data/weights/model_weights_config.json", re.compile(r"weight_\d+")),
    "data/constants/": ("data/constants/model_constants_config.json", re.compile(r"tensor_\d+")),
}
_HOUSEKEEPING = frozenset({"archive_format", "archive_version", "byteorder", ".data/version", ".data/serialization_id"})
_EXTRA = "extra/"
_TORCH_2_8 = frozenset({"data/weights/model.pt", "data/constants/model.pt"})
_ITEMSIZE = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 2, 7: 4, 8: 8, 9: 4, 10: 8, 11: 16, 12: 1, 13: 2, 28: 2}
"""Bytes per element of `torch._export.serde.schema.ScalarType`."""
_STRIDED = 7
"""`torch._export.serde.schema.Layout.Strided`."""


def load(source: Source, *, trust: bool) -> Subject:
    """The exported program as a `torch.fx.GraphModule` on the CPU, with the inputs that it was exported with.

    Raises:
        ModelError: damaged, or with parts that are not on the checked list (`unsafe-archive`).
    """
    if trust:
        program = _program(source.data, source.path)
        return _subject(source, program, _batch(program.example_inputs))
    archive = read_archive(source, source.path)
    with _doors(source.path):
        subject = _load_checked(source, archive)
    source.require_unchanged()
    return subject


def read_program(source: Source) -> dict[str, Any]:
    """The clean copy of the program's JSON (see `pt2_schema`), nothing else; raises as `load`."""
    archive = read_archive(source, source.path)
    with _doors(source.path):
        return _checked_program(archive)


@contextmanager
def _doors(path: str) -> Iterator[None]:
    try:
        yield
    except DoorError as error:
        hint = f"nothing was run; {BUILD_IN_PYTHON}, or {TRUST}"
        message = f"this exported program cannot be checked: {error}"
        raise refuse(Slug.UNSAFE_ARCHIVE, path, message, hint) from error


def _checked_program(archive: Archive) -> dict[str, Any]:
    _check_members(archive)
    return clean_program(_json(archive, _MODEL))


def _load_checked(source: Source, archive: Archive) -> Subject:
    model = _checked_program(archive)
    members: dict[str, bytes | Region] = {_MODEL: json.dumps(model).encode(), _SAMPLE_INPUTS: b""}
    for folder, (config_name, pattern) in _PAYLOADS.items():
        config = clean_payload_config(_json(archive, config_name))
        members[config_name] = json.dumps(config).encode()
        members.update(_checked_payloads(archive, config["config"], folder, pattern))
    inputs = _sample_inputs(archive)
    return _subject(source, _program(_rewritten(members), source.path), inputs, remarks(model))


def _subject(source: Source, program: Any, inputs: Batch | None, notes: tuple[str, ...] = ()) -> Subject:
    with pickled_module.torch_errors(source.path):
        # Guards would be compiled from text in the file; shapes are still checked, by a hook of torch's.
        module = require_module(program.module(check_guards=False), source.path)
    require_values(module, source.path)
    _tie_shared(module)
    return Subject(
        path=source.path,
        format=FORMAT,
        module=module,
        sha256=source.sha256,
        example_inputs=inputs,
        mode_fixed=True,
        remarks=notes,
    )


def _tie_shared(module: torch.nn.Module) -> None:
    """Makes parameters in the same memory one again; torch splits tied ones and leaves all but one unused."""
    first: dict[tuple[object, ...], torch.nn.Parameter] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        if parameter.numel():
            key = (parameter.data_ptr(), parameter.dtype, parameter.shape, parameter.stride())
            owner, _, leaf = name.rpartition(".")
            module.get_submodule(owner)._parameters[leaf] = first.setdefault(key, parameter)


def _program(data: bytes, path: str) -> Any:
    with pickled_module.torch_errors(path):
        from torch.export.pt2_archive._package import load_pt2  # torch.export.load hides this function's errors

        programs = load_pt2(io.BytesIO(data)).exported_programs
    if "model" not in programs:
        raise refuse(Slug.NOT_A_MODULE, path, "the archive holds no exported program", "use torch.export.save")
    return programs["model"]


def _rewritten(members: dict[str, bytes | Region]) -> bytes:
    from torch.export.pt2_archive import PT2ArchiveWriter

    buffer = io.BytesIO()
    with PT2ArchiveWriter(buffer) as writer:
        for name, payload in members.items():
            writer.write_bytes(name, bytes(payload))
    return buffer.getvalue()


# ----------------------------------------------------------------------------------------------------------- checks


def _check_members(archive: Archive) -> None:
    if archive.text("archive_version") != "0":
        raise DoorError(f"its archive version is {printable(archive.text('archive_version'), 20)}, not 0")
    if archive.text("byteorder") not in ("little", None):
        raise DoorError("its numbers are not little-endian")
    for name in archive.members:
        folder, _, rest = name.rpartition("/")
        config, pattern = _PAYLOADS.get(folder + "/", ("", None))
        known = name in _HOUSEKEEPING or name in (_MODEL, _SAMPLE_INPUTS, config) or name.startswith(_EXTRA)
        if name in _TORCH_2_8:
            raise DoorError("its values are pickled, as torch 2.8 wrote them; write it again with a newer torch")
        if not known and not (pattern and pattern.fullmatch(rest)):
            raise DoorError(f"it has the member {printable(name, 80)}, which torch.export.save does not write")


def _json(archive: Archive, name: str) -> Any:
    if name not in archive.members:
        raise DoorError(f"it lacks the member {name}")
    data = archive.members[name]
    if len(data) > MAX_JSON:
        raise DoorError(f"its member {name} has over {MAX_JSON} bytes")
    try:
        return json.loads(bytes(data))
    except (ValueError, RecursionError) as error:
        raise DoorError(f"its member {name} is no readable JSON") from error


def _checked_payloads(
    archive: Archive, config: dict[str, Any], folder: str, pattern: re.Pattern[str]
) -> dict[str, Region]:
    """The payload files that `config` names, each large enough for every tensor that lies in it."""
    payloads: dict[str, Region] = {}
    dtypes: dict[str, int] = {}
    for tensor, entry in config.items():
        file, meta = entry["path_name"], entry.get("tensor_meta")
        data = archive.members.get(folder + file)
        if meta is None or data is None or not pattern.fullmatch(file):
            raise DoorError(f"the values of {printable(tensor, 60)} are not plain tensor bytes")
        if dtypes.setdefault(file, meta["dtype"]) != meta["dtype"]:
            raise DoorError(f"the values of {printable(tensor, 60)} are shared between two dtypes")
        _check_layout(tensor, meta, len(data), archive.path)
        payloads[folder + file] = data
    return payloads


def _check_layout(tensor: str, meta: dict[str, Any], size: int, path: str) -> None:
    shape, strides = ([part["as_int"] for part in meta[key]] for key in ("sizes", "strides"))
    offset = meta["storage_offset"]["as_int"]
    itemsize = _ITEMSIZE.get(meta["dtype"])
    if itemsize is None or meta["layout"] != _STRIDED or size % itemsize:
        raise DoorError(f"{printable(tensor, 60)} is of a dtype or layout that cannot be measured")
    if len(shape) != len(strides) or min([offset, *shape, *strides]) < 0:
        raise DoorError(f"the shape of {printable(tensor, 60)} is impossible")
    elements, held = math.prod(shape), size // itemsize
    last = offset + sum((extent - 1) * step for extent, step in zip(shape, strides, strict=True))
    if elements and not held:
        message = f"{printable(tensor, 60)} has a shape but no values"
        raise refuse(Slug.NO_VALUES, path, message, "export the model with its weights")
    if elements and (last >= held or elements > held):
        raise DoorError(f"{printable(tensor, 60)} reaches beyond the {held} elements that are stored for it")


def _sample_inputs(archive: Archive) -> Batch | None:
    data = archive.members.get(_SAMPLE_INPUTS)
    if data is None or not data.size:
        return None
    batch = _batch(pickled_module.load_tensors(bytes(data), archive.path))
    if batch is None:
        raise DoorError("its example inputs are not a tuple and a dict")
    return batch


def _batch(value: object) -> Batch | None:
    """The pair ``(args, kwargs)`` as a batch; None where it is something else."""
    if not (
        isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], tuple) and isinstance(value[1], dict)
    ):
        return None
    args, kwargs = value
    tensors = [leaf for leaf in (*args, *kwargs.values()) if isinstance(leaf, torch.Tensor) and leaf.dim()]
    return Batch(args=args, kwargs=kwargs, size=int(tensors[0].shape[0]) if tensors else 1)
