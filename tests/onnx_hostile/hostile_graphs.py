"""Graphs that contradict themselves: circles, missing and doubled names, operators, versions and attributes that are not."""

from __future__ import annotations

import itertools

import onnx
from hostile_case import DIAGNOSED, FLOAT, after_layer, changed, honest, makes, model, value, weight, whole
from onnx import helper

node = helper.make_node


@makes("damaged-file", says="no graph")
def no_graph() -> onnx.ModelProto:
    return changed(lambda m: m.ClearField("graph"))


@makes("damaged-file", says="no outputs")
def an_empty_graph() -> onnx.ModelProto:
    return model([], inputs=[], outputs=[])


@makes("damaged-file", says="no outputs")
def no_outputs() -> onnx.ModelProto:
    return changed(lambda m: m.graph.ClearField("output"))


@makes("damaged-file", says="wait for each other in a circle")
def a_circle() -> onnx.ModelProto:
    return model([node("Add", ["x", "b"], ["a"]), node("Relu", ["a"], ["b"]), node("Relu", ["b"], ["y"])])


@makes("damaged-file", says="circle")
def a_node_that_reads_itself() -> onnx.ModelProto:
    return model([node("Add", ["x", "y"], ["y"])])


@makes("damaged-file", says="circle")
def a_circle_through_a_body() -> onnx.ModelProto:
    body = helper.make_graph([node("Relu", ["late"], ["b"])], "body", [], [value("b")])
    tensors = [helper.make_tensor("yes", onnx.TensorProto.BOOL, [], [True])]
    return model(
        [node("If", ["yes"], ["y"], then_branch=body, else_branch=body), node("Relu", ["y"], ["late"])], tensors
    )


@makes(DIAGNOSED)
def nodes_in_reverse() -> onnx.ModelProto:
    def reverse(found: onnx.ModelProto) -> None:
        nodes = list(found.graph.node)[::-1]
        del found.graph.node[:]
        found.graph.node.extend(nodes)

    return changed(reverse)


@makes("damaged-file", says="nothing gives second.bias")
def a_missing_initialiser() -> onnx.ModelProto:
    return changed(lambda m: m.graph.initializer.pop())


@makes("damaged-file", says="nothing gives nowhere")
def an_output_that_nothing_gives() -> onnx.ModelProto:
    return changed(lambda m: m.graph.output.append(value("nowhere")))


@makes("damaged-file", "no-parameters", DIAGNOSED)
def an_output_that_is_an_input() -> onnx.ModelProto:
    return model([], outputs=[value("x")])


@makes("damaged-file", DIAGNOSED)
def an_output_that_is_a_weight() -> onnx.ModelProto:
    return changed(lambda m: m.graph.output.append(value("first.weight")))


@makes("damaged-file", says="two outputs")
def an_output_twice() -> onnx.ModelProto:
    return changed(lambda m: m.graph.output.append(m.graph.output[0]))


@makes("damaged-file", says="without a name")
def an_output_without_a_name() -> onnx.ModelProto:
    return changed(lambda m: setattr(m.graph.output[0], "name", ""))


@makes("damaged-file", says="two initialisers")
def two_initialisers_of_a_name() -> onnx.ModelProto:
    return changed(lambda m: m.graph.initializer.append(weight("first.bias", 8)))


@makes("damaged-file", says="two inputs")
def two_inputs_of_a_name() -> onnx.ModelProto:
    return changed(lambda m: m.graph.input.append(value("x")))


@makes("damaged-file", says="two values")
def two_nodes_that_give_a_value() -> onnx.ModelProto:
    return changed(lambda m: m.graph.node.append(node("Relu", ["a"], ["b"])))


@makes("damaged-file", says="two values")
def a_node_that_overwrites_its_input() -> onnx.ModelProto:
    return after_layer(node("Relu", ["h"], ["x"]), node("Relu", ["h"], ["y"]))


@makes("damaged-file", says="two values")
def a_node_that_gives_a_value_twice() -> onnx.ModelProto:
    return after_layer(node("Split", ["h"], ["y", "y"], num_outputs=2, axis=1))


@makes("damaged-file", says="0 outputs")
def a_node_without_outputs() -> onnx.ModelProto:
    return changed(lambda m: m.graph.node.append(node("Relu", ["a"], [])))


@makes("damaged-file", says="without a name")
def outputs_without_names() -> onnx.ModelProto:
    return model([node("Relu", ["x"], [""])], outputs=[value("")])


@makes("unsupported-operator", says="Frobnicate (version 18)")
def an_unknown_operator() -> onnx.ModelProto:
    return after_layer(node("Frobnicate", ["h"], ["y"]))


@makes("unsupported-operator", says="3 × Frobnicate (version 18), 1 × org.example.Relu (version 1)")
def several_unknown_operators() -> onnx.ModelProto:
    nodes = [node("Frobnicate", ["h"], ["a"]), node("Frobnicate", ["a"], ["b"]), node("Frobnicate", ["b"], ["c"])]
    return after_layer(*nodes, node("Relu", ["c"], ["y"], domain="org.example"), domains=["org.example"])


@makes("unsupported-operator", "damaged-file")
def a_node_without_an_operator() -> onnx.ModelProto:
    return after_layer(node("", ["h"], ["y"]))


@makes("unsupported-operator", "damaged-file", says="org.example")
def a_domain_that_is_not_declared() -> onnx.ModelProto:
    return after_layer(node("Relu", ["h"], ["y"], domain="org.example"))


@makes("damaged-file", says="gradcheck.fused")
def our_own_domain() -> onnx.ModelProto:
    return after_layer(node("ScaledDotProductAttention", ["h"] * 5, ["y"], domain="gradcheck.fused"))


@makes("damaged-file", says="the installed onnx knows")
def an_operator_set_of_the_future() -> onnx.ModelProto:
    return changed(lambda m: setattr(m.opset_import[0], "version", 10_000))


@makes("damaged-file", says="version")
def operator_set_zero() -> onnx.ModelProto:
    return changed(lambda m: setattr(m.opset_import[0], "version", 0))


@makes("damaged-file", says="version")
def a_negative_operator_set() -> onnx.ModelProto:
    return changed(lambda m: setattr(m.opset_import[0], "version", -(2**63)))


@makes("damaged-file", says="two versions")
def two_versions_of_the_operators() -> onnx.ModelProto:
    return changed(lambda m: m.opset_import.append(helper.make_opsetid("ai.onnx", 7)))


@makes("damaged-file", says="which version")
def no_operator_set() -> onnx.ModelProto:
    return changed(lambda m: m.ClearField("opset_import"))


@makes("unsupported-operator", says="Gelu (version 18)")
def an_operator_newer_than_its_version() -> onnx.ModelProto:
    return after_layer(node("Gelu", ["h"], ["y"]))


@makes(DIAGNOSED, "not-a-model")
def a_format_version_of_the_future() -> onnx.ModelProto:
    return changed(lambda m: setattr(m, "ir_version", 49))


@makes("not-a-model", "damaged-file")
def an_impossible_format_version() -> onnx.ModelProto:
    return changed(lambda m: setattr(m, "ir_version", 2**62))


# ------------------------------------------------------------------------------------------------------------ attributes


def _with_attribute(operator: str, attribute: onnx.AttributeProto, *, inputs: int = 1) -> onnx.ModelProto:
    made = node(operator, ["h"] * inputs, ["y"])
    made.attribute.append(attribute)
    return after_layer(made)


@makes("damaged-file", says="an attribute bogus")
def an_unknown_attribute() -> onnx.ModelProto:
    return _with_attribute("Relu", helper.make_attribute("bogus", 1))


@makes("damaged-file", says="axis")
def an_attribute_of_the_wrong_type() -> onnx.ModelProto:
    return _with_attribute("Softmax", helper.make_attribute("axis", "last"))


@makes("damaged-file", says="alpha")
def numbers_for_a_number() -> onnx.ModelProto:
    return _with_attribute("LeakyRelu", helper.make_attribute("alpha", [0.1, 0.2]))


@makes("damaged-file", says="axis")
def a_missing_attribute() -> onnx.ModelProto:
    return after_layer(node("Concat", ["h", "h"], ["y"]))


@makes("damaged-file", says="to")
def a_cast_to_nothing() -> onnx.ModelProto:
    return after_layer(node("Cast", ["h"], ["y"]))


@makes("damaged-file", "forward-failed", says="Cast")
def a_cast_to_a_type_that_is_none() -> onnx.ModelProto:
    return after_layer(node("Cast", ["h"], ["y"], to=99))


@makes("damaged-file", says="axis")
def an_attribute_twice() -> onnx.ModelProto:
    made = node("Softmax", ["h"], ["y"], axis=1)
    made.attribute.append(helper.make_attribute("axis", 0))
    return after_layer(made)


@makes("damaged-file", says="axis")
def an_attribute_without_a_type() -> onnx.ModelProto:
    found = _with_attribute("Softmax", helper.make_attribute("axis", 1))
    found.graph.node[1].attribute[0].type = 0
    return found


@makes("damaged-file", says="axis")
def an_attribute_of_a_function_outside_of_one() -> onnx.ModelProto:
    attribute = helper.make_attribute("axis", 1)
    attribute.ref_attr_name = "given"
    return _with_attribute("Softmax", attribute)


@makes("damaged-file", says="graph")
def a_graph_for_a_number() -> onnx.ModelProto:
    body = helper.make_graph([], "body", [], [value("h")])
    return _with_attribute("Softmax", helper.make_attribute("axis", body))


@makes("damaged-file", "forward-failed", says="Constant")
def a_constant_without_a_value() -> onnx.ModelProto:
    return after_layer(node("Constant", [], ["c"]), node("Add", ["h", "c"], ["y"]))


@makes("damaged-file", "forward-failed", says="Constant")
def a_constant_of_two_values() -> onnx.ModelProto:
    return after_layer(node("Constant", [], ["c"], value_int=1, value_float=2.0), node("Add", ["h", "c"], ["y"]))


@makes("damaged-file", says="else_branch")
def half_an_if() -> onnx.ModelProto:
    body = helper.make_graph([node("Relu", ["h"], ["b"])], "body", [], [value("b")])
    yes = helper.make_tensor("yes", onnx.TensorProto.BOOL, [], [True])
    return after_layer(node("If", ["yes"], ["y"], then_branch=body), tensors=[yes])


@makes("damaged-file", "forward-failed", says="Gemm")
def too_few_inputs() -> onnx.ModelProto:
    return model([node("Gemm", ["x"], ["y"])])


@makes("damaged-file", "forward-failed", says="Relu")
def too_many_inputs() -> onnx.ModelProto:
    return after_layer(node("Relu", ["h"] * 100, ["y"]))


@makes("damaged-file", "forward-failed", says="Relu")
def too_many_outputs() -> onnx.ModelProto:
    return after_layer(node("Relu", ["h"], ["y", "z"]), outputs=[value("y"), value("z")])


@makes("damaged-file", "forward-failed", says="Relu")
def no_inputs_at_all() -> onnx.ModelProto:
    return after_layer(node("Relu", [""], ["y"]))


@makes("forward-failed", DIAGNOSED)
def an_operator_on_the_wrong_type() -> onnx.ModelProto:
    return after_layer(node("Sigmoid", ["h"], ["s"]), node("Gather", ["h", "s"], ["y"]))


# ----------------------------------------------------------------------------------------------------------------- names


def _named(name: str) -> onnx.ModelProto:
    found = honest()
    for each in found.graph.node:
        each.name = each.name.replace("first", name)
        each.input[:] = [part.replace("first", name) for part in each.input]
    for tensor in found.graph.initializer:
        tensor.name = tensor.name.replace("first", name)
    return found


@makes(DIAGNOSED)
def names_with_escapes() -> onnx.ModelProto:
    return _named("\x1b[31mred\x1b]8;;http://example.org\x07\r\n[bold]<script>alert(1)</script>‮")


@makes(DIAGNOSED)
def names_of_a_megabyte() -> onnx.ModelProto:
    return _named("n" * 1_000_000)


@makes(DIAGNOSED)
def names_a_thousand_modules_deep() -> onnx.ModelProto:
    return _named(".".join(["deep"] * 1000))


@makes(DIAGNOSED)
def names_of_slashes() -> onnx.ModelProto:
    return _named("/" * 3000)


@makes(DIAGNOSED)
def names_with_empty_parts() -> onnx.ModelProto:
    return _named("..a...b..")


@makes(DIAGNOSED)
def names_of_pythons() -> onnx.ModelProto:
    return _named("__class__.forward.training._parameters.self")


@makes(DIAGNOSED)
def a_parameter_called_training() -> onnx.ModelProto:
    return model([node("MatMul", ["x", "a.training"], ["y"])], [weight("a.training", 4, 4)])


@makes(DIAGNOSED)
def names_with_nul() -> onnx.ModelProto:
    return _named("a\0b")


@makes(DIAGNOSED)
def a_parameter_that_is_also_a_module() -> onnx.ModelProto:
    nodes = [
        node("MatMul", ["x", "a.weight"], ["h"]),
        node("MatMul", ["h", "a.weight.weight"], ["i"]),
        node("MatMul", ["i", "a"], ["y"]),
    ]
    return model(nodes, [weight("a.weight", 4, 4), weight("a.weight.weight", 4, 4), weight("a", 4, 4)])


@makes(DIAGNOSED)
def inputs_of_nasty_names() -> onnx.ModelProto:
    names = ["self", "class", "\x1b[2J", "a.b", "a_b", "", "args", "kwargs", "0"]
    added = [node("Sum", [name for name in names if name], ["y"])]
    return model(added, inputs=[value(name) for name in names])


@makes("damaged-file", "forward-failed", DIAGNOSED)
def inputs_that_are_no_tensors() -> onnx.ModelProto:
    found = after_layer(node("Relu", ["h"], ["y"]))
    found.graph.input.append(helper.make_tensor_sequence_value_info("s", FLOAT, None))
    return found


@makes(DIAGNOSED, "no-input-found")
def a_thousand_nodes_in_a_row() -> onnx.ModelProto:
    names = ["h", *(f"v{i}" for i in range(999)), "y"]
    return after_layer(*(node("Neg", [one], [two]) for one, two in itertools.pairwise(names)))


@makes("damaged-file", says="nodes")
def more_nodes_than_anyone_needs() -> onnx.ModelProto:
    found = after_layer(node("Relu", ["h"], ["y"]))
    text = found.graph.node[1].SerializeToString()
    found.graph.node.extend([onnx.NodeProto.FromString(text)] * 2_001)
    return found


@makes(DIAGNOSED)
def an_input_of_negative_size() -> onnx.ModelProto:
    found = honest()
    found.graph.input[0].type.tensor_type.shape.dim[1].dim_value = -4
    return found


@makes("out-of-memory", "memory-limit", "damaged-file", "no-input-found", "sample-too-large", says="")
def an_input_of_huge_size() -> onnx.ModelProto:
    found = honest()
    found.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 2**40
    return found


@makes("damaged-file", "no-input-found", "forward-failed", says="")
def an_input_of_a_thousand_dimensions() -> onnx.ModelProto:
    return model([node("Relu", ["x"], ["y"])], inputs=[value("x", [1] * 1000)])


@makes("damaged-file", "no-input-found", "forward-failed", says="")
def a_reshape_that_does_not_fit() -> onnx.ModelProto:
    return after_layer(node("Reshape", ["h", "s"], ["y"]), tensors=[whole("s", 7, 11, 13)])
