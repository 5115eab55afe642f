"""Runs the graph of a TorchScript method node by node, each operation through torch's own dispatcher.

Source of the node kinds: ``torch/csrc/jit/OVERVIEW.md`` of PyTorch, "Core program representation".
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from gradcheck_cli.loaders.refusals import printable

MAX_DEPTH = 200
"""Calls within calls."""


class ScriptError(Exception):
    """The program raised, or uses something that is not interpreted."""


def uses_mode(graph: Any) -> bool:
    """Whether the graph asks if it is in training."""
    return any(node.s("name") == "training" for node in graph.findAllNodes("prim::GetAttr"))


class Interpreter:
    """Runs graphs of one compilation unit, which holds the functions that they call."""

    def __init__(self, unit: Any) -> None:
        self.unit = unit
        self.depth = 0
        self.parameters: dict[tuple[object, ...], nn.Parameter] = {}
        """By where their values lie: a program may hold one under several names, and in lists."""

    def parameter(self, tensor: torch.Tensor) -> nn.Parameter:
        """The one parameter for the values of `tensor`."""
        made = nn.Parameter(tensor.detach(), tensor.requires_grad)
        return self.parameters.setdefault(_place(tensor), made) if tensor.numel() else made

    def own(self, value: Any) -> Any:
        """An attribute's value, with the parameters in it for the program's own tensors."""
        if isinstance(value, torch.Tensor):
            return self.parameters.get(_place(value), value)
        return [self.own(item) for item in value] if isinstance(value, list) else value

    def run(self, graph: Any, arguments: list[Any]) -> Any:
        """What `graph` returns for `arguments`, in the order of its inputs."""
        values: dict[str, Any] = dict(zip((value.debugName() for value in graph.inputs()), arguments, strict=True))
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ScriptError("the TorchScript program calls itself too deeply")
        try:
            results = self._block(graph, values)
        finally:
            self.depth -= 1
        return results[0] if len(results) == 1 else tuple(results)

    def _block(self, block: Any, values: dict[str, Any]) -> list[Any]:
        for node in block.nodes():
            self._node(node, values)
        return [values[value.debugName()] for value in block.outputs()]

    def _node(self, node: Any, values: dict[str, Any]) -> None:
        kind = node.kind()
        if kind == "prim::If":
            results = self._if(node, values)
        elif kind == "prim::Loop":
            results = self._loop(node, values)
        elif kind == "prim::Constant":
            results = [_constant(node)]
        else:
            arguments = [values[value.debugName()] for value in node.inputs()]
            result = self._operation(node, kind, arguments)
            count = node.outputsSize()
            results = list(result) if count > 1 or kind in _UNPACKS else [result][:count]
        for output, result in zip(node.outputs(), results, strict=True):
            values[output.debugName()] = result

    def _operation(self, node: Any, kind: str, arguments: list[Any]) -> Any:
        if kind == "prim::GetAttr":
            target = arguments[0]
            return target.read(node.s("name")) if hasattr(target, "run_method") else getattr(target, node.s("name"))
        if kind == "prim::SetAttr":
            return arguments[0].write(node.s("name"), arguments[1])
        if kind == "prim::CallMethod":
            return _call_method(arguments[0], node.s("name"), arguments[1:])
        if kind == "prim::CallFunction":
            return self.run(self._function(node).graph, arguments[1:])
        own = _OWN.get(kind)
        if own:
            return own(*arguments)
        if kind == "prim::isinstance":
            return _is_instance(arguments[0], node.tys("types"))
        if kind in _OF_LISTS and isinstance(arguments[0], (list, str)):
            return _OF_LISTS[kind](*arguments)
        return _call(kind, node.schema(), arguments)

    def _function(self, node: Any) -> Any:
        name = next(node.inputs()).type().annotation_str
        found = self.unit.find_function(name)
        if found is None:
            raise ScriptError(f"the TorchScript program calls {printable(name)}, which is not in it")
        return found

    def _if(self, node: Any, values: dict[str, Any]) -> list[Any]:
        then, otherwise = node.blocks()
        condition = values[next(node.inputs()).debugName()]
        return self._block(then if condition else otherwise, values)

    def _loop(self, node: Any, values: dict[str, Any]) -> list[Any]:
        most, condition, *carried = [values[value.debugName()] for value in node.inputs()]
        (body,) = node.blocks()
        count, *names = [value.debugName() for value in body.inputs()]
        step = 0
        while condition and step < most:
            values.update(zip(names, carried, strict=True))
            values[count] = step
            condition, *carried = self._block(body, values)
            step += 1
        return carried


_FORWARD = re.compile(r"forward(__\d+)?")


def _is_instance(value: Any, types: list[Any]) -> bool:
    kinds = tuple(_PYTHON[kind.kind()] for kind in types if kind.kind() in _PYTHON)
    if len(kinds) < len(types):
        raise ScriptError(f"the TorchScript program asks for the type {printable(types)}, which is not interpreted yet")
    return isinstance(value, kinds)


def _place(tensor: torch.Tensor) -> tuple[object, ...]:
    return tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()


def _constant(node: Any) -> Any:
    return node.output().toIValue()


def _call_method(target: Any, name: str, arguments: list[Any]) -> Any:
    if not hasattr(target, "run_method"):
        return getattr(target, name)(*arguments)
    # A forward with overloads (LSTM, GRU) is several methods: forward__0, forward__1 …
    return target.enter(name, arguments) if _FORWARD.fullmatch(name) else target.run_method(name, arguments, {})


def _call(kind: str, schema: str, arguments: list[Any]) -> Any:
    operation, names = _overload(kind, schema)
    positional = len(arguments) - len(names)
    return operation(*arguments[:positional], **dict(zip(names, arguments[positional:], strict=True)))


@functools.cache
def _overload(kind: str, schema: str) -> tuple[Callable[..., Any], tuple[str, ...]]:
    """The operation of a schema, and the names of its last arguments, which are taken by name only."""
    try:
        parsed = torch._C.parse_schema(schema)
        operation = torch._C._get_operation_overload(parsed.name, parsed.overload_name)[0]
    except (RuntimeError, TypeError) as error:
        raise ScriptError(f"the TorchScript program uses {printable(kind)}, which is not interpreted yet") from error
    return operation, tuple(argument.name for argument in parsed.arguments if argument.kwarg_only)


# ------------------------------------------------------------------- what works on Python's own values, in their place


def _raise(message: object, *_: object) -> None:
    raise ScriptError(f"the TorchScript program raised: {printable(message)}")


def _set_item(target: Any, key: Any, value: Any) -> None:
    target[key] = value


def _delete(target: Any, key: Any) -> None:
    del target[key]


def _grown(change: Callable[..., Any]) -> Callable[..., Any]:
    """List methods of TorchScript give the list itself back."""

    def operation(target: Any, *arguments: Any) -> Any:
        change(target, *arguments)
        return target

    return operation


_PYTHON: dict[str, type] = {
    **{"TensorType": torch.Tensor, "ListType": list, "TupleType": tuple, "DictType": dict, "NoneType": type(None)},
    **{"IntType": int, "FloatType": float, "BoolType": bool, "StringType": str},
}
"""Kind of a TorchScript type → the type of its values here."""
_OF_LISTS: dict[str, Callable[..., Any]] = {
    "aten::slice": lambda items, *bounds: items[slice(*bounds)],
    "aten::add": lambda items, more: items + more,
    "aten::mul": lambda items, count: items * count,
}
"""Operations on tensors that are others on lists and texts."""
_UNPACKS = frozenset({"prim::TupleUnpack", "prim::ListUnpack"})
_OWN: dict[str, Callable[..., Any]] = {
    "prim::ListConstruct": lambda *items: list(items),
    "prim::TupleConstruct": lambda *items: items,
    "prim::DictConstruct": lambda *items: dict(zip(items[::2], items[1::2], strict=True)),
    "prim::TupleUnpack": lambda items: items,
    "prim::ListUnpack": lambda items: items,
    "prim::TupleIndex": lambda items, index: items[index],
    "prim::unchecked_cast": lambda value: value,
    "prim::unchecked_unwrap_optional": lambda value: value,
    "prim::Uninitialized": lambda: None,
    "prim::RaiseException": _raise,
    "prim::Print": lambda *_: None,
    "prim::dtype": lambda tensor: tensor.dtype,
    "prim::device": lambda tensor: tensor.device,
    "prim::NumToTensor": lambda number: torch.tensor(number),
    "aten::__is__": lambda one, other: one is other,
    "aten::__isnot__": lambda one, other: one is not other,
    "aten::__not__": lambda value: not value,
    "aten::__getitem__": lambda target, key: target[key],
    "aten::__contains__": lambda where, value: value in where,
    "aten::_set_item": _set_item,
    "aten::Delete": _delete,
    "aten::append": _grown(list.append),
    "aten::extend": _grown(list.extend),
    "aten::insert": _grown(list.insert),
    "aten::pop": lambda items, *where: items.pop(*where),
    "aten::len": len,
    "aten::list": list,
    "aten::keys": lambda table: list(table.keys()),
    "aten::values": lambda table: list(table.values()),
    "aten::items": lambda table: list(table.items()),
    "aten::format": lambda text, *values: text.format(*values),
    "aten::warn": lambda *_: None,
}
"""Node kind → function: bookkeeping, and all that changes a list or dict in place, which the dispatcher would copy."""
