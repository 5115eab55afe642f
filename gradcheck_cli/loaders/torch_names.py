"""The names that a pickled module may refer to: torch.nn's classes and activation functions, storages, rebuilders."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from typing import Any

import torch
from torch import nn

REBUILD_TENSOR = "torch._utils._rebuild_tensor_v2"
REBUILD_PARAMETER = "torch._utils._rebuild_parameter"
REBUILD_TYPED = "torch._tensor._rebuild_from_type_v2"
"""How a tensor with attributes of its own is saved, as torch.export marks its sample inputs."""
TENSOR = "torch.Tensor"
REBUILD_META = "torch._utils._rebuild_meta_tensor_no_storage"
ORDERED_DICT = "collections.OrderedDict"
SETS = frozenset({"__builtin__.set", "builtins.set"})
GETATTR = frozenset({"__builtin__.getattr", "builtins.getattr"})
SIZE = "torch.Size"
DEVICE = "torch.device"
FUNCTION_OWNER = "torch._C._VariableFunctionsClass"
"""``torch.relu`` and its like are pickled as ``getattr(torch._C._VariableFunctionsClass, "relu")``."""
UNINITIALIZED = frozenset({"torch.nn.parameter.UninitializedParameter", "torch.nn.parameter.UninitializedBuffer"})

STORAGE_ITEMSIZE = {
    "torch.DoubleStorage": 8,
    "torch.FloatStorage": 4,
    "torch.HalfStorage": 2,
    "torch.BFloat16Storage": 2,
    "torch.LongStorage": 8,
    "torch.IntStorage": 4,
    "torch.ShortStorage": 2,
    "torch.CharStorage": 1,
    "torch.ByteStorage": 1,
    "torch.BoolStorage": 1,
    "torch.ComplexDoubleStorage": 16,
    "torch.ComplexFloatStorage": 8,
}
"""Bytes per element of each storage class."""

OWNED_FUNCTIONS = (
    *("relu", "tanh", "sigmoid", "selu", "celu", "rrelu", "prelu", "softmax", "log_softmax", "hardshrink"),
    *("pairwise_distance", "cosine_similarity"),
)
"""Names allowed from `FUNCTION_OWNER`."""

_FUNCTIONS = (
    *("relu", "relu6", "elu", "selu", "celu", "leaky_relu", "prelu", "rrelu", "gelu", "silu", "mish", "glu"),
    *("sigmoid", "tanh", "hardtanh", "hardsigmoid", "hardswish", "softplus", "softsign", "logsigmoid", "tanhshrink"),
    *("softmax", "log_softmax"),
)


@functools.cache
def module_classes() -> dict[str, type[nn.Module]]:
    """Pickled name → class, for every nn.Module that the submodules of torch.nn.modules define."""
    found: dict[str, type[nn.Module]] = {}
    for info in pkgutil.iter_modules(nn.modules.__path__):
        module = importlib.import_module(f"torch.nn.modules.{info.name}")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, nn.Module) and value.__module__ == module.__name__:
                found[f"{value.__module__}.{value.__qualname__}"] = value
    return found


@functools.cache
def functions() -> dict[str, Any]:
    """Pickled name → activation function; all are free of side effects."""
    found: dict[str, Any] = {}
    for name in _FUNCTIONS:
        function = getattr(nn.functional, name)
        found[f"{function.__module__}.{function.__name__}"] = function
    return found


@functools.cache
def dtypes() -> frozenset[str]:
    """Pickled names of torch's dtypes: ``torch.float32`` …"""
    return frozenset(str(value) for value in vars(torch).values() if isinstance(value, torch.dtype))


def is_allowed(path: str) -> bool:
    """Whether a pickled module may look this name up at all; how it may be used is for `pickle_policy`."""
    return (
        path in module_classes()
        or path in functions()
        or path in dtypes()
        or path in STORAGE_ITEMSIZE
        or path in SETS
        or path in GETATTR
        or path
        in (REBUILD_TENSOR, REBUILD_PARAMETER, REBUILD_TYPED, TENSOR, ORDERED_DICT, SIZE, DEVICE, FUNCTION_OWNER)
    )


class _FunctionOwner:
    """Stands for torch's own function class while a file is loaded."""


def _owned_function(owner: type, name: str) -> Any:
    """What ``getattr`` in a pickle is replaced by: gives the functions of `OWNED_FUNCTIONS` and nothing else."""
    if owner is not _FunctionOwner or name not in OWNED_FUNCTIONS:
        raise AttributeError(name)
    return getattr(torch, name)


def safe_globals() -> list[Any]:
    """For `torch.serialization.safe_globals`: what torch's weights-only loader does not know by itself."""
    return [
        *((value, name) for name, value in module_classes().items()),
        *((value, name) for name, value in functions().items()),
        (_FunctionOwner, FUNCTION_OWNER),
        (_owned_function, "builtins.getattr"),
    ]
