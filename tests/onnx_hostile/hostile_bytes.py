"""Files that are no ONNX model, or only the beginning of one, and what lies about under the name of one."""

from __future__ import annotations

import gzip
import os
import zipfile
from pathlib import Path

import onnx
from google.protobuf import json_format, text_format
from hostile_case import DIAGNOSED, after_layer, changed, honest, makes, saved, value, writes
from onnx import TensorProto, helper


def honest_bytes() -> bytes:
    return bytes(honest().SerializeToString())


def field(number: int, content: bytes) -> bytes:
    """A protobuf field that holds bytes or a message."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


HEADER = bytes.fromhex("080a") + field(2, b"test")
"""IR version 10, and a producer."""


@makes("empty-file")
def no_bytes() -> bytes:
    return b""


@makes("not-a-model", "truncated-file")
def a_version_alone() -> bytes:
    return b"\x08\x0a"


@makes("damaged-file", says="no graph")
def a_header_alone() -> bytes:
    return HEADER


@makes("truncated-file", "not-a-model")
def a_length_beyond_the_end() -> bytes:
    return HEADER + b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f"


@makes("truncated-file", "damaged-file")
def garbage_after_the_model() -> bytes:
    return honest_bytes() + b"\xff" * 40


@makes("damaged-file", says="have the name")
def the_same_model_twice() -> bytes:
    return honest_bytes() * 2


@makes("truncated-file")
def groups_without_end() -> bytes:
    return HEADER + b"\x3b" * 100_000


def nested_ifs(depth: int) -> bytes:
    """A graph with an If whose branches are graphs with an If, and so on."""
    graph = field(1, node_bytes("Relu", b"x")) + field(2, b"g") + field(12, field(1, b"y"))
    for level in range(depth):
        branch = field(6, graph) + b"\xa0\x01\x05"
        branches = field(5, field(1, b"then_branch") + branch) + field(5, field(1, b"else_branch") + branch)
        if level >= 5:  # from here on only one of the branches is as deep: else there are 2 to the depth of them
            shallow = field(6, field(1, node_bytes("Relu", b"x")) + field(2, b"g") + field(12, field(1, b"y")))
            branches = field(5, field(1, b"then_branch") + branch)
            branches += field(5, field(1, b"else_branch") + shallow + b"\xa0\x01\x05")
        graph = field(1, node_bytes("If", b"c") + branches) + field(2, b"g") + field(12, field(1, b"y"))
    condition = b"\x10\x09" + field(8, b"c") + field(9, b"\x01")
    graph += field(5, condition) + field(11, bytes(value("x").SerializeToString()))
    return HEADER + field(7, graph) + field(8, b"\x10\x12")


def node_bytes(operator: str, given: bytes) -> bytes:
    return field(1, given) + field(2, b"y") + field(4, operator.encode())


@makes("truncated-file", "damaged-file")
def a_thousand_graphs_in_each_other() -> bytes:
    return nested_ifs(1000)


@makes(DIAGNOSED)
def twenty_five_graphs_in_each_other() -> bytes:
    return nested_ifs(25)


@makes("truncated-file", "damaged-file", "not-unicode")
def a_name_that_is_no_text() -> bytes:
    return honest_bytes().replace(b"second.weight", b"second\xff\xfeeight")


def _not_text(name: bytes, made: onnx.ModelProto) -> bytes:
    data = bytes(made.SerializeToString())
    assert name in data
    return data.replace(name, b"\xff" * len(name))


@makes("damaged-file", says="not valid UTF-8")
def a_name_in_a_body_that_is_no_text() -> bytes:
    body = helper.make_graph([helper.make_node("Relu", ["h"], ["inner"])], "body", [], [value("inner")])
    yes = helper.make_tensor("yes", TensorProto.BOOL, [], [True])
    return _not_text(
        b"inner", after_layer(helper.make_node("If", ["yes"], ["y"], then_branch=body, else_branch=body), tensors=[yes])
    )


@makes("damaged-file", says="not valid UTF-8")
def a_function_whose_name_is_no_text() -> bytes:
    nodes = [helper.make_node("Relu", ["a"], ["b"])]
    function = helper.make_function("", "Twice", ["a"], ["b"], nodes, [helper.make_opsetid("", 18)])
    return _not_text(b"Twice", after_layer(helper.make_node("Twice", ["h"], ["y"]), functions=[function]))


@makes("not-a-model", DIAGNOSED)
def a_producer_that_is_no_text() -> bytes:
    return _not_text(b"honest", changed(lambda m: setattr(m, "producer_name", "honest")))


@makes("unsupported-format", says="ONNX Runtime (ORT)")
def an_ort_file() -> bytes:
    return b"\x00\x01\x00\x00ORTM" + bytes(100)


@makes("not-a-model", says="text")
def textproto() -> bytes:
    return bytes(text_format.MessageToString(honest()).encode())


@makes("not-a-model", says="text")
def json() -> bytes:
    return bytes(json_format.MessageToJson(honest()).encode())


@makes("not-a-model", says="compressed")
def compressed() -> bytes:
    return gzip.compress(honest_bytes())


@makes("not-a-model")
def a_tensor_file() -> bytes:
    return bytes(helper.make_tensor("x", TensorProto.FLOAT, [2], [1.0, 2.0]).SerializeToString())


@makes("not-a-model", "unsupported-format")
def a_graph_without_a_model() -> bytes:
    return bytes(honest().graph.SerializeToString())


@makes("not-a-model", says="Git LFS")
def a_pointer() -> bytes:
    return b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"


@writes("not-a-model", says="zip archive")
def zipped(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "model.onnx", "w") as archive:
        archive.writestr("model.onnx", honest_bytes())
    return folder / "model.onnx"


@writes("not-a-regular-file")
def a_pipe(folder: Path) -> Path:
    os.mkfifo(folder / "model.onnx")
    return folder / "model.onnx"


@writes("not-a-regular-file")
def a_folder(folder: Path) -> Path:
    (folder / "model.onnx").mkdir()
    saved(honest(), folder / "model.onnx")
    return folder / "model.onnx"


@writes("not-a-regular-file")
def a_device(folder: Path) -> Path:
    (folder / "model.onnx").symlink_to("/dev/zero")
    return folder / "model.onnx"


@writes("unreadable-file", "missing-file", "not-a-regular-file")
def a_link_to_itself(folder: Path) -> Path:
    (folder / "model.onnx").symlink_to("model.onnx")
    return folder / "model.onnx"


@makes("damaged-file", says="training")
def a_training_graph_alone() -> bytes:
    found = honest()
    found.training_info.add().algorithm.CopyFrom(found.graph)
    found.ClearField("graph")
    return bytes(found.SerializeToString())


@makes(DIAGNOSED)
def training_info_beside_the_graph() -> bytes:
    def add(found: object) -> None:
        found.training_info.add().algorithm.CopyFrom(honest().graph)  # type: ignore[attr-defined]

    return bytes(changed(add).SerializeToString())


@makes(DIAGNOSED)
def fields_that_nobody_knows() -> bytes:
    return bytes(after_layer(helper.make_node("Relu", ["h"], ["y"])).SerializeToString()) + field(900, b"?" * 1000)
