"""Does a node fit its operator's schema: as many inputs and outputs, its attributes all there and of their types?"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import onnx
from onnx import defs

from gradcheck_cli.loaders.onnx_model.check_tensors import check_sparse, check_tensor
from gradcheck_cli.loaders.onnx_model.faults import GraphFault
from gradcheck_cli.loaders.refusals import printable
from gradcheck_cli.onnx_ops.registry import FUSED

STANDARD = ("", "ai.onnx")
_TYPES = onnx.AttributeProto.AttributeType
_SPOKEN = {1: "a number", 2: "a whole number", 3: "text", 4: "a tensor", 5: "a graph", 6: "numbers", 7: "whole numbers"}


@dataclass(frozen=True)
class _Schema:
    inputs: tuple[int, int]
    """Fewest and most."""
    outputs: tuple[int, int]
    attributes: Mapping[str, tuple[int, bool]]
    """Name → type, and whether it must be there."""


def check_node(node: onnx.NodeProto, opsets: Mapping[str, int], *, in_function: bool) -> None:
    """Raises GraphFault for a node that cannot be what it says; one of an unknown operator passes."""
    label = label_of(node)
    _check_attributes(node, label, in_function=in_function)
    if node.domain == FUSED:
        raise GraphFault(f"{label} is of the domain {FUSED}, in which no file may have operators")
    domain = "" if node.domain in STANDARD else node.domain
    schema = _schema(domain, node.op_type, opsets.get(domain, 1))
    if schema is None:
        return
    for what, names, (fewest, most) in (
        ("inputs", node.input, schema.inputs),
        ("outputs", node.output, schema.outputs),
    ):
        count = len(names)
        while count and not names[count - 1]:
            count -= 1
        if len(names) < fewest or count > most:
            wanted = str(fewest) if fewest == most else f"{fewest} or more" if most > 1000 else f"{fewest} to {most}"
            raise GraphFault(f"{label} has {count} {what}, and its operator {wanted}")
    given = {each.name: each.type for each in node.attribute}
    for name, (kind, required) in schema.attributes.items():
        if required and name not in given:
            raise GraphFault(f"{label} lacks its attribute {name}")
        if given.get(name, kind) != kind:
            raise GraphFault(
                f"the attribute {name} of {label} is {_spoken(given[name])}, and should be {_spoken(kind)}"
            )


def label_of(node: onnx.NodeProto) -> str:
    """How a node is called in a message."""
    operator = printable(node.op_type, 40) or "without an operator"
    return f"the node {printable(node.name, 80)} ({operator})" if node.name else f"the node {operator}"


def _check_attributes(node: onnx.NodeProto, label: str, *, in_function: bool) -> None:
    twice = [name for name, count in Counter(each.name for each in node.attribute).items() if count > 1]
    if twice:
        raise GraphFault(f"{label} has two attributes {printable(twice[0], 60)}")
    for each in node.attribute:
        name = printable(each.name, 60)
        if each.type not in _TYPES.values() or not each.type:
            raise GraphFault(f"the attribute {name} of {label} has no type")
        if each.ref_attr_name and not in_function:
            raise GraphFault(f"the attribute {name} of {label} stands for one of a function, and it is in none")
        what = f"the attribute {name} of {label}"
        for tensor in (each.t, *each.tensors) if each.HasField("t") or each.tensors else ():
            check_tensor(tensor, what)
        for sparse in (each.sparse_tensor, *each.sparse_tensors) if each.HasField("sparse_tensor") else ():
            check_sparse(sparse, what)


@functools.lru_cache(maxsize=4096)
def _schema(domain: str, operator: str, version: int) -> _Schema | None:
    try:
        found = defs.get_schema(operator, version, domain)
    except (defs.SchemaError, ValueError, TypeError, OverflowError):
        return None
    return _Schema(
        (found.min_input, found.max_input),
        (found.min_output, found.max_output),
        {name: (int(getattr(each.type, "value", 0)), each.required) for name, each in found.attributes.items()},
    )


def _spoken(kind: int) -> str:
    return _SPOKEN.get(kind, f"of the type {_TYPES.Name(kind).lower()}")
