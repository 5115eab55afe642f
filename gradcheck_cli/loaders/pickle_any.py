"""Reads pickles of every protocol, with objects of any class in them, into the inert tree of `pickle_tree`.

For a walk along known keys only, to find tensors: torch itself never gets to see these pickles.
"""

from __future__ import annotations

import io
from typing import Any

from gradcheck_cli.loaders.pickle_tree import HANDLERS, Global, Machine, Made, Node, Pairs, PickleError, run


def read_root(data: bytes, start: int = 0) -> tuple[Node, int]:
    """The root of the pickle at `start`, and where it ends. Cycles, and keys that are no scalars, are left in.

    Raises `PickleError`: not a pickle, broken, or over the limits of `pickle_tree`.
    """
    stream = io.BytesIO(data)
    stream.seek(start)
    return run(_AnyProtocol(), stream), stream.tell()


class _AnyProtocol(Machine):
    """Every protocol, and objects whose state torch's own unpickler would refuse: they only have to be passed by."""

    def step(self, name: str, argument: Any) -> None:
        if name in _MORE_LITERALS:
            self.check_depth()
            self.stack.append(argument)
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = self.stack[-1]
        elif name in ("PUT", "GET"):
            super().step(f"BIN{name}", argument)
        elif name != "FRAME":
            super().step(name, argument)

    def stack_global(self, _: Any) -> None:
        module, name = self.pop(2)
        if not isinstance(module, str) or not isinstance(name, str):
            raise PickleError("its pickle is broken")
        self.stack.append(Global(module, name))

    def named_new(self, _: Any) -> None:
        callee, args, keywords = self.pop(3)
        self.stack.append(Made(callee, (args, keywords), new=True))

    def build(self, _: Any) -> None:
        (state,) = self.pop(1)
        target = self.stack[-1]
        if isinstance(target, Made):
            target.state, target.built = state, True

    def dict_(self, items: list[Any]) -> None:
        self.stack.append(Pairs(list(zip(items[::2], items[1::2], strict=True))))

    def append(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is list:
            self.stack[-1].extend(items)

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, (Pairs, Made)):
            target.items.extend(zip(items[::2], items[1::2], strict=True))


_MORE_LITERALS = frozenset(
    {
        *("INT", "LONG", "LONG4", "FLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE"),
        *("BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    }
)
_AnyProtocol.handlers = {
    **HANDLERS,
    "BUILD": _AnyProtocol.build,
    "APPEND": lambda machine, _: machine.append(list(machine.pop(1))),
    "STACK_GLOBAL": _AnyProtocol.stack_global,
    "NEWOBJ_EX": _AnyProtocol.named_new,
    "EMPTY_SET": lambda machine, _: machine.stack.append([]),
    "ADDITEMS": lambda machine, _: machine.append(machine.pop_mark()),
    "FROZENSET": lambda machine, _: machine.tuple_(tuple(machine.pop_mark())),
    "LIST": lambda machine, _: machine.stack.append(machine.pop_mark()),
    "DICT": lambda machine, _: machine.dict_(machine.pop_mark()),
    "POP": lambda machine, _: machine.pop(1),
    "POP_MARK": lambda machine, _: machine.pop_mark(),
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
}
