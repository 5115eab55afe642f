"""The backend node tests under older versions of the standard: the same node, said as each version says it.

What became an input later goes back to an attribute, an attribute that a version does not have must be at its default. What
a version cannot say is left out.
"""

from __future__ import annotations

import collections
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from backend_cases import Case, all_cases
from onnx import defs, helper, numpy_helper

Key = tuple[str, str, int]
"""(domain, operator, since-version)."""

_RENAMED = {("Pad", "constant_value"): "value", ("Pad", "pads"): "pads"}
_MINIMUM = {"": 17, "ai.onnx.ml": 1}


@functools.cache
def schemas() -> dict[Key, defs.OpSchema]:
    """Every version of every operator of the standard, deprecated ones left out."""
    found = defs.get_all_schemas_with_history()
    return {(s.domain, s.name, s.since_version): s for s in found if not s.deprecated}


@functools.cache
def cases_of() -> dict[tuple[str, str], list[Case]]:
    """(domain, operator) → the node tests of this one node."""
    found: dict[tuple[str, str], list[Case]] = collections.defaultdict(list)
    for case in all_cases():
        if not case.expanded and len(case.model.graph.node) == 1:
            found[case.operator].append(case)
    return found


def restamped(key: Key) -> Iterator[tuple[Case, onnx.ModelProto, list[Any]]]:
    """The node tests that this version can say: (case, its model then, its inputs then)."""
    domain, name, version = key
    for case in cases_of()[(domain, name)]:
        opset = next(each.version for each in case.model.opset_import if each.domain == domain)
        now, then = defs.get_schema(name, opset, domain), schemas()[key]
        said = _said(case, now, then)
        if said is not None:
            model = _model(case, said[0], domain, version)
            if _is_valid(model):
                yield case, model, said[1]


def _said(case: Case, now: defs.OpSchema, then: defs.OpSchema) -> tuple[onnx.NodeProto, list[Any]] | None:
    """The node and its inputs as `then` says them; None where it cannot."""
    node = onnx.NodeProto()
    node.CopyFrom(case.node)
    given = dict(zip((value.name for value in case.model.graph.input), case.sets[0][0], strict=True))
    variadic = bool(then.inputs) and then.inputs[-1].option == defs.OpSchema.FormalParameterOption.Variadic
    while len(node.input) > len(then.inputs) and not variadic:
        slot = len(node.input) - 1
        if node.input[slot]:
            attribute = _attribute(then, now.inputs[slot].name, given.pop(node.input[slot], None))
            if attribute is None:
                return None
            node.attribute.append(attribute)
        del node.input[slot]
    if not _attributes_fit(node, now, then) or len(node.output) > _most_outputs(then):
        return None
    used = {name for name in node.input if name}
    values = [*case.model.graph.input, *case.model.graph.output]
    if not all(_type_fits(node, value, then) for value in values if value.name in used or value.name in node.output):
        return None
    if "is_test" in then.attributes:  # trains unless told otherwise
        node.attribute.append(helper.make_attribute("is_test", 1))
    if "broadcast" in then.attributes and len({np.shape(each) for each in case.sets[0][0]}) > 1:
        node.attribute.append(helper.make_attribute("broadcast", 1))
    return node, [value for name, value in given.items() if name in used]


def _attribute(then: defs.OpSchema, name: str, value: Any) -> onnx.AttributeProto | None:
    name = _RENAMED.get((then.name, name), name)
    name = {"pads": "paddings"}.get(name, name) if name not in then.attributes else name
    if name not in then.attributes or value is None or not isinstance(value, np.ndarray):
        return None
    plain = value.tolist()
    kind = then.attributes[name].type
    if kind in (defs.OpSchema.AttrType.INT, defs.OpSchema.AttrType.FLOAT):
        plain = value.reshape(-1)[0].item() if value.size == 1 else None
    return None if plain is None or plain == [] else helper.make_attribute(name, plain)


def _attributes_fit(node: onnx.NodeProto, now: defs.OpSchema, then: defs.OpSchema) -> bool:
    for attribute in list(node.attribute):
        if attribute.name not in then.attributes:
            default = now.attributes[attribute.name].default_value if attribute.name in now.attributes else None
            same = default is not None and default.type and _value(default) == _value(attribute)
            if not same:
                return False
            node.attribute.remove(attribute)
        elif attribute.name == "to" and then.attributes["to"].type == defs.OpSchema.AttrType.STRING:
            element = onnx.TensorProto.DataType.Name(attribute.i)
            attribute.CopyFrom(helper.make_attribute("to", element))
    return all(
        not each.required or any(a.name == name for a in node.attribute) for name, each in then.attributes.items()
    )


def _value(attribute: onnx.AttributeProto) -> Any:
    value = helper.get_attribute_value(attribute)
    return list(value) if not isinstance(value, (int, float, str, bytes)) and hasattr(value, "__iter__") else value


def _most_outputs(then: defs.OpSchema) -> int:
    last = then.outputs[-1] if then.outputs else None
    return (
        1 << 30
        if last is not None and last.option == defs.OpSchema.FormalParameterOption.Variadic
        else len(then.outputs)
    )


def _type_fits(node: onnx.NodeProto, value: onnx.ValueInfoProto, then: defs.OpSchema) -> bool:
    """Whether the version takes, or gives, values of this type."""
    names, parameters = (node.input, then.inputs) if value.name in node.input else (node.output, then.outputs)
    slot = min(list(names).index(value.name), len(parameters) - 1)
    if value.type.WhichOneof("value") != "tensor_type" or slot < 0:
        return True
    element = onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type).lower()
    return f"tensor({element})" in parameters[slot].types


def _model(case: Case, node: onnx.NodeProto, domain: str, version: int) -> onnx.ModelProto:
    graph = case.model.graph
    used = set(node.input)
    opsets = [helper.make_opsetid(domain, version)]
    opsets += [helper.make_opsetid("", _MINIMUM[""])] if domain else []
    initial = [value for value in graph.initializer if value.name in used]
    made = helper.make_graph([node], "g", [v for v in graph.input if v.name in used], graph.output, initial)
    return helper.make_model(made, opset_imports=opsets, ir_version=10)


def _is_valid(model: onnx.ModelProto) -> bool:
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError:
        return False
    return True


def as_feed(value: Any) -> Any:
    """A test's input as ONNX Runtime takes it."""
    if isinstance(value, list):
        return [as_feed(item) for item in value]
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value
