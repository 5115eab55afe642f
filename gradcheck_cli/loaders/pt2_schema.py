"""A clean copy of an exported program's JSON: only what is understood and harmless comes through.

What torch does with this JSON if it is left as it is: expressions are evaluated, guards and names are pasted into
Python source, tree specs import modules, targets are looked up by any dotted path. So every field is parsed here by a
rule of its own, and the library is given what the rules give back. Source: `torch._export.serde.schema`.
"""

from __future__ import annotations

from typing import Any

from gradcheck_cli.loaders import pt2_targets, pt2_treespec
from gradcheck_cli.loaders.pt2_errors import DoorError
from gradcheck_cli.loaders.pt2_rules import (
    absent,
    argument_name,
    boolean,
    constant,
    expression,
    integer,
    mapping,
    name,
    number,
    optional,
    qualified_name,
    record,
    sequence,
    text,
    union,
)
from gradcheck_cli.loaders.refusals import printable

_VERIFIERS = frozenset({"TRAINING", "ATEN"})


def clean_program(value: object) -> dict[str, Any]:
    """The clean copy of ``models/model.json``. Raises `DoorError` with what is not on the checked list."""
    clean: dict[str, Any] = _PROGRAM(value)
    return clean


def clean_payload_config(value: object) -> dict[str, Any]:
    """The clean copy of a weights or constants config: name → payload file and tensor layout."""
    clean: dict[str, Any] = record({"config": mapping(qualified_name, _PAYLOAD)})(value)
    return clean


def _verifier(value: Any) -> Any:
    """The name of the dialect that the program is checked against."""
    if value not in _VERIFIERS:
        raise DoorError(f"it is of the dialect {printable(value, 40)}")
    return value


# ---------------------------------------------------------------------------------------------------- torch's schema

_DEVICE = constant({"type": "cpu", "index": None})
_NAMED = record({"name": name})
_HINT = optional(union(as_int=integer, as_bool=boolean, as_float=number))
_EXPRESSION = record({"expr_str": expression}, hint=_HINT)
_SYM_INT = union(as_expr=_EXPRESSION, as_int=integer)
_SYM_FLOAT = union(as_expr=_EXPRESSION, as_float=number)
_SYM_BOOL = union(as_expr=_EXPRESSION, as_bool=boolean)
_LAYOUT = {"dtype": integer, "requires_grad": boolean, "device": _DEVICE, "layout": integer}
_TENSOR = record({**_LAYOUT, "sizes": sequence(_SYM_INT), "strides": sequence(_SYM_INT), "storage_offset": _SYM_INT})
_FIXED = union(as_int=integer)
_FIXED_TENSOR = record({**_LAYOUT, "sizes": sequence(_FIXED), "strides": sequence(_FIXED), "storage_offset": _FIXED})
_PAYLOAD = record(
    {"path_name": name, "is_param": boolean, "use_pickle": absent("pickled weights")},
    tensor_meta=_FIXED_TENSOR,
)
_INT_ARGUMENT = union(as_name=name, as_int=integer)
_FLOAT_ARGUMENT = union(as_name=name, as_float=number)
_BOOL_ARGUMENT = union(as_name=name, as_bool=boolean)
_OPTIONAL_TENSOR = union(as_tensor=_NAMED, as_none=boolean)


def _graph(value: Any) -> Any:
    return _GRAPH(value)


_ARGUMENT = union(
    as_none=boolean,
    as_tensor=_NAMED,
    as_tensors=sequence(_NAMED),
    as_int=integer,
    as_ints=sequence(integer),
    as_float=number,
    as_floats=sequence(number),
    as_string=text,
    as_strings=sequence(text),
    as_sym_int=_INT_ARGUMENT,
    as_sym_ints=sequence(_INT_ARGUMENT),
    as_scalar_type=integer,
    as_memory_format=integer,
    as_layout=integer,
    as_device=_DEVICE,
    as_bool=boolean,
    as_bools=sequence(boolean),
    as_sym_bool=_BOOL_ARGUMENT,
    as_sym_bools=sequence(_BOOL_ARGUMENT),
    as_sym_float=_FLOAT_ARGUMENT,
    as_sym_floats=sequence(_FLOAT_ARGUMENT),
    as_optional_tensor=_OPTIONAL_TENSOR,
    as_optional_tensors=sequence(_OPTIONAL_TENSOR),
    as_complex=record({"real": number, "imag": number}),
    as_graph=record({"name": name, "graph": _graph}),
)
_NODE = record(
    {
        "target": pt2_targets.target,
        "inputs": sequence(record({"name": argument_name, "arg": _ARGUMENT}, kind=optional(integer))),
        "outputs": sequence(_ARGUMENT),
        "metadata": record(nn_module_stack=text, torch_fn=text),
    },
    is_hop_single_tensor_return=optional(boolean),
    name=optional(name),
)
_GRAPH = record(
    {
        "inputs": sequence(_ARGUMENT),
        "outputs": sequence(_ARGUMENT),
        "nodes": sequence(_NODE),
        "tensor_values": mapping(name, _TENSOR),
        "sym_int_values": mapping(name, _SYM_INT),
        "sym_bool_values": mapping(name, _SYM_BOOL),
    },
    sym_float_values=mapping(name, _SYM_FLOAT),
    is_single_tensor_return=boolean,
    custom_obj_values=absent("custom objects"),
)
_CONSTANT = union(as_none=boolean, as_int=integer, as_float=number, as_string=text, as_bool=boolean)
_INPUT = union(
    user_input=record({"arg": _ARGUMENT}),
    parameter=record({"arg": _NAMED, "parameter_name": qualified_name}),
    buffer=record({"arg": _NAMED, "buffer_name": qualified_name, "persistent": boolean}),
    tensor_constant=record({"arg": _NAMED, "tensor_constant_name": qualified_name}),
    constant_input=record({"name": name, "value": _CONSTANT}),
)
_OUTPUT = union(
    user_output=record({"arg": _ARGUMENT}),
    loss_output=record({"arg": _NAMED}),
    buffer_mutation=record({"arg": _NAMED, "buffer_name": qualified_name}),
    user_input_mutation=record({"arg": _NAMED, "user_input_name": name}),
)
_CALL_SIGNATURE = record(
    {
        "inputs": absent("module call signatures"),
        "outputs": absent("module call signatures"),
        "in_spec": pt2_treespec.inputs,
        "out_spec": pt2_treespec.outputs,
    },
    forward_arg_names=optional(sequence(name)),
)


def _call_graph(value: Any) -> Any:
    """Only the entry of the whole program is used; those of inner modules serve unflattening alone."""
    if not isinstance(value, list) or not value:
        raise DoorError("it has no call signature")
    entry = record({"fqn": text, "signature": _CALL_SIGNATURE})(value[0])
    if entry["fqn"] != "":
        raise DoorError("it has no call signature")
    return [entry]


_PROGRAM = record(
    {
        "graph_module": record(
            {
                "graph": _GRAPH,
                "signature": record({"input_specs": sequence(_INPUT), "output_specs": sequence(_OUTPUT)}),
                "module_call_graph": _call_graph,
            },
            metadata=constant({}),
        ),
        "opset_version": mapping(name, integer),
        "range_constraints": mapping(expression, record({"min_val": optional(integer), "max_val": optional(integer)})),
        "schema_version": record({"major": integer, "minor": integer}),
    },
    verifiers=sequence(_verifier),
    torch_version=text,
    guards_code=constant([]),
)
