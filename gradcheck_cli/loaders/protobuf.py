"""Tells ONNX, Core ML and TensorFlow files by their first protobuf fields: all begin with a small version number."""

from __future__ import annotations

from gradcheck_cli.loaders.formats import Kind

_VERSION_TAG = 0x08
"""Field 1, varint: ONNX ir_version, Core ML specificationVersion, TensorFlow saved_model_schema_version."""
_MAX_VERSION = 50
_STRING_TAG = 0x12
"""Field 2, bytes: ONNX producer_name (text), Core ML description, TensorFlow meta_graphs (messages)."""
_ONNX_TAGS = frozenset({0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42, 0x72, 0xA2, 0xCA})
"""ONNX fields 3 … 8, 14, 20, 25: producer_version, domain, model_version, doc_string, graph, opset_import, …"""
_GRAPH_TAG = 0x3A
"""Field 7, a message: the ONNX graph, in which field 1 is the first node."""
_FIRST_MESSAGE = 0x0A


def kind(head: bytes, size: int) -> Kind | None:
    """The kind of a protobuf file of `size` bytes that begins with `head`; None where it is none of ours."""
    if len(head) < 4 or head[0] != _VERSION_TAG or not 1 <= head[1] <= _MAX_VERSION:
        return None
    if head[2] in _ONNX_TAGS:
        return Kind.ONNX if _fits(head, 3, size) or _begins_graph(head) else None
    if head[2] != _STRING_TAG or not _fits(head, 3, size):
        return None
    length, begin = _varint(head, 3)
    content = head[begin : begin + length]
    if content.isascii() and content.decode("ascii").isprintable():
        return Kind.ONNX
    if content[:1] != bytes([_FIRST_MESSAGE]):
        return None
    _, inner = _varint(content, 1)
    return Kind.COREML if content[inner : inner + 1] == bytes([_FIRST_MESSAGE]) else Kind.TENSORFLOW


def _fits(head: bytes, position: int, size: int) -> bool:
    """Whether the length at `position` stays inside the file (for a varint field, any number does)."""
    length, begin = _varint(head, position)
    return head[position - 1] & 7 == 0 or begin + length <= size


def _begins_graph(head: bytes) -> bool:
    """Whether a graph that begins with a node follows: of a file that was cut off, it is all that tells."""
    _, begin = _varint(head, 3)
    return head[2] == _GRAPH_TAG and head[begin : begin + 1] == bytes([_FIRST_MESSAGE])


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A base-128 number and the position after it; 0 where the data ends."""
    value = shift = 0
    while position < len(data) and shift < 63:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            break
    return value, position
