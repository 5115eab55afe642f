"""The operator table: keyed by domain, name and since-version; the newest entry that is not newer than the opset holds.

An operator is a plain function: inputs are positional (an optional one that is left out is None), attributes are keyword-only
with the spec's defaults. It returns a tensor, or a tuple for several outputs. One that must know more about its node takes a
`Call` first. Source of all semantics: the ONNX operator schemas (``Operators.md``, ``Operators-ml.md``) and, for
``com.microsoft``, ONNX Runtime's ``ContribOperators.md``.

    @operator("LeakyRelu", since=6)
    def leaky_relu(x: Tensor, *, alpha: float = 0.01) -> Tensor:
        return F.leaky_relu(x, alpha)

Register a version only where the meaning changed: a new version that admits more types, or turns an attribute into an input,
is served by the entry before it if that entry's function does it too.
"""

from __future__ import annotations

import bisect
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

MICROSOFT = "com.microsoft"
MACHINE_LEARNING = "ai.onnx.ml"
FUSED = "gradcheck.fused"
"""Of nodes that stand for several of the file's: our own operators, and those of the newest standard opset."""


@dataclass(frozen=True)
class Operator:
    """One entry of the table."""

    domain: str
    """Empty for the standard domain, ``ai.onnx``."""
    name: str
    since: int
    """The first opset version in which it holds."""
    run: Callable[..., Any]
    takes_call: bool
    """Its first argument is a `Call`."""
    attributes: frozenset[str]


class Mode:
    """What may change from run to run: shared by a program and all its calls."""

    def __init__(self) -> None:
        self.training = False
        self.rounds = 0
        """Rounds of all loops so far in this run."""


@dataclass(frozen=True)
class Call:
    """What an operator may know of the node that it runs for."""

    opset: int
    """Version of the node's domain."""
    outputs: tuple[bool, ...]
    """For each output up to the last that is named, whether it is."""
    mode: Mode
    unread: frozenset[int] = frozenset()
    """The outputs that are named, but that nothing reads."""

    def wants(self, number: int) -> bool:
        """Whether output `number` is asked for, and is read."""
        return number < len(self.outputs) and self.outputs[number] and number not in self.unread


class Table:
    """Entries by (domain, name), each with its versions in ascending order."""

    def __init__(self) -> None:
        self._versions: dict[tuple[str, str], list[Operator]] = {}

    def add(self, entry: Operator) -> None:
        """Put an entry in. Raises ValueError for one that is there already."""
        versions = self._versions.setdefault((entry.domain, entry.name), [])
        if any(entry.since == other.since for other in versions):
            raise ValueError(f"{entry.domain or 'ai.onnx'}.{entry.name} since {entry.since} is registered twice")
        bisect.insort(versions, entry, key=lambda other: other.since)

    def find(self, domain: str, name: str, opset: int) -> Operator | None:
        """The entry that holds in `opset`; None where there is none."""
        versions = self._versions.get((domain, name), [])
        at = bisect.bisect_right(versions, opset, key=lambda other: other.since)
        return versions[at - 1] if at else None

    def __iter__(self) -> Iterator[Operator]:
        for key in sorted(self._versions):
            yield from self._versions[key]


TABLE = Table()


def operator(name: str, since: int = 1, domain: str = "") -> Callable[[Function], Function]:
    """Register the decorated function; several such lines register it several times."""

    def register(function: Function) -> Function:
        parameters = list(inspect.signature(function).parameters.values())
        keywords = frozenset(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)
        takes_call = bool(parameters) and parameters[0].name == "call"
        TABLE.add(Operator(domain, name, since, function, takes_call, keywords))
        return function

    return register
