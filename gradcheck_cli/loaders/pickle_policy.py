"""What a pickled module may contain: judged on the inert tree, before torch sees a byte of the file.

Every rule is local to one node, so one pass over the nodes of the tree is enough.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from typing import Any

from gradcheck_cli.errors import ModelError
from gradcheck_cli.loaders import torch_names as names
from gradcheck_cli.loaders.pickle_tree import SCALARS, Global, Made, Node, Pairs, Persistent, Tree
from gradcheck_cli.loaders.refusals import BUILD_IN_PYTHON, TRUST, Slug, printable, refuse, some

FUNCTION_ATTRIBUTES = frozenset({"activation", "distance_function"})
"""Where torch.nn modules keep a function that their forward calls."""
_STRUCTURE = ("_parameters", "_buffers", "_modules")
MAX_SHARING = 16
"""All tensors together may have this many elements for each byte of storage: views are common, blow-ups are not."""


def check(tree: Tree, storages: Mapping[str, int], path: str, *, allow_modules: bool = True) -> None:
    """Refuses a tree that is not made of torch.nn modules (or only of tensors and plain data) and nothing else.

    Args:
        tree: the whole pickle.
        storages: storage key → bytes really in the archive.
        path: the file, for messages.
        allow_modules: False for a file that must hold tensors and plain containers only.

    Raises:
        ModelError: `foreign-class`, `unsafe-pickle`, `uninitialized-parameters`, `no-values` or `damaged-file`.
    """
    _check_names(tree, path)
    _Policy(storages, path, allow_modules).run(tree)


def _check_names(tree: Tree, path: str) -> None:
    """Every name that would be looked up is on the list; the message names all that are not."""
    found = {node.path for node in tree.nodes if isinstance(node, Global)}
    require_values(found, path)
    foreign = sorted(name for name in found if not names.is_allowed(name))
    if not foreign:
        return
    called = {_callee(node) for node in tree.nodes if isinstance(node, Made) and not node.new}
    if any(name in called for name in foreign):
        message = f"opening the file would call {some([name for name in foreign if name in called])}"
        raise refuse(Slug.UNSAFE_PICKLE, path, message, f"nothing was run; {BUILD_IN_PYTHON}, or {TRUST}")
    message = f"the file holds objects of classes that are not torch.nn's: {some(foreign)}"
    raise refuse(Slug.FOREIGN_CLASS, path, message, f"nothing was run; {BUILD_IN_PYTHON}, or {TRUST}")


def require_values(found: Collection[str], path: str) -> None:
    """Refuses names that stand for parameters without values: `uninitialized-parameters`, `no-values`."""
    if names.UNINITIALIZED.intersection(found):
        message = "the model has lazy parameters without a shape or values"
        raise refuse(Slug.UNINITIALIZED, path, message, "run it once on an input before saving it")
    if names.REBUILD_META in found:
        message = "the model's parameters are on the meta device: shapes without values"
        raise refuse(Slug.NO_VALUES, path, message, "save it with its weights")


class _Policy:
    """The rules for one file."""

    def __init__(self, storages: Mapping[str, int], path: str, allow_modules: bool) -> None:
        self.storages = storages
        self.path = path
        self.allow_modules = allow_modules
        self.structural: set[int] = set()
        """Ids of containers that belong to a module or a call, and were checked with it."""
        self.elements = 0

    def run(self, tree: Tree) -> None:
        made = [node for node in tree.nodes if isinstance(node, Made)]
        for node in made:
            self._made(node)
        for other in tree.nodes:
            if id(other) not in self.structural:
                self._container(other)
        if not self.allow_modules and not self._is_plain(tree.root):
            raise self._unsafe("the file holds something else than tensors and plain data")
        total = sum(self.storages.values())
        if self.elements > MAX_SHARING * max(total, 1):
            raise self._unsafe("its tensors claim far more elements than the file has bytes")

    # -------------------------------------------------------------------------------------------------- calls

    def _made(self, node: Made) -> None:
        callee = _callee(node)
        self.structural.add(id(node.args))
        if node.new:
            if callee not in names.module_classes() or not self.allow_modules:
                raise self._unsafe(f"opening the file would make an object of {printable(callee)}")
            self._module(node, names.module_classes()[callee])
            return
        rule = _CALLS.get(callee)
        if rule is None:
            raise self._unsafe(f"opening the file would call {printable(callee)}")
        if node.built or (node.items and callee != names.ORDERED_DICT):
            raise self._unsafe(f"the file sets the state of what {printable(callee)} made")
        if not rule(self, node.args):
            raise self._unsafe(f"the file calls {printable(callee)} with arguments that torch.save never writes")

    def _ordered_dict(self, args: tuple[Any, ...]) -> bool:
        return args == ()

    def _set(self, args: tuple[Any, ...]) -> bool:
        return len(args) == 1 and type(args[0]) is list and all(isinstance(item, SCALARS) for item in args[0])

    def _size(self, args: tuple[Any, ...]) -> bool:
        return len(args) == 1 and isinstance(args[0], tuple) and _are_naturals(args[0])

    def _device(self, args: tuple[Any, ...]) -> bool:
        kinds = (str,) if len(args) == 1 else (str, int)
        return len(args) == len(kinds) and all(type(arg) is kind for arg, kind in zip(args, kinds, strict=True))

    def _function(self, args: tuple[Any, ...]) -> bool:
        return (
            len(args) == 2
            and isinstance(args[0], Global)
            and args[0].path == names.FUNCTION_OWNER
            and args[1] in names.OWNED_FUNCTIONS
        )

    def _parameter(self, args: tuple[Any, ...]) -> bool:
        if len(args) != 3 or not _is_call(args[0], names.REBUILD_TENSOR) or type(args[1]) is not bool:
            return False
        return self._no_hooks(args[2], "a parameter")

    def _tensor(self, args: tuple[Any, ...]) -> bool:
        if len(args) not in (6, 7) or (len(args) == 7 and args[6] not in (None, False)):
            return False
        storage, offset, size, stride, requires_grad, hooks = args[:6]
        if not (isinstance(storage, Persistent) and isinstance(size, tuple) and isinstance(stride, tuple)):
            return False
        self.structural.update((id(size), id(stride)))
        if not (_are_naturals((offset, *size, *stride)) and len(size) == len(stride) and type(requires_grad) is bool):
            return False
        numel = self._storage(storage)
        elements = 1
        for extent in size:
            elements *= extent
        last = offset + sum((extent - 1) * step for extent, step in zip(size, stride, strict=True))
        if elements and (last >= numel or elements > numel):
            raise self._unsafe(f"a tensor of {elements} elements reaches beyond its storage of {numel}")
        self.elements += elements
        return self._no_hooks(hooks, "a tensor")

    def _typed(self, args: tuple[Any, ...]) -> bool:
        """A plain tensor to which torch.export has noted what it may assume of its shape."""
        if len(args) != 4 or not (_is_global(args[0], names.REBUILD_TENSOR) and _is_global(args[1], names.TENSOR)):
            return False
        if not (isinstance(args[2], tuple) and isinstance(args[3], Pairs)):
            return False
        self.structural.add(id(args[2]))
        marks = (key for key, _ in args[3].items)
        return all(isinstance(key, str) and key.startswith(_EXPORT_MARKS) for key in marks) and self._tensor(args[2])

    def _storage(self, node: Persistent) -> int:
        """Elements in a storage, after checking the reference against the archive."""
        key = node.id
        self.structural.add(id(key))
        if not (
            isinstance(key, tuple)
            and len(key) == 5
            and key[0] == "storage"
            and isinstance(key[1], Global)
            and key[1].path in names.STORAGE_ITEMSIZE
            and all(type(part) is str for part in key[2:4])
            and type(key[4]) is int
        ):
            raise self._unsafe("the file refers to something outside its pickle that is no storage")
        _, kind, name, _, numel = key
        if self.storages.get(name) != numel * names.STORAGE_ITEMSIZE[kind.path]:
            message = f"the weights {printable(name, 20)} are missing or have another size than the file says"
            raise refuse(Slug.DAMAGED_FILE, self.path, message, "copy or save the file again")
        return int(numel)

    def _no_hooks(self, hooks: Node, what: str) -> bool:
        if isinstance(hooks, Made) and hooks.items:
            raise self._unsafe(f"{what} carries hooks, whose code would run")
        return hooks is None or _is_call(hooks, names.ORDERED_DICT)

    # ------------------------------------------------------------------------------------------------ modules

    def _module(self, node: Made, cls: type) -> None:
        kind = printable(cls.__name__)
        if node.args != () or node.items or not isinstance(node.state, Pairs):
            raise self._unsafe(f"a {kind} is made in a way that torch.save never writes")
        self.structural.add(id(node.state))
        keys = [key for key, _ in node.state.items]
        if len(set(keys)) != len(keys) or not all(isinstance(key, str) for key in keys):
            raise self._unsafe(f"a {kind} has attributes with names that are no text, or twice the same")
        state = {str(key): value for key, value in node.state.items}
        if not all(name in state for name in _STRUCTURE):
            raise self._unsafe(f"a {kind} lacks its parameters, buffers or children")
        if type(state.get("training")) is not bool:
            raise self._unsafe(f"a {kind} lacks its flag of training or evaluation")
        for name, value in state.items():
            self._attribute(cls, name, value)

    def _attribute(self, cls: type, name: str, value: Node) -> None:
        label = f"{cls.__name__}.{printable(name, 40)}"
        if name in _STRUCTURE:
            self._table(label, value, _TABLE_CONTENT[name])
        elif "hook" in name:
            if isinstance(value, (Pairs, Made)) and value.items:
                raise self._unsafe(f"{label} carries hooks, whose code would run")
            if not (value is None or type(value) is bool or _items(value) is not None):
                raise self._unsafe(f"{label} is no dict of hooks")
        elif name.startswith("__") or _is_behaviour(cls, name):
            raise self._unsafe(f"{label} would shadow a method or property of its class")
        elif _is_function(value):
            if name not in FUNCTION_ATTRIBUTES or hasattr(cls, name):
                raise self._unsafe(f"{label} holds a function where torch.nn has none")
        elif not self._is_plain(value) or (hasattr(cls, name) and not isinstance(value, (*SCALARS, tuple))):
            raise self._unsafe(f"{label} holds something that is no plain data")

    def _table(self, label: str, table: Node, content: str) -> None:
        items = _items(table)
        if items is None:
            raise self._unsafe(f"{label} is no dict")
        self.structural.add(id(table))
        for key, value in items:
            if not isinstance(key, str) or not key or "." in key:
                raise self._unsafe(f"{label} has an entry with an impossible name")
            if value is not None and not _holds(value, content):
                raise self._unsafe(f"{label} has an entry that is no {content}")

    # --------------------------------------------------------------------------------------------- plain data

    def _container(self, node: Node) -> None:
        """A list, tuple or dict that belongs to no module: everything in it is plain data."""
        items = _items(node)
        parts = [value for _, value in items] if items is not None else node if isinstance(node, (list, tuple)) else []
        if not all(self._is_plain(part) for part in parts):
            raise self._unsafe("a list, tuple or dict in the file holds something that is no plain data")

    def _is_plain(self, node: Node) -> bool:
        """Plain at this level; containers are checked in their own turn."""
        if isinstance(node, Global):
            return node.path in names.dtypes()
        if isinstance(node, Made):
            return not node.new and _callee(node) not in names.GETATTR
        return isinstance(node, (*SCALARS, list, tuple, Pairs))

    def _unsafe(self, message: str) -> ModelError:
        return refuse(Slug.UNSAFE_PICKLE, self.path, message, f"nothing was run; {BUILD_IN_PYTHON}, or {TRUST}")


_EXPORT_MARKS = ("_dynamo_", "_specialize_on")
_TABLE_CONTENT = {"_parameters": "parameter", "_buffers": "tensor", "_modules": "module"}
_CALLS: dict[str, Any] = {
    names.ORDERED_DICT: _Policy._ordered_dict,
    names.REBUILD_TENSOR: _Policy._tensor,
    names.REBUILD_PARAMETER: _Policy._parameter,
    names.REBUILD_TYPED: _Policy._typed,
    names.SIZE: _Policy._size,
    names.DEVICE: _Policy._device,
    **dict.fromkeys(names.SETS, _Policy._set),
    **dict.fromkeys(names.GETATTR, _Policy._function),
}


def _holds(value: Node, content: str) -> bool:
    if content == "module":
        return isinstance(value, Made) and value.new
    is_parameter = _is_call(value, names.REBUILD_PARAMETER)
    return is_parameter or (content == "tensor" and _is_call(value, names.REBUILD_TENSOR))


def _items(node: Node) -> list[tuple[Node, Node]] | None:
    """The items of a dict or OrderedDict; None for anything else."""
    return node.items if isinstance(node, Pairs) or _is_call(node, names.ORDERED_DICT) else None  # type: ignore[union-attr]


def _is_behaviour(cls: type, name: str) -> bool:
    value = inspect.getattr_static(cls, name, None)
    return callable(value) or isinstance(value, (property, staticmethod, classmethod))


def _is_function(node: Node) -> bool:
    if isinstance(node, Global):
        return node.path in names.functions()
    return isinstance(node, Made) and _callee(node) in names.GETATTR


def _callee(node: Made) -> str:
    return node.callee.path if isinstance(node.callee, Global) else "something computed"


def _is_global(node: Node, path: str) -> bool:
    return isinstance(node, Global) and node.path == path


def _is_call(node: Node, path: str) -> bool:
    return isinstance(node, Made) and not node.new and _callee(node) == path


def _are_naturals(values: tuple[Any, ...]) -> bool:
    return all(type(value) is int and 0 <= value < 1 << 62 for value in values)
