"""How a model that is run node by node tells of its module calls: the two sides know each other by these protocols alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable


class Listener(Protocol):
    """Is told of every module call of one forward pass."""

    def enter(self, path: str, kind: str, *, leaf: bool) -> None:
        """The module at `path`, of the class `kind`, begins to run; `leaf`: no other module runs in it."""

    def leave(self, output: Any, inputs: Any = ()) -> None:
        """The module that began last ends; `output` is what it gave (None if it raised)."""


@runtime_checkable
class ReportsCalls(Protocol):
    """A module that is a program: one forward, in which modules run that it knows by name only."""

    def call_reporting(self, args: Sequence[Any], kwargs: Mapping[str, Any], listener: Listener) -> Any:
        """As ``module(*args, **kwargs)``, telling `listener` of every module call, the model's own included."""
