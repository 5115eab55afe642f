"""Finds the state dicts in the inert tree of a torch.save pickle, whatever else is in it, without making any object.

Objects of foreign classes stay what they are in the tree: names. A module of a foreign class gives its state dict all
the same, from the ``_parameters``, ``_buffers`` and ``_modules`` that every `torch.nn.Module` keeps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gradcheck_cli.loaders.archive import Region
from gradcheck_cli.loaders.pickle_tree import Global, Made, Node, Pairs, Persistent, PickleError
from gradcheck_cli.loaders.weights.stored import ITEMSIZE, StoredTensor, stored_tensor

MAX_DEPTH = 4
"""How deep in dicts a state dict is looked for."""
MAX_ENTRIES = 500_000
"""Attributes, parameters and children of all modules; one that is shared counts once for each path to it."""
MAX_NESTING = 100
PREFERRED = ("state_dict", "model_state_dict", "model_state", "model", "module", "net", "network", "weights", "params")
"""Where training scripts keep the weights, most usual first."""
_NOT_WEIGHTS = (
    "optim",
    "lr_",
    "scheduler",
    "callbacks",
    "loops",
    "scaler",
    "grad",
    "rng",
    "hyper_parameters",
    "hparams",
)
"""Beginnings of keys under which no network is."""
_TABLES = ("_parameters", "_buffers", "_modules")
_REBUILD = "torch._utils._rebuild_"
_WRAPPED = frozenset({"torch._tensor._rebuild_from_type_v2", "torch._tensor._rebuild_from_type"})
_STORAGE_DTYPES = {
    **{"Double": "float64", "Float": "float32", "Half": "float16", "BFloat16": "bfloat16", "Long": "int64"},
    **{"Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool"},
    **{"ComplexDouble": "complex128", "ComplexFloat": "complex64"},
}


@dataclass(frozen=True)
class Weights:
    """One state dict."""

    tensors: Mapping[str, StoredTensor]
    """By name, in the file's order."""
    key: str = ""
    """Where in the file it is: ``ema.state_dict``; empty at the top."""
    class_name: str = ""
    """The class of the module that it was recovered from, ``package.Net``; empty for a plain dict."""
    kinds: Mapping[str, str] = field(default_factory=dict)
    """For a module: path of each of its modules → class."""
    left_out: tuple[str, ...] = ()
    """Names of entries that are no dense tensors, or whose values are not in the file."""


def dtype_of_storage(kind: str) -> str:
    """The torch dtype that a storage class, ``torch.FloatStorage``, stands for; ``uint8`` for an untyped one."""
    return _STORAGE_DTYPES.get(kind.removeprefix("torch.").removesuffix("Storage"), "uint8")


def storage_reference(node: Node) -> tuple[str, str] | None:
    """Key and dtype of the storage that a persistent id names; None where it is none."""
    key = node.id if isinstance(node, Persistent) else None
    if isinstance(key, tuple) and len(key) >= 5 and key[0] == "storage" and isinstance(key[1], Global):
        return str(key[2]), dtype_of_storage(key[1].path)
    return None


def find_weights(root: Node, storages: Mapping[str, Region]) -> list[Weights]:
    """Every state dict in the tree, the most likely one first."""
    found = list(_search(root, (), storages, set()))
    return sorted(found, key=_rank)


def _rank(weights: Weights) -> tuple[int, int]:
    last = weights.key.rpartition(".")[2]
    place = PREFERRED.index(last) if last in PREFERRED else len(PREFERRED)
    return -1 if not weights.key else place, -len(weights.tensors)


def _search(node: Node, path: tuple[str, ...], storages: Mapping[str, Region], seen: set[int]) -> Iterator[Weights]:
    if id(node) in seen:
        return
    seen.add(id(node))
    key = ".".join(path)
    if is_module(node):
        weights = _module_weights(node, key, storages)
        if weights.tensors:
            yield weights
        return
    items = dict_items(node)
    tensors = {name: _tensor(value, storages) for name, value in items.items() if is_tensor(value)}
    held = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    if held:
        left_out = tuple(name for name in items if name not in held)
        yield Weights(held, key, left_out=left_out)
    if len(path) < MAX_DEPTH:
        for name, value in items.items():
            if not name.startswith(_NOT_WEIGHTS):
                yield from _search(value, (*path, name), storages, seen)


def dict_items(node: Node) -> dict[str, Node]:
    """The entries with text as keys, of a dict or of any object that behaves as one (an OrderedDict)."""
    if isinstance(node, Pairs) or (isinstance(node, Made) and node.items):
        return {key: value for key, value in node.items if isinstance(key, str)}
    return {}


# ------------------------------------------------------------------------------------------------------------ modules


def is_module(node: Node) -> bool:
    """Whether it is an object with the three dicts that every torch.nn.Module has."""
    return isinstance(node, Made) and all(name in _state(node) for name in _TABLES)


def class_path(node: Node) -> str:
    """``package.Net`` of an object; empty where its class is computed."""
    callee: Any = node.callee if isinstance(node, Made) else None
    if isinstance(callee, Persistent) and isinstance(callee.id, tuple) and len(callee.id) > 1:
        callee = callee.id[1]  # old torch.save: ("module", class, source file, source)
    if isinstance(callee, Global) and callee.module in ("copyreg", "copy_reg") and isinstance(node, Made) and node.args:
        callee = node.args[0]  # ``_reconstructor(class, object, None)``
    return callee.path if isinstance(callee, Global) else ""


def _state(node: Made) -> dict[str, Node]:
    return dict_items(node.state)


def _module_weights(root: Node, key: str, storages: Mapping[str, Region]) -> Weights:
    tensors: dict[str, StoredTensor] = {}
    kinds: dict[str, str] = {}
    left_out = []
    for path, module in _modules(root):
        kinds[path] = class_path(module)
        state = _state(module)
        passing = _text_set(state.get("_non_persistent_buffers_set"))
        own = {**dict_items(state["_parameters"]), **dict_items(state["_buffers"])}
        for name, value in own.items():
            if name in passing or value is None:
                continue
            full = f"{path}.{name}" if path else name
            tensor = _tensor(value, storages)
            if tensor is None:
                left_out.append(full)
            else:
                tensors[full] = tensor
    return Weights(tensors, key, class_path(root), kinds, tuple(left_out))


def _modules(root: Node) -> Iterator[tuple[str, Made]]:
    """Path and module, parents first; a module inside itself ends there. Raises `PickleError` over `MAX_ENTRIES`."""
    work: list[tuple[str, Node, frozenset[int]]] = [("", root, frozenset())]
    entries = 0
    while work:
        path, node, above = work.pop()
        if not is_module(node) or id(node) in above:
            continue
        assert isinstance(node, Made)
        yield path, node
        state = _state(node)
        children = dict_items(state["_modules"])
        entries += len(state) + sum(len(dict_items(state[table])) for table in _TABLES)
        if entries > MAX_ENTRIES or len(above) > MAX_NESTING:
            raise PickleError("its modules hold each other without bound")
        inside = above | {id(node)}
        work += [(f"{path}.{name}" if path else name, child, inside) for name, child in reversed(children.items())]


def _text_set(node: Node) -> set[str]:
    """The texts in a set, which old protocols write as a call with a list."""
    if isinstance(node, Made) and node.args:
        node = node.args[0]
    return {item for item in node if isinstance(item, str)} if isinstance(node, (list, tuple)) else set()


# ------------------------------------------------------------------------------------------------------------ tensors


def is_tensor(node: Node) -> bool:
    """Whether unpickling would make a tensor or a parameter of it."""
    return isinstance(node, Made) and isinstance(node.callee, Global) and _is_rebuild(node.callee.path)


def _is_rebuild(path: str) -> bool:
    return path.startswith(_REBUILD) or path in _WRAPPED


def _tensor(node: Node, storages: Mapping[str, Region]) -> StoredTensor | None:
    """The tensor; None for what has no dense values in the file (sparse, quantised, meta) or is out of range."""
    for _ in range(3):  # a parameter holds a tensor, a subclass holds the function and the arguments that make it
        if not isinstance(node, Made) or not isinstance(node.callee, Global):
            return None
        path, args = node.callee.path, node.args
        if path in _WRAPPED and len(args) >= 3 and isinstance(args[2], tuple):
            node = Made(args[0], args[2], new=False)
        elif path.startswith(f"{_REBUILD}parameter") and args:
            node = args[0]
        else:
            break
    kind = path.removeprefix(_REBUILD)
    if kind not in ("tensor", "tensor_v2", "tensor_v3") or len(args) < 4:
        return None
    reference = storage_reference(args[0])
    if reference is None or reference[0] not in storages:
        return None
    dtype = reference[1]
    if kind == "tensor_v3":
        dtype = args[6].path.removeprefix("torch.") if len(args) > 6 and isinstance(args[6], Global) else ""
    shape, stride = _numbers(args[2]), _numbers(args[3])
    if dtype not in ITEMSIZE or shape is None or stride is None or type(args[1]) is not int:
        return None
    return stored_tensor(dtype, shape, stride, args[1], storages[reference[0]])


def _numbers(node: Node) -> tuple[int, ...] | None:
    if isinstance(node, Made) and node.args:  # torch.Size((…,))
        node = node.args[0]
    return node if isinstance(node, tuple) and all(type(number) is int for number in node) else None
