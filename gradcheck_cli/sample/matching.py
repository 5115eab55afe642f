"""Matches data to forward's parameters: which array is which input, and which is the target.

Where more than one reading is sensible, all are given, the likeliest first; the first that the model takes is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from gradcheck_cli.errors import SampleError
from gradcheck_cli.sample.signature import TARGET_NAMES, Signature


@dataclass(frozen=True)
class Call:
    """One way to hand the data to the model: ``module(*args, **kwargs)``, compared with `target`."""

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    target: Any = None


def match(data: Any, target: Any, key: str | None, signature: Signature, main: str | None = None) -> list[Call]:
    """Return the ways to read `data`, the likeliest first.

    `target` is one that was given apart from the data, `key` the key of the data that the user named as the target,
    `main` the input that the model itself calls its main one.

    Raises:
        SampleError: ``ambiguous-data``, ``missing-target`` (no such key) or ``data-does-not-fit``.
    """
    if isinstance(data, Mapping):
        calls = _keyed(dict(data), target, key, signature)
    elif key is not None:
        raise _no_key(key, ())
    elif isinstance(data, (tuple, list)) and not hasattr(data, "_fields"):
        calls = _ordered(tuple(data), target, signature, main)
    elif hasattr(data, "_fields"):
        calls = _ordered((data,), target, signature, main) + _ordered(tuple(data), target, signature, main)
    else:
        calls = _ordered((data,), target, signature, main)
    return [_placed(reading, signature) for call in calls for reading in _with_target_passed(call, signature)]


def _placed(call: Call, signature: Signature) -> Call:
    """Give each input in the way that the model takes it."""
    if signature.by_order is None:
        return call
    given = {**dict(zip(signature.positional, call.args, strict=False)), **call.kwargs}
    args = tuple(given.pop(name) for name in signature.by_order if name in given)
    return replace(call, args=(*args, *call.args[len(signature.positional) :]), kwargs=given)


# ------------------------------------------------------------------------------------------------------------- by name


def _keyed(data: dict[str, Any], target: Any, key: str | None, signature: Signature) -> list[Call]:
    inputs, target = _split(data, target, key, signature)
    if all(signature.names(name) for name in inputs):
        lacking = [name for name in signature.needed if name not in inputs]
        if not lacking or (not signature.required and inputs):
            return [Call(kwargs=inputs, target=target)]
        raise _lacks(lacking, tuple(inputs), signature)
    known = [name for name in inputs if signature.names(name)]
    if known and (signature.any_keyword or all(name in inputs for name in signature.needed)):
        return _with_strangers(inputs, known, target, signature)
    if known:
        raise _lacks([name for name in signature.needed if name not in inputs], tuple(inputs), signature)
    return _unnamed(data, inputs, target, signature)


def _split(data: dict[str, Any], target: Any, key: str | None, signature: Signature) -> tuple[dict[str, Any], Any]:
    """Separate the inputs from the target. A key that forward needs by name is an input, whatever its name."""
    if key is None and target is None:
        key = next((name for name in TARGET_NAMES if name in data and name not in signature.needed), None)
    if key is None:
        return data, target
    if key not in data:
        raise _no_key(key, tuple(data))
    inputs = {name: value for name, value in data.items() if name != key}
    # An autoencoder's only array is input and target in one.
    return inputs or data, data[key]


def _with_strangers(inputs: dict[str, Any], known: list[str], target: Any, signature: Signature) -> list[Call]:
    if signature.any_keyword:
        return [Call(kwargs=inputs, target=target), Call(kwargs={name: inputs[name] for name in known}, target=target)]
    strangers = [name for name in inputs if name not in known]
    raise SampleError(
        "ambiguous-data",
        f"{', '.join(strangers)} is no input of {signature} and no name of a target",
        hint=f"leave it out, or name the target one of {', '.join(TARGET_NAMES)}, or give --target",
    )


def _unnamed(data: dict[str, Any], inputs: dict[str, Any], target: Any, signature: Signature) -> list[Call]:
    """Read keys that say nothing to forward: by order, or all of them as its one argument."""
    calls = []
    if len(signature.required) <= len(inputs) <= len(signature.positional) or signature.any_positional:
        calls.append(Call(args=tuple(inputs.values()), target=target))
    if len(signature.required) <= 1 and (signature.positional or signature.any_positional):
        calls += [Call(args=(inputs,), target=target), Call(args=(data,), target=target)]
    if signature.any_keyword and not signature.positional:
        calls.insert(0, Call(kwargs=inputs, target=target))
    if not calls:
        raise SampleError(
            "ambiguous-data",
            f"the data has {', '.join(inputs)}, and the model takes {signature}",
            hint="name the arrays as forward's parameters",
        )
    return calls


# ------------------------------------------------------------------------------------------------------------ by order


def _ordered(parts: tuple[Any, ...], target: Any, signature: Signature, main: str | None) -> list[Call]:
    required = max(len(signature.required), 1)
    if target is None and len(parts) == 2 and isinstance(parts[0], (tuple, list, Mapping)):
        # ((a, b), target), the habit of data sets with several inputs, before (a, b) as they stand.
        nested = _quietly(parts[0], parts[1], signature, main)
        return nested + _quietly_flat(parts, required, signature, main, any_left=bool(nested))
    return _flat(parts, target, required, signature, main)


def _quietly(data: Any, target: Any, signature: Signature, main: str | None) -> list[Call]:
    try:
        return match(data, target, None, signature, main)
    except SampleError:
        return []


def _quietly_flat(
    parts: tuple[Any, ...], required: int, signature: Signature, main: str | None, *, any_left: bool
) -> list[Call]:
    try:
        return _flat(parts, None, required, signature, main)
    except SampleError:
        if any_left:
            return []
        raise


def _flat(parts: tuple[Any, ...], target: Any, required: int, signature: Signature, main: str | None) -> list[Call]:
    if signature.needed_keywords:
        raise _lacks(list(signature.needed_keywords), (), signature)
    if len(parts) < required:
        raise _too_few(len(parts), signature)
    if target is not None:
        if len(parts) > len(signature.positional) and not signature.any_positional:
            raise _too_many(len(parts), signature)
        return [_by_order(parts, target, main, signature)]
    extra = len(parts) - required
    if extra == 0:
        return [_by_order(parts, None, main, signature)]
    if extra == 1:
        return [_by_order(parts[:-1], parts[-1], main, signature)]
    if signature.any_positional and not signature.positional:
        return [Call(args=parts[:-1], target=parts[-1])]
    raise _too_many(len(parts), signature)


def _by_order(parts: tuple[Any, ...], target: Any, main: str | None, signature: Signature) -> Call:
    if len(parts) == 1 and main is not None and not signature.required and signature.names(main):
        return Call(kwargs={main: parts[0]}, target=target)
    return Call(args=parts, target=target)


def _with_target_passed(call: Call, signature: Signature) -> list[Call]:
    """Hand the target to forward as well where it takes one (``labels=…``): such a model computes its own loss."""
    if not isinstance(call.target, torch.Tensor):
        return [call]
    taken = signature.positional[: len(call.args)]
    for name in TARGET_NAMES:
        free = name in signature.optional or (name in signature.keywords and name not in signature.needed_keywords)
        if free and name not in taken and name not in call.kwargs:
            return [Call(call.args, {**call.kwargs, name: call.target}, call.target), call]
    return [call]


# -------------------------------------------------------------------------------------------------------------- errors


def _no_key(key: str, keys: tuple[str, ...]) -> SampleError:
    has = f"its keys are {', '.join(map(str, keys))}" if keys else "it has no keys"
    message = f"the data has no array {key!r} for the target, and there is no such file; {has}"
    return SampleError("missing-target", message, hint="give --target a key of the data or a file")


def _lacks(lacking: list[str], keys: tuple[str, ...], signature: Signature) -> SampleError:
    has = f"the data has {', '.join(map(str, keys))}" if keys else "the data has no names"
    message = f"the model takes {signature} and needs {', '.join(lacking)}, but {has}"
    return SampleError("data-does-not-fit", message, hint="save the inputs under forward's names with numpy.savez")


def _too_few(count: int, signature: Signature) -> SampleError:
    message = (
        f"the data has {count} input{'s' * (count != 1)}, and the model needs {len(signature.required)}: {signature}"
    )
    return SampleError("data-does-not-fit", message, hint="give all of them, by name or in order")


def _too_many(count: int, signature: Signature) -> SampleError:
    names = ", ".join(signature.needed or signature.positional[:1])
    message = f"{count} arrays for {signature}: which are inputs and which is the target is not clear"
    hint = f"name them: a dict or .npz with {names} and optional inputs by name, and y for the target"
    return SampleError("ambiguous-data", message, hint=hint)
