"""Weights in files beside the model, at places where they must not be read from, or cannot be."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import onnx
from hostile_case import DIAGNOSED, FLOAT, after_layer, honest, saved, scalar, value, weight, writes
from onnx import TensorProto, helper

SIZE = 4 * 8 * 4
"""Bytes of the weight that lies outside."""
node = helper.make_node


def put_outside(tensor: onnx.TensorProto, location: str, **entries: object) -> None:
    """Let the data of `tensor` lie in a file."""
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, content in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(content))


def _external(folder: Path, location: str, **entries: object) -> Path:
    found = honest()
    put_outside(found.graph.initializer[0], location, **entries)
    folder.mkdir(exist_ok=True)
    return saved(found, folder)


def _data(path: Path, size: int = SIZE) -> None:
    path.write_bytes(honest().graph.initializer[0].raw_data.ljust(size, b"\0")[:size])


def place(name: str, location: str, *outcomes: str, says: str = "", **entries: object) -> None:
    """Register a model whose weight lies at `location`; weights.bin lies beside it, and secret.bin above."""

    def write(folder: Path) -> Path:
        _data(folder / "secret.bin")
        (folder / "inside").mkdir()
        _data(folder / "inside" / "weights.bin")
        return _external(folder / "inside", location.replace("HERE", str(folder)), **entries)

    write.__name__ = name
    writes(*outcomes, says=says)(write)


place("honest_external_data", "weights.bin", DIAGNOSED)
place("external_data_above", "../secret.bin", "unsafe-path", says="outside of the model's folder")
place("external_data_above_and_back", "../inside/weights.bin", "unsafe-path")
place("external_data_far_above", "a/../../secret.bin", "unsafe-path")
place("external_data_at_an_absolute_path", "HERE/secret.bin", "unsafe-path")
place("external_data_of_the_system", "/etc/passwd", "unsafe-path")
place("external_data_under_a_uri", "file:///etc/passwd", "missing-file", "unsafe-path")
place("external_data_above_with_backslashes", "..\\secret.bin", "missing-file", "unsafe-path")
place("external_data_without_a_location", "", "unsafe-path")
place("external_data_with_nul", "weights.bin\0.txt", "unsafe-path")
place("external_data_in_the_folder_itself", ".", "damaged-file", "unsafe-path", "unreadable-file")
place("external_data_that_is_missing", "other.bin", "missing-file", says="other.bin")
place("external_data_of_a_nasty_name", "\x1b[31m<b>\n.bin", "missing-file", says="\\x1b[31m")
place("external_data_of_a_very_long_name", "n" * 10_000, "unreadable-file", "missing-file")
place("external_data_in_the_model_itself", "model.onnx", DIAGNOSED, "truncated-file", "damaged-file")
place("external_data_beyond_the_end", "weights.bin", "truncated-file", offset=4)
place("external_data_far_beyond_the_end", "weights.bin", "truncated-file", "damaged-file", offset=2**70)
place("external_data_before_the_start", "weights.bin", "truncated-file", "damaged-file", offset=-4)
place("external_data_of_negative_length", "weights.bin", "truncated-file", "damaged-file", length=-SIZE)
place("external_data_of_another_length", "weights.bin", "truncated-file", "damaged-file", length=SIZE - 4)
place("external_data_of_huge_length", "weights.bin", "truncated-file", "damaged-file", length=2**63)
place("external_data_at_no_number", "weights.bin", "damaged-file", offset="0x10")
place("external_data_at_infinity", "weights.bin", "damaged-file", offset="inf")
place("external_data_at_a_number_of_many_digits", "weights.bin", "damaged-file", "truncated-file", offset="9" * 10_000)


@writes("truncated-file", says="not within")
def external_data_too_short(folder: Path) -> Path:
    _data(folder / "weights.bin", SIZE - 1)
    return _external(folder, "weights.bin")


@writes("truncated-file")
def external_data_without_bytes(folder: Path) -> Path:
    (folder / "weights.bin").touch()
    return _external(folder, "weights.bin")


@writes(DIAGNOSED)
def external_data_that_overlap(folder: Path) -> Path:
    _data(folder / "weights.bin")
    found = honest()
    put_outside(found.graph.initializer[0], "weights.bin")
    put_outside(found.graph.initializer[1], "weights.bin", offset=16, length=32)
    put_outside(found.graph.initializer[2], "weights.bin", offset=2, length=96)  # not aligned
    return saved(found, folder)


def _linked(name: str, link: Callable[[Path], str], *outcomes: str) -> None:
    def write(folder: Path) -> Path:
        inside = folder / "inside"
        inside.mkdir()
        _data(folder / "secret.bin")
        return _external(inside, link(inside))

    write.__name__ = name
    writes(*outcomes)(write)


def _link(inside: Path, target: str, name: str = "weights.bin") -> str:
    (inside / name).symlink_to(target)
    return name


_linked("external_data_linked_from_above", lambda inside: _link(inside, "../secret.bin"), "unsafe-path")
_linked("external_data_linked_from_the_system", lambda inside: _link(inside, "/etc/passwd"), "unsafe-path")
_linked("external_data_linked_from_a_device", lambda inside: _link(inside, "/dev/zero"), "unsafe-path")
_linked("external_data_in_a_linked_folder", lambda inside: _link(inside, "..", "sub") + "/secret.bin", "unsafe-path")
_linked(
    "external_data_linked_to_itself",
    lambda inside: _link(inside, "weights.bin"),
    "unreadable-file",
    "unsafe-path",
    "missing-file",
)


def _pipe(inside: Path) -> str:
    os.mkfifo(inside / "weights.bin")
    return "weights.bin"


_linked("external_data_in_a_pipe", _pipe, "damaged-file")


@writes(DIAGNOSED)
def a_linked_parent_of_everything(folder: Path) -> Path:
    (folder / "real").mkdir()
    _data(folder / "real" / "weights.bin")
    _external(folder / "real", "weights.bin")
    (folder / "link").symlink_to("real")
    return folder / "link" / "model.onnx"


@writes("damaged-file", "forward-failed", says="first.weight")
def external_data_of_strings(folder: Path) -> Path:
    _data(folder / "weights.bin")
    found = honest()
    found.graph.initializer[0].data_type = TensorProto.STRING
    put_outside(found.graph.initializer[0], "weights.bin")
    return saved(found, folder)


@writes("damaged-file", says="first.weight")
def external_data_of_huge_size(folder: Path) -> Path:
    _data(folder / "weights.bin")
    found = honest()
    found.graph.initializer[0].dims[:] = [2**40, 2**40]
    put_outside(found.graph.initializer[0], "weights.bin")
    return saved(found, folder)


# ------------------------------------------------------------------- where only the model's own initialisers should lie


@writes("unsafe-path", "damaged-file")
def external_data_of_a_constant(folder: Path) -> Path:
    _data(folder / "secret.bin")
    tensor = weight("c", 4, 8)
    put_outside(tensor, "../secret.bin")
    (folder / "inside").mkdir()
    return saved(
        after_layer(node("Constant", [], ["c"], value=tensor), node("MatMul", ["h", "c"], ["y"])), folder / "inside"
    )


@writes("unsafe-path", "damaged-file")
def external_data_in_a_body(folder: Path) -> Path:
    _data(folder / "secret.bin")
    tensor = weight("c", 4, 8)
    put_outside(tensor, "../secret.bin")
    body = helper.make_graph([node("MatMul", ["h", "c"], ["b"])], "body", [], [value("b")], [tensor])
    (folder / "inside").mkdir()
    made = node("If", ["yes"], ["y"], then_branch=body, else_branch=body)
    return saved(after_layer(made, tensors=[scalar("yes", True)]), folder / "inside")


@writes("unsafe-path", "damaged-file")
def external_data_of_a_sparse_weight(folder: Path) -> Path:
    found = honest()
    del found.graph.initializer[0]
    sparse = found.graph.sparse_initializer.add()
    sparse.values.CopyFrom(helper.make_tensor("first.weight", FLOAT, [2], [1.0, 1.0]))
    sparse.indices.CopyFrom(helper.make_tensor("places", TensorProto.INT64, [2], [0, 1]))
    sparse.dims.extend([4, 8])
    put_outside(sparse.values, "../secret.bin")
    _data(folder / "secret.bin")
    (folder / "inside").mkdir()
    return saved(found, folder / "inside")


@writes("unsafe-path", "damaged-file", DIAGNOSED)
def external_data_that_nothing_reads(folder: Path) -> Path:
    """ONNX Runtime reads it all the same."""
    found = honest()
    found.graph.initializer.append(weight("spare", 4, 8))
    put_outside(found.graph.initializer[-1], "../secret.bin")
    _data(folder / "secret.bin")
    (folder / "inside").mkdir()
    return saved(found, folder / "inside")
