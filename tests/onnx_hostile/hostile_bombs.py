"""Small files that ask for more time or memory than there is: loops, functions within functions, sizes from the file."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import onnx
from hostile_case import DIAGNOSED, FLOAT, INT64, after_layer, makes, model, scalar, value, weight, whole
from onnx import TensorProto, helper, numpy_helper

node = helper.make_node
# What reaches the operators may be measured all the same: torch can pad by less than nothing, ONNX Runtime cannot.
TOO_MUCH = (DIAGNOSED, "forward-failed", "out-of-memory", "memory-limit", "damaged-file", "no-input-found")


# ------------------------------------------------------------------------------------------------------------- functions


def _function(name: str, nodes: Sequence[onnx.NodeProto], domain: str = "f") -> onnx.FunctionProto:
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("f", 1)]
    return helper.make_function(domain, name, ["a"], ["b"], nodes, opsets)


def _calls(functions: Sequence[onnx.FunctionProto], first: str = "F0") -> onnx.ModelProto:
    return after_layer(node(first, ["h"], ["y"], domain="f"), functions=functions, domains=["f"])


@makes("damaged-file", says="calls itself")
def a_function_that_calls_itself() -> onnx.ModelProto:
    return _calls([_function("F0", [node("F0", ["a"], ["b"], domain="f")])])


@makes("damaged-file", says="calls itself")
def functions_that_call_each_other() -> onnx.ModelProto:
    one = _function("F0", [node("F1", ["a"], ["b"], domain="f")])
    return _calls([one, _function("F1", [node("F0", ["a"], ["b"], domain="f")])])


@makes("damaged-file", says="nodes")
def functions_that_double() -> onnx.ModelProto:
    made = [
        _function(f"F{i}", [node(f"F{i + 1}", ["a"], ["c"], domain="f"), node(f"F{i + 1}", ["c"], ["b"], domain="f")])
        for i in range(39)
    ]
    return _calls([*made, _function("F39", [node("Relu", ["a"], ["b"])])])


@makes("damaged-file", says="deep")
def a_thousand_functions_in_a_row() -> onnx.ModelProto:
    made = [_function(f"F{i}", [node(f"F{i + 1}", ["a"], ["b"], domain="f")]) for i in range(999)]
    return _calls([*made, _function("F999", [node("Relu", ["a"], ["b"])])])


@makes("damaged-file", says="two functions")
def two_functions_of_a_name() -> onnx.ModelProto:
    return _calls([_function("F0", [node("Relu", ["a"], ["b"])]), _function("F0", [node("Neg", ["a"], ["b"])])])


@makes("damaged-file", says="nothing gives")
def a_function_that_lacks_a_value() -> onnx.ModelProto:
    return _calls([_function("F0", [node("Add", ["a", "h"], ["b"])])])


@makes("damaged-file", "forward-failed")
def a_function_of_too_many_inputs() -> onnx.ModelProto:
    return after_layer(
        node("F0", ["h", "h", "h"], ["y"], domain="f"),
        functions=[_function("F0", [node("Relu", ["a"], ["b"])])],
        domains=["f"],
    )


@makes(DIAGNOSED, "damaged-file")
def a_function_in_place_of_an_operator() -> onnx.ModelProto:
    return after_layer(
        node("Relu", ["h"], ["y"]), functions=[_function("Relu", [node("Sigmoid", ["a"], ["b"])], domain="")]
    )


@makes("damaged-file", says="calls itself")
def a_function_that_calls_itself_in_a_body() -> onnx.ModelProto:
    body = helper.make_graph([node("F0", ["a"], ["c"], domain="f")], "body", [], [value("c")])
    yes = node("Constant", [], ["yes"], value=scalar("v", True))
    return _calls([_function("F0", [yes, node("If", ["yes"], ["b"], then_branch=body, else_branch=body)])])


@makes("damaged-file", says="version")
def a_function_of_the_future() -> onnx.ModelProto:
    found = _function("F0", [node("Relu", ["a"], ["b"])])
    found.opset_import[0].version = 1000
    return _calls([found])


# ----------------------------------------------------------------------------------------------------------------- loops


def loop(
    trips: int | None,
    body: Sequence[onnx.NodeProto],
    going: bool | None = True,
    tensors: Sequence[onnx.TensorProto] = (),
    dead: bool = False,
) -> onnx.ModelProto:
    """A loop that carries s, from h, through nodes that make t of it; `dead`: nobody reads what it gives."""
    inside = helper.make_graph(
        [node("Identity", ["going"], ["go"]), *body],
        "body",
        [value("i", [], INT64), value("going", [], TensorProto.BOOL), value("s", None)],
        [value("go", [], TensorProto.BOOL), value("t", None)],
    )
    stored = [whole("trips", trips)] if trips is not None else []
    stored += [scalar("yes", going)] if going is not None else []
    names = ["trips" if trips is not None else "", "yes" if going is not None else "", "h"]
    last = [node("Relu", ["h"], ["y"])] if dead else []
    return after_layer(
        node("Loop", names, ["unread" if dead else "y"], body=inside), *last, tensors=[*stored, *tensors]
    )


@makes("forward-failed", says="times in one run")
def a_loop_of_2_62_rounds() -> onnx.ModelProto:
    return loop(2**62, [node("Neg", ["s"], ["t"])])


@makes("forward-failed", says="times in one run")
def a_loop_without_end() -> onnx.ModelProto:
    return loop(None, [node("Neg", ["s"], ["t"])])


@makes("forward-failed", says="times in one run")
def a_loop_without_limits() -> onnx.ModelProto:
    return loop(None, [node("Neg", ["s"], ["t"])], going=None)


@makes(DIAGNOSED)
def a_loop_of_2_62_rounds_that_nobody_reads() -> onnx.ModelProto:
    return loop(2**62, [node("Neg", ["s"], ["t"])], dead=True)


@makes(DIAGNOSED, "forward-failed")
def a_loop_of_negative_rounds() -> onnx.ModelProto:
    return loop(-(2**62), [node("Neg", ["s"], ["t"])])


@makes("forward-failed", says="times in one run")
def loops_in_loops() -> onnx.ModelProto:
    body: list[onnx.NodeProto] = [node("Neg", ["s"], ["t"])]
    for level in range(6):
        inside = helper.make_graph(
            [node("Identity", ["going"], ["go"]), *body],
            f"body{level}",
            [value("i", [], INT64), value("going", [], TensorProto.BOOL), value("s", None)],
            [value("go", [], TensorProto.BOOL), value("t", None)],
        )
        body = [node("Loop", ["trips", "", "h"], ["t"], body=inside)]
    body[0].output[0] = "y"
    return after_layer(*body, tensors=[whole("trips", 1000)])


@makes(*TOO_MUCH, says="")
def a_loop_that_doubles() -> onnx.ModelProto:
    return loop(60, [node("Concat", ["s", "s"], ["t"], axis=0)])


@makes(*TOO_MUCH, says="")
def a_loop_that_doubles_a_text() -> onnx.ModelProto:
    inside = helper.make_graph(
        [node("Identity", ["going"], ["go"]), node("StringConcat", ["s", "s"], ["t"])],
        "body",
        [value("i", [], INT64), value("going", [], TensorProto.BOOL), value("s", None, TensorProto.STRING)],
        [value("go", [], TensorProto.BOOL), value("t", None, TensorProto.STRING)],
    )
    text = helper.make_tensor("text", TensorProto.STRING, [1], np.array([b"x" * 1000]))
    length = node("StringSplit", ["z"], ["parts", "n"], delimiter="y")
    last = [length, node("Cast", ["n"], ["f"], to=FLOAT), node("Add", ["h", "f"], ["y"])]
    return after_layer(
        node("Loop", ["trips", "", "text"], ["z"], body=inside), *last, tensors=[whole("trips", 60), text], opset=20
    )


@makes("damaged-file", "forward-failed", says="body")
def a_loop_whose_body_takes_too_little() -> onnx.ModelProto:
    found = loop(3, [node("Neg", ["h"], ["t"])])
    del found.graph.node[1].attribute[0].g.input[2]
    return found


@makes("damaged-file", "forward-failed", says="")
def a_loop_whose_body_gives_too_little() -> onnx.ModelProto:
    found = loop(3, [node("Neg", ["s"], ["t"])])
    del found.graph.node[1].attribute[0].g.output[1]
    return found


@makes("damaged-file", "forward-failed", says="")
def an_if_on_many_conditions() -> onnx.ModelProto:
    body = helper.make_graph([node("Relu", ["h"], ["b"])], "body", [], [value("b")])
    made = node("If", ["many"], ["y"], then_branch=body, else_branch=body)
    return after_layer(made, tensors=[numpy_helper.from_array(np.ones(3, bool), "many")])


@makes("damaged-file", "forward-failed", says="Scan")
def a_scan_over_more_than_there_is() -> onnx.ModelProto:
    body = helper.make_graph([node("Neg", ["s"], ["t"])], "body", [value("s")], [value("t")])
    return after_layer(node("Scan", ["h"], ["y"], body=body, num_scan_inputs=2**40))


# ------------------------------------------------------------------------------------------------- sizes from the file


def _sized(name: str, *nodes: onnx.NodeProto, tensors: Sequence[onnx.TensorProto], opset: int = 18) -> None:
    """Register `nodes`, the last of which gives c; it is added to the layer's output."""

    def make() -> onnx.ModelProto:
        return after_layer(*nodes, node("Add", ["h", "c"], ["y"]), tensors=tensors, opset=opset)

    make.__name__ = name
    makes(*TOO_MUCH)(make)


_BIG = 2**40
_sized("a_constant_of_2_40", node("ConstantOfShape", ["s"], ["c"]), tensors=[whole("s", _BIG)])
_sized("a_constant_of_overflowing_size", node("ConstantOfShape", ["s"], ["c"]), tensors=[whole("s", _BIG, _BIG)])
_sized("a_constant_of_negative_size", node("ConstantOfShape", ["s"], ["c"]), tensors=[whole("s", -3)])
_sized("an_expand_to_2_40", node("Expand", ["h", "s"], ["c"]), tensors=[whole("s", _BIG, 1, 1)])
_sized("a_tile_of_2_40", node("Tile", ["h", "s"], ["c"]), tensors=[whole("s", _BIG, 1)])
_sized("a_negative_tile", node("Tile", ["h", "s"], ["c"]), tensors=[whole("s", -1, 1)])
_sized(
    "a_range_of_2_40",
    node("Range", ["a", "b", "d"], ["c"]),
    tensors=[scalar("a", 0.0), scalar("b", 2.0**40), scalar("d", 1.0)],
)
_sized(
    "a_range_without_steps",
    node("Range", ["a", "b", "d"], ["c"]),
    tensors=[scalar("a", 0.0), scalar("b", 1.0), scalar("d", 0.0)],
)
_sized(
    "a_range_of_no_numbers",
    node("Range", ["a", "b", "d"], ["c"]),
    tensors=[scalar("a", 0.0), scalar("b", np.nan), scalar("d", 1.0)],
)
_sized(
    "a_range_to_infinity",
    node("Range", ["a", "b", "d"], ["c"]),
    tensors=[scalar("a", 0.0), scalar("b", np.inf), scalar("d", 1.0)],
)
_sized("a_pad_of_2_40", node("Pad", ["h", "p"], ["c"]), tensors=[whole("p", 0, 0, _BIG, 0)])
_sized("a_negative_pad", node("Pad", ["h", "p"], ["c"]), tensors=[whole("p", 0, 0, -_BIG, 0)])
_sized(
    "a_resize_by_a_million",
    node("Resize", ["h", "", "f"], ["c"]),
    tensors=[numpy_helper.from_array(np.array([1e6, 1e6], np.float32), "f")],
)
_sized("a_resize_to_2_40", node("Resize", ["h", "", "", "s"], ["c"]), tensors=[whole("s", _BIG, 4)])
_sized(
    "a_resize_by_no_number",
    node("Resize", ["h", "", "f"], ["c"]),
    tensors=[numpy_helper.from_array(np.array([np.nan, np.inf], np.float32), "f")],
)
_sized(
    "one_hot_of_2_40",
    node("ArgMax", ["h"], ["i"], axis=1, keepdims=0),
    node("OneHot", ["i", "n", "v"], ["c"]),
    tensors=[whole("n", _BIG), numpy_helper.from_array(np.array([0, 1], np.float32), "v")],
)
_sized("noise_of_2_40", node("RandomNormal", [], ["c"], shape=[_BIG]), tensors=[])
_sized("a_window_of_2_40", node("HannWindow", ["n"], ["c"]), tensors=[whole("n", _BIG)])
_sized("the_largest_2_40", node("TopK", ["h", "k"], ["c", "i"]), tensors=[whole("k", _BIG)])
_sized("a_split_into_2_40", node("Split", ["h"], ["c"], num_outputs=_BIG, axis=1), tensors=[])
_sized("an_index_beyond_the_end", node("Gather", ["h", "i"], ["c"], axis=1), tensors=[whole("i", _BIG)])
_sized(
    "a_slice_of_a_slice",
    node("Slice", ["h", "b", "e", "a", "d"], ["c"]),
    tensors=[whole("b", 0), whole("e", -(2**63)), whole("a", 1), whole("d", 0)],
)
_sized("a_reshape_of_two_unknowns", node("Reshape", ["h", "s"], ["c"]), tensors=[whole("s", -1, -1)])
_sized(
    "an_empty_bit_of_everything",
    node("EyeLike", ["e"], ["c"], k=_BIG),
    node("ConstantOfShape", ["s"], ["e"]),
    tensors=[whole("s", 2**20, 2**20)],
)
_sized(
    "a_mel_matrix_of_2_40",
    node("MelWeightMatrix", ["n", "n", "n", "l", "l"], ["c"]),
    tensors=[scalar("n", np.int64(_BIG)), scalar("l", np.float32(1))],
)


@makes(*TOO_MUCH, says="")
def sixty_doublings() -> onnx.ModelProto:
    names = ["h", *(f"v{i}" for i in range(59)), "y"]
    return after_layer(*(node("Concat", [a, a], [b], axis=1) for a, b in itertools.pairwise(names)))


@makes(*TOO_MUCH, says="")
def sixty_doublings_of_a_constant() -> onnx.ModelProto:
    names = ["w", *(f"v{i}" for i in range(59)), "c"]
    doubled = [node("Concat", [a, a], [b], axis=0) for a, b in itertools.pairwise(names)]
    return after_layer(*doubled, node("Add", ["h", "c"], ["y"]), tensors=[weight("w", 1024)])


def _image(name: str, made: onnx.NodeProto, *tensors: onnx.TensorProto, opset: int = 18) -> None:
    def make() -> onnx.ModelProto:
        images = [value("x", ["N", 3, 8, 8])]
        return model(
            [node("Conv", ["x", "layer.weight"], ["h"]), made],
            [weight("layer.weight", 4, 3, 3, 3), *tensors],
            images,
            opset=opset,
        )

    make.__name__ = name
    makes(*TOO_MUCH)(make)


_image("a_convolution_with_pads_of_2_40", node("Conv", ["h", "w"], ["y"], pads=[_BIG] * 4), weight("w", 4, 4, 3, 3))
_image(
    "a_convolution_with_holes_of_2_62", node("Conv", ["h", "w"], ["y"], dilations=[2**62] * 2), weight("w", 4, 4, 3, 3)
)
_image("a_convolution_without_strides", node("Conv", ["h", "w"], ["y"], strides=[0, 0]), weight("w", 4, 4, 3, 3))
_image("a_convolution_with_negative_pads", node("Conv", ["h", "w"], ["y"], pads=[-9] * 4), weight("w", 4, 4, 3, 3))
_image("a_convolution_in_no_groups", node("Conv", ["h", "w"], ["y"], group=0), weight("w", 4, 4, 3, 3))
_image("a_convolution_with_a_zero_dimensional_weight", node("Conv", ["h", "w"], ["y"]), scalar("w", np.float32(1)))
_image(
    "a_transposed_convolution_to_2_40",
    node("ConvTranspose", ["h", "w"], ["y"], output_shape=[_BIG, _BIG]),
    weight("w", 4, 4, 3, 3),
)
_image(
    "a_transposed_convolution_with_strides_of_2_40",
    node("ConvTranspose", ["h", "w"], ["y"], strides=[_BIG] * 2),
    weight("w", 4, 4, 3, 3),
)
_image("a_pool_of_2_40", node("MaxPool", ["h"], ["y"], kernel_shape=[_BIG] * 2, pads=[_BIG // 2] * 4))
_image("a_pool_of_nothing", node("AveragePool", ["h"], ["y"], kernel_shape=[0, 0]))
_image("a_local_norm_of_2_40", node("LRN", ["h"], ["y"], size=_BIG))
_image("blocks_of_2_31", node("DepthToSpace", ["h"], ["y"], blocksize=2**31))
_image("spaces_of_0", node("SpaceToDepth", ["h"], ["y"], blocksize=0))
_image("an_einsum_of_everything", node("Einsum", ["h", "h", "h"], ["y"], equation="abcd,efgh,ijkl->abcdefghijkl"))
_image("an_einsum_of_nonsense", node("Einsum", ["h"], ["y"], equation="->" * 1000))
_image(
    "an_upsample_by_a_million",
    node("Upsample", ["h", "f"], ["y"]),
    numpy_helper.from_array(np.array([1, 1, 1e6, 1e6], np.float32), "f"),
    opset=9,
)
_image("a_recurrence_of_nothing", node("LSTM", ["h", "w", "w"], ["y"], hidden_size=2**40), weight("w", 1, 4, 4))
