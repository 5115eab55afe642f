"""Tensors inside whatever a model takes or gives: nested tuples, lists, mappings, dataclasses and named tuples."""

from __future__ import annotations

import copy
import dataclasses
from collections import UserDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

MAX_DEPTH = 64
"""Containers nested deeper than this are not looked into: no model's output is, a self-containing list would be."""


def named_leaves(obj: object, name: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Yield every tensor in `obj` with its path (``logits``, ``hidden.0``), in the order of the containers.

    A bare tensor has the path `name`. A tensor that is there twice is yielded twice; what is no tensor and no container
    is skipped.
    """
    yield from _walk(obj, name, 0)


def leaves(obj: object) -> Iterator[torch.Tensor]:
    """Yield every tensor in `obj`, in the order of the containers."""
    for _, tensor in named_leaves(obj):
        yield tensor


def floating_leaves(obj: object) -> list[torch.Tensor]:
    """Return all tensors in `obj` that hold real floating point numbers, in the order of the containers."""
    return [tensor for tensor in leaves(obj) if tensor.is_floating_point()]


def map_tensors(fn: Callable[[torch.Tensor], Any], obj: Any) -> Any:
    """Return a copy of `obj` in which every tensor ``t`` is ``fn(t)``; containers keep their type."""
    return _map(fn, obj, 0)


def _walk(obj: object, name: str, depth: int) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(obj, torch.Tensor):
        yield name, obj
    elif depth < MAX_DEPTH:
        for key, value in _items(obj):
            yield from _walk(value, f"{name}.{key}" if name else str(key), depth + 1)


def _items(obj: object) -> list[tuple[object, object]]:
    if isinstance(obj, Mapping):
        return list(obj.items())
    if isinstance(obj, tuple) and hasattr(obj, "_fields"):
        return list(zip(obj._fields, obj, strict=True))
    if isinstance(obj, (tuple, list)):
        return list(enumerate(obj))
    if dataclasses.is_dataclass(obj) and not isinstance(obj, type):
        return [(field.name, getattr(obj, field.name, None)) for field in dataclasses.fields(obj)]
    return []


def _map(fn: Callable[[torch.Tensor], Any], obj: Any, depth: int) -> Any:
    if isinstance(obj, torch.Tensor):
        return fn(obj)
    items = _items(obj) if depth < MAX_DEPTH else []
    if not items:
        return obj
    return _rebuilt(obj, [(key, _map(fn, value, depth + 1)) for key, value in items])


def _rebuilt(obj: Any, items: list[tuple[Any, Any]]) -> Any:
    if isinstance(obj, (dict, UserDict)):
        new = copy.copy(obj)
        for key, value in items:
            new[key] = value
        return new
    if isinstance(obj, Mapping):
        return dict(items)
    values = [value for _, value in items]
    if isinstance(obj, list):
        return values
    if isinstance(obj, tuple):
        return type(obj)(*values) if hasattr(obj, "_fields") else _plain_tuple(obj, values)
    new = copy.copy(obj)
    for key, value in items:
        object.__setattr__(new, key, value)
    return new


def _plain_tuple(obj: tuple[Any, ...], values: list[Any]) -> tuple[Any, ...]:
    # torch.return_types (of torch.max and the like) are tuples that are made from one sequence, as `tuple` itself is.
    return type(obj)(values)


def rescaled_tables(module: torch.nn.Module) -> list[torch.Tensor]:
    """Return the weights of embeddings with ``max_norm``: a forward pass rescales the rows that it looks up, in place."""
    kinds = (torch.nn.Embedding, torch.nn.EmbeddingBag)
    return [part.weight.detach() for part in module.modules() if isinstance(part, kinds) and part.max_norm is not None]
