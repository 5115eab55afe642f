"""How an exported program's inputs and outputs nest, rebuilt: torch would import modules that a spec names."""

from __future__ import annotations

import json
from typing import Any

from gradcheck_cli.loaders.pt2_errors import DoorError
from gradcheck_cli.loaders.refusals import printable

MAX_DEPTH = 40
_SEQUENCES = ("builtins.tuple", "builtins.list")
_DICTS = ("builtins.dict", "collections.OrderedDict")
_LEAF: dict[str, Any] = {"type": None, "context": None, "children_spec": []}


def inputs(value: Any) -> str:
    """A clean spec of ``(args, kwargs)``. Raises `DoorError` on any type but tuple, list and dict, and on odd keys."""
    return json.dumps([1, _node(_schema(value), depth=0, strict=True)])


def outputs(value: Any) -> str:
    """A clean spec of what comes out; containers of other types become dicts or tuples with the same content."""
    return json.dumps([1, _node(_schema(value), depth=0, strict=False)])


def _schema(value: Any) -> Any:
    try:
        protocol, schema = json.loads(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise DoorError("its inputs or outputs nest in an unknown way") from error
    if protocol != 1:
        raise DoorError("its inputs or outputs nest in an unknown way")
    return schema


def _node(schema: Any, *, depth: int, strict: bool) -> dict[str, Any]:
    if depth > MAX_DEPTH or not isinstance(schema, dict) or not isinstance(schema.get("children_spec"), list):
        raise DoorError("its inputs or outputs nest in an unknown way")
    kind, parts = schema.get("type"), schema["children_spec"]
    if kind is None and not parts:
        return dict(_LEAF)
    children = [_node(part, depth=depth + 1, strict=strict) for part in parts]
    keys = _keys(schema.get("context"), len(parts), strict)
    if kind in _SEQUENCES:
        return {"type": kind, "context": "null", "children_spec": children}
    if kind in _DICTS and keys is not None:
        return {"type": kind, "context": json.dumps(keys), "children_spec": children}
    if strict:
        raise DoorError(f"it takes inputs in a container ({printable(kind, 60)}) that cannot be rebuilt")
    as_dict = keys is not None
    kind, context = ("builtins.dict", json.dumps(keys)) if as_dict else ("builtins.tuple", "null")
    return {"type": kind, "context": context, "children_spec": children}


def _keys(context: Any, count: int, strict: bool) -> list[str] | None:
    """The keys of a dict's context; None where it is not a list of so many different keys."""
    try:
        keys = json.loads(context)
    except (TypeError, ValueError, RecursionError):
        return None
    if not isinstance(keys, list) or len(keys) != count or not all(isinstance(key, str) for key in keys):
        return None
    # Keys of inputs may become the names of arguments in Python source.
    usable = all(key.isidentifier() and key.isascii() if strict else key.isprintable() for key in keys)
    return keys if usable and len(set(keys)) == count else None
