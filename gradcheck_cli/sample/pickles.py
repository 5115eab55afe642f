"""A bounded look at the opcodes of a torch.save pickle before torch unpickles it: tensors in plain containers only.

``weights_only=True`` runs no code, but hangs, crashes or allocates gigabytes on pickles of a few bytes (nested tuples
as dict keys, `bytearray`, `FloatTensor`). Everything that could is refused here, because data files need none of it.
"""

from __future__ import annotations

import pickletools

MAX_BYTES = 8 << 20
CALLABLE = frozenset(
    {
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_tensor_v3",
        "torch._utils _rebuild_parameter",
        "collections OrderedDict",
        "torch Size",
    }
)
"""What a pickle of tensors calls."""
_DTYPES = frozenset({"uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e5m2"})

_KEY, _LIST, _DICT, _OTHER = "key", "list", "dict", "other"
_KEYS = frozenset(
    {
        *("NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
        *("BINUNICODE", "SHORT_BINUNICODE"),
    }
)
_IGNORED = frozenset({"PROTO", "FRAME", "STOP"})


class ForeignPickleError(Exception):
    """The pickle holds more than tensors in tuples, lists and dicts; the message is one clause."""


class BrokenPickleError(Exception):
    """The bytes are no pickle."""


def check_pickle(data: bytes) -> None:
    """Pass if unpickling `data` can only build tensors, tuples, lists and dicts with plain keys.

    Raises:
        ForeignPickleError: anything else.
        BrokenPickleError: it cannot be read to its end.
    """
    if len(data) > MAX_BYTES:
        raise ForeignPickleError(f"its pickle has {len(data)} bytes, over the limit of {MAX_BYTES}")
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(data):
            machine.step(opcode.name, argument)
    except ForeignPickleError:
        raise
    except Exception as error:  # genops and the stack raise many kinds on garbage; all mean the same
        raise BrokenPickleError from error


class _Machine:
    """The stack of the unpickler, with kinds (or the names of globals) in place of values."""

    def __init__(self) -> None:
        self.stack: list[str] = []
        self.marks: list[int] = []
        self.memo: dict[int, str] = {}

    def step(self, name: str, argument: object) -> None:
        if name in _KEYS:
            self.stack.append(_KEY)
        elif name == "GLOBAL":
            self.stack.append(_checked_global(str(argument)))
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[int(str(argument))] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[int(str(argument))])
        elif name not in _IGNORED:
            self._structure(name)

    def _structure(self, name: str) -> None:
        if name == "MARK":
            self.marks.append(len(self.stack))
        elif name in ("EMPTY_TUPLE", "EMPTY_LIST", "EMPTY_DICT"):
            self.stack.append({"EMPTY_LIST": _LIST, "EMPTY_DICT": _DICT}.get(name, _OTHER))
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3", "BINPERSID"):
            self._pop(int(name[-1]) if name[-1].isdigit() else 1)
            self.stack.append(_OTHER)
        elif name == "TUPLE":
            self._pop_mark()
            self.stack.append(_OTHER)
        elif name in ("APPEND", "APPENDS"):
            self._pop(1) if name == "APPEND" else self._pop_mark()
            self._expect(_LIST)
        elif name in ("SETITEM", "SETITEMS"):
            items = self._pop(2) if name == "SETITEM" else self._pop_mark()
            if any(key != _KEY for key in items[::2]):
                raise ForeignPickleError("it has dict keys that are no plain names or numbers")
            self._expect(_DICT)
        elif name == "REDUCE":
            self._reduce()
        else:
            raise ForeignPickleError(f"it holds objects, not only tensors (pickle opcode {name})")

    def _reduce(self) -> None:
        function, _ = self._pop(2)
        if function not in CALLABLE:
            raise ForeignPickleError("it calls something that makes no tensor")
        self.stack.append(_DICT if function == "collections OrderedDict" else _OTHER)

    def _expect(self, kind: str) -> None:
        if self.stack[-1] != kind:
            raise BrokenPickleError

    def _pop(self, count: int) -> list[str]:
        if len(self.stack) - (self.marks[-1] if self.marks else 0) < count:
            raise BrokenPickleError
        items = self.stack[-count:]
        del self.stack[-count:]
        return items

    def _pop_mark(self) -> list[str]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items


def _checked_global(name: str) -> str:
    module, _, attribute = name.partition(" ")
    is_storage = module in ("torch", "torch.storage") and attribute.endswith("Storage")
    is_dtype = module == "torch" and attribute in _DTYPES
    if name in CALLABLE or is_storage or is_dtype:
        return name
    raise ForeignPickleError(f"it holds an object of {module}.{attribute}")
