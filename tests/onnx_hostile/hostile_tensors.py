"""Weights that lie about themselves: sizes, types, data in two places or in none, sparse ones with bad indices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx
from hostile_case import DIAGNOSED, FLOAT, INT64, after_layer, honest, makes, model, value, weight
from onnx import TensorProto, helper

node = helper.make_node


def _tensor(dims: Sequence[int], *, raw: bytes | None = None, kind: int = FLOAT, **fields: Any) -> onnx.ModelProto:
    """The honest model with a first weight made of `fields`."""
    found = honest()
    tensor = found.graph.initializer[0]
    tensor.Clear()
    tensor.name, tensor.data_type = "first.weight", kind
    tensor.dims.extend(dims)
    if raw is not None:
        tensor.raw_data = raw
    for name, content in fields.items():
        getattr(tensor, name).extend(content)
    return found


@makes("damaged-file", says="first.weight")
def huge_dimensions() -> onnx.ModelProto:
    return _tensor([2**40, 8], raw=bytes(128))


@makes("damaged-file", says="first.weight")
def huge_dimensions_and_no_data() -> onnx.ModelProto:
    return _tensor([2**40, 8])


@makes("damaged-file", says="first.weight")
def dimensions_whose_product_overflows() -> onnx.ModelProto:
    return _tensor([2**32, 2**32], raw=b"")


@makes("damaged-file", says="first.weight")
def dimensions_whose_product_overflows_to_the_size() -> onnx.ModelProto:
    return _tensor([2**62, 4, 1], raw=bytes(0))


@makes("damaged-file", says="first.weight")
def negative_dimensions() -> onnx.ModelProto:
    return _tensor([-4, -8], raw=bytes(128))


@makes("damaged-file", says="first.weight")
def a_dimension_to_be_found_out() -> onnx.ModelProto:
    return _tensor([-1, 8], raw=bytes(128))


@makes("damaged-file", "forward-failed", "no-input-found")
def an_empty_weight() -> onnx.ModelProto:
    return _tensor([4, 0], raw=b"")


@makes("damaged-file", "forward-failed")
def an_empty_weight_of_huge_size() -> onnx.ModelProto:
    return _tensor([2**62, 0], raw=b"")


@makes("damaged-file", says="first.weight")
def a_hundred_dimensions() -> onnx.ModelProto:
    return _tensor([1] * 100, raw=bytes(4))


@makes("damaged-file", says="first.weight")
def too_few_bytes() -> onnx.ModelProto:
    return _tensor([4, 8], raw=bytes(127))


@makes("damaged-file", says="first.weight")
def too_many_bytes() -> onnx.ModelProto:
    return _tensor([4, 8], raw=bytes(132))


@makes("damaged-file", says="first.weight")
def too_few_numbers() -> onnx.ModelProto:
    return _tensor([4, 8], float_data=[1.0] * 31)


@makes("damaged-file", says="first.weight")
def both_bytes_and_numbers() -> onnx.ModelProto:
    return _tensor([4, 8], raw=bytes(128), float_data=[1.0] * 32)


@makes("damaged-file", says="first.weight")
def numbers_of_another_type() -> onnx.ModelProto:
    return _tensor([4, 8], int64_data=[1] * 32)


@makes("damaged-file", says="first.weight")
def a_type_that_is_none() -> onnx.ModelProto:
    return _tensor([4, 8], raw=bytes(128), kind=99)


@makes("damaged-file", says="first.weight")
def no_type() -> onnx.ModelProto:
    return _tensor([4, 8], raw=bytes(128), kind=0)


@makes("damaged-file", says="first.weight")
def a_segment_of_a_tensor() -> onnx.ModelProto:
    found = honest()
    found.graph.initializer[0].segment.begin = 3
    return found


def _typed(kind: int, size: float) -> onnx.ModelProto:
    return _tensor([4, 8], raw=bytes(int(32 * size)), kind=kind)


for _name, _size in (
    *(("FLOAT8E4M3FN", 1), ("FLOAT8E5M2", 1), ("FLOAT8E8M0", 1), ("INT4", 0.5), ("UINT4", 0.5), ("UINT2", 0.25)),
    *(("FLOAT4E2M1", 0.5), ("COMPLEX64", 8), ("COMPLEX128", 16), ("BFLOAT16", 2), ("UINT64", 8), ("BOOL", 1)),
):
    if hasattr(TensorProto, _name):

        def _weight_of(kind: int = getattr(TensorProto, _name), size: float = _size) -> onnx.ModelProto:
            return _typed(kind, size)

        _weight_of.__name__ = f"a_weight_of_{_name.lower()}"
        makes("damaged-file", "forward-failed", "unsupported-operator", "no-input-found", DIAGNOSED)(_weight_of)


@makes("damaged-file", "forward-failed", "no-input-found")
def a_weight_of_strings() -> onnx.ModelProto:
    return _tensor([4, 8], kind=TensorProto.STRING, string_data=[b"\x1b[31m", *[b"a"] * 31])


@makes("damaged-file", says="first.weight")
def strings_that_are_no_text() -> onnx.ModelProto:
    return _tensor([4, 8], kind=TensorProto.STRING, string_data=[b"\xff\xfe"] * 32)


for _name in ("STRING", "COMPLEX64", "FLOAT8E4M3FN", "INT4", "UINT64", "UNDEFINED"):

    def _input_of(kind: int = getattr(TensorProto, _name)) -> onnx.ModelProto:
        return model([node("MatMul", ["x", "w"], ["y"])], [weight("w", 4, 4)], inputs=[value("x", kind=kind)])

    _input_of.__name__ = f"an_input_of_{_name.lower()}"
    makes("damaged-file", "forward-failed", "no-input-found", DIAGNOSED)(_input_of)


# ------------------------------------------------------------------------------------------------------------ sparse ones


def _sparse(dims: Sequence[int], indices: Sequence[int], shape: Sequence[int], count: int = 2) -> onnx.ModelProto:
    found = honest()
    del found.graph.initializer[0]
    sparse = found.graph.sparse_initializer.add()
    sparse.values.CopyFrom(helper.make_tensor("first.weight", FLOAT, [count], [1.0] * count))
    sparse.indices.CopyFrom(helper.make_tensor("places", INT64, shape, indices))
    sparse.dims.extend(dims)
    return found


@makes(DIAGNOSED)
def an_honest_sparse_weight() -> onnx.ModelProto:
    return _sparse([4, 8], [3, 31], [2])


@makes("damaged-file", says="first.weight")
def a_sparse_index_beyond_the_end() -> onnx.ModelProto:
    return _sparse([4, 8], [3, 32], [2])


@makes("damaged-file", says="first.weight")
def a_negative_sparse_index() -> onnx.ModelProto:
    return _sparse([4, 8], [-1, 3], [2])


@makes("damaged-file", says="first.weight")
def sparse_indices_of_another_rank() -> onnx.ModelProto:
    return _sparse([4, 8], [0, 0, 0, 1, 1, 1], [2, 3])


@makes("damaged-file", says="first.weight")
def more_sparse_indices_than_values() -> onnx.ModelProto:
    return _sparse([4, 8], [0, 1, 2], [3])


@makes("damaged-file", says="first.weight")
def a_sparse_weight_of_huge_size() -> onnx.ModelProto:
    return _sparse([2**20, 2**24], [0, 1], [2])


@makes("damaged-file", says="first.weight")
def a_sparse_weight_whose_size_overflows() -> onnx.ModelProto:
    return _sparse([2**32, 2**32], [0, 1], [2])


@makes("damaged-file", says="first.weight")
def a_sparse_weight_of_negative_size() -> onnx.ModelProto:
    return _sparse([-4, 8], [0, 1], [2])


@makes("damaged-file", says="first.weight")
def a_sparse_weight_without_a_size() -> onnx.ModelProto:
    return _sparse([], [0, 1], [2])


@makes("damaged-file", says="first.weight")
def a_sparse_weight_of_doubtful_indices() -> onnx.ModelProto:
    found = _sparse([4, 8], [0, 1], [2])
    found.graph.sparse_initializer[0].indices.data_type = FLOAT
    return found


@makes("damaged-file", says="Constant")
def a_constant_of_huge_size() -> onnx.ModelProto:
    constant = node("Constant", [], ["c"])
    attribute = constant.attribute.add(name="value", type=onnx.AttributeProto.TENSOR)
    attribute.t.dims.extend([2**40])
    attribute.t.data_type = FLOAT
    return after_layer(constant, node("Add", ["h", "c"], ["y"]))


@makes("damaged-file", says="Constant")
def a_sparse_constant_of_huge_size() -> onnx.ModelProto:
    constant = node("Constant", [], ["c"])
    attribute = constant.attribute.add(name="sparse_value", type=onnx.AttributeProto.SPARSE_TENSOR)
    attribute.sparse_tensor.CopyFrom(_sparse([2**40], [0, 1], [2]).graph.sparse_initializer[0])
    return after_layer(constant, node("Add", ["h", "c"], ["y"]))
