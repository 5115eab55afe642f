"""Reads a pickle's opcodes into an inert tree: nothing is imported, called or allocated beyond the bytes there are.

Only the opcodes that torch's weights-only unpickler knows are accepted, with the same stack discipline, so that the
tree is what torch would build. Source of the opcodes: `pickletools` and `torch._weights_only_unpickler`.
"""

from __future__ import annotations

import io
import pickletools
from dataclasses import dataclass, field
from typing import Any, ClassVar

MAX_BYTES = 64 << 20
MAX_OPCODES = 2_000_000
MAX_DEPTH = 200
MAX_STACK = 100_000
"""Values waiting to be put into a container; pickle itself batches containers by a thousand."""
MAX_MARKS = 4 * MAX_DEPTH
MAX_EXPANDED = 5_000_000
"""Nodes counted once for every path that leads to them: a shared tuple of shared tuples … grows without bound."""


class PickleError(Exception):
    """The pickle cannot be what torch.save writes; the message is one clause."""


class ForeignOpcodeError(PickleError):
    """An opcode that torch.save's default protocol never writes."""


@dataclass(frozen=True, eq=False, slots=True)
class Global:
    """A name that unpickling would look up."""

    module: str
    name: str

    @property
    def path(self) -> str:
        """``module.name``."""
        return f"{self.module}.{self.name}"


@dataclass(eq=False, slots=True)
class Pairs:
    """A dict's items in order; keys are scalars, so that nothing is hashed that could be expensive to hash."""

    items: list[tuple[Node, Node]] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Made:
    """An object that unpickling would make: ``callee(*args)`` or ``callee.__new__(callee, *args)``, then its state."""

    callee: Node
    args: tuple[Node, ...]
    new: bool
    """True for NEWOBJ, False for REDUCE."""
    state: Node = None
    built: bool = False
    items: list[tuple[Node, Node]] = field(default_factory=list)
    """Set items, of an OrderedDict."""


@dataclass(frozen=True, eq=False, slots=True)
class Persistent:
    """A reference to something outside the pickle: in torch.save, a storage."""

    id: Node


Node = bool | int | float | str | bytes | Global | Pairs | Made | Persistent | tuple[Any, ...] | list[Any] | None
SCALARS = (type(None), bool, int, float, str, bytes)


@dataclass(frozen=True)
class Tree:
    """A whole pickle."""

    root: Node
    nodes: tuple[Node, ...]
    """Every node but scalars, each once, children before parents."""


def read_tree(data: bytes) -> Tree:
    """The tree of the pickle `data`.

    Raises:
        ForeignOpcodeError: an opcode that torch.save does not write by default.
        PickleError: not a pickle, broken, cyclic, or larger or deeper than the limits above.
    """
    if len(data) > MAX_BYTES:
        raise PickleError(f"its pickle has {len(data)} bytes, over the limit of {MAX_BYTES}")
    stream = io.BytesIO(data)
    root = run(Machine(), stream)
    if stream.tell() != len(data):
        raise PickleError("its pickle has more bytes behind its end")
    return Tree(root, _children_first(root))


def run(machine: Machine, stream: io.BytesIO) -> Node:
    """What `machine` has made when the pickle in `stream` ends. Raises `PickleError`."""
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count >= MAX_OPCODES:
                raise PickleError(f"its pickle has over {MAX_OPCODES} opcodes")
            machine.step(opcode.name, argument)
    except PickleError:
        raise
    except RecursionError as error:
        raise PickleError("its pickle is nested too deeply") from error
    except Exception as error:  # genops and the machine raise many kinds on garbage; all mean the same
        raise PickleError("its pickle is broken") from error
    if len(machine.stack) != 1 or machine.marks:
        raise PickleError("its pickle is broken")
    root: Node = machine.stack[0]
    return root


def children(node: Node) -> list[Node]:
    """What `node` holds, one level down."""
    if isinstance(node, (tuple, list)):
        return list(node)
    if isinstance(node, Pairs):
        return [part for item in node.items for part in item]
    if isinstance(node, Made):
        return [node.callee, node.args, node.state, *(part for item in node.items for part in item)]
    if isinstance(node, Persistent):
        return [node.id]
    return []


def _children_first(root: Node) -> tuple[Node, ...]:
    """All nodes in post-order; refuses cycles, depth over `MAX_DEPTH` and expansion over `MAX_EXPANDED`."""
    order: list[Node] = []
    size: dict[int, int] = {}
    depth: dict[int, int] = {}
    open_ids: set[int] = set()
    work: list[tuple[Node, bool]] = [(root, False)]
    while work:
        node, leaving = work.pop()
        if isinstance(node, SCALARS) or (not leaving and id(node) in size):
            continue
        below = [child for child in children(node) if not isinstance(child, SCALARS)]
        if leaving:
            open_ids.discard(id(node))
            size[id(node)] = 1 + sum(size[id(child)] for child in below)
            depth[id(node)] = 1 + max((depth[id(child)] for child in below), default=0)
            order.append(node)
            if depth[id(node)] > MAX_DEPTH:
                raise PickleError(f"its objects are nested over {MAX_DEPTH} levels deep")
            if size[id(node)] > MAX_EXPANDED:
                raise PickleError("its objects refer to each other so often that they expand without bound")
            continue
        if id(node) in open_ids:
            raise PickleError("its objects contain themselves")
        open_ids.add(id(node))
        work.append((node, True))
        for child in below:
            if id(child) in open_ids:
                raise PickleError("its objects contain themselves")
            work.append((child, False))
    return tuple(order)


class Machine:
    """The stack machine of the pickle format, on inert nodes."""

    handlers: ClassVar[dict[str, Any]] = {}
    """Opcode → ``handler(machine, argument)``, for all that is not in `step` itself."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Node] = {}
        self.tuple_depth: dict[int, int] = {}

    def step(self, name: str, argument: Any) -> None:
        """One opcode. Raises whatever broken input provokes; `read_tree` translates."""
        self.check_depth()
        if name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _LITERALS:
            self.stack.append(argument)
        elif name in ("BINPUT", "LONG_BINPUT"):
            if argument > MAX_OPCODES:  # Python's own unpickler makes room for all that come before
                raise PickleError("its pickle is broken")
            self.memo[argument] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif name not in ("PROTO", "STOP"):
            handler = self.handlers.get(name)
            if handler is None:
                raise ForeignOpcodeError(f"its pickle uses the opcode {name}, which torch.save does not write")
            handler(self, argument)

    def check_depth(self) -> None:
        """Refuses a stack that grows without bound."""
        if len(self.stack) > MAX_STACK or len(self.marks) > MAX_MARKS:
            raise PickleError("its pickle is nested too deeply")

    def mark(self, _: Any) -> None:
        """MARK."""
        self.marks.append(self.stack)
        self.stack = []

    def pop_mark(self) -> list[Any]:
        """What was pushed since the last MARK."""
        items = self.stack
        self.stack = self.marks.pop()
        return items

    def pop(self, count: int) -> tuple[Any, ...]:
        """The last `count` values."""
        if len(self.stack) < count:
            raise PickleError("its pickle is broken")
        items = tuple(self.stack[-count:])
        del self.stack[-count:]
        return items

    def global_(self, argument: str) -> None:
        """GLOBAL."""
        module, _, name = argument.partition(" ")
        self.stack.append(Global(module, name))

    def make(self, new: bool) -> None:
        """NEWOBJ or REDUCE."""
        callee, args = self.pop(2)
        if not isinstance(args, tuple):
            raise PickleError("its pickle calls something with arguments that are no tuple")
        self.stack.append(Made(callee, args, new))

    def build(self, _: Any) -> None:
        """BUILD."""
        (state,) = self.pop(1)
        target = self.stack[-1]
        if not isinstance(target, Made) or target.built:
            raise PickleError("its pickle sets the state of something that has none")
        target.state, target.built = state, True

    def tuple_(self, items: tuple[Any, ...]) -> None:
        """A tuple of `items`."""
        # Known at once for tuples, so that a file of nothing but nesting ends early.
        depth = 1 + max((self.tuple_depth.get(id(item), 0) for item in items), default=0)
        if depth > MAX_DEPTH:
            raise PickleError(f"its objects are nested over {MAX_DEPTH} levels deep")
        self.tuple_depth[id(items)] = depth
        self.stack.append(items)

    def append(self, items: list[Any]) -> None:
        """APPEND or APPENDS."""
        target = self.stack[-1]
        if type(target) is not list:
            raise PickleError("its pickle appends to something that is no list")
        target.extend(items)

    def set_items(self, items: list[Any]) -> None:
        """SETITEM or SETITEMS: keys and values in turn."""
        target = self.stack[-1]
        if not isinstance(target, (Pairs, Made)) or len(items) % 2:
            raise PickleError("its pickle sets items of something that is no dict")
        keys = items[::2]
        if not all(isinstance(key, SCALARS) for key in keys):
            raise PickleError("its pickle has dict keys that are no plain scalars")
        target.items.extend(zip(keys, items[1::2], strict=True))


_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_LITERALS = frozenset({"BININT", "BININT1", "BININT2", "BINFLOAT", "BINUNICODE", "LONG1"})
HANDLERS: dict[str, Any] = {
    "MARK": Machine.mark,
    "GLOBAL": Machine.global_,
    "BUILD": Machine.build,
    "NEWOBJ": lambda machine, _: machine.make(new=True),
    "REDUCE": lambda machine, _: machine.make(new=False),
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "EMPTY_DICT": lambda machine, _: machine.stack.append(Pairs()),
    "TUPLE": lambda machine, _: machine.tuple_(tuple(machine.pop_mark())),
    "TUPLE1": lambda machine, _: machine.tuple_(machine.pop(1)),
    "TUPLE2": lambda machine, _: machine.tuple_(machine.pop(2)),
    "TUPLE3": lambda machine, _: machine.tuple_(machine.pop(3)),
    "APPEND": lambda machine, _: machine.append(list(machine.pop(1))),
    "APPENDS": lambda machine, _: machine.append(machine.pop_mark()),
    "SETITEM": lambda machine, _: machine.set_items(list(machine.pop(2))),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_mark()),
    "BINPERSID": lambda machine, _: machine.stack.append(Persistent(*machine.pop(1))),
}
Machine.handlers = HANDLERS
