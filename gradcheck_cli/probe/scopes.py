"""Which module runs when: while a model runs, scopes tell which module path every operation of the tape belongs to.

A scope is one call of one module. It notes the range of autograd sequence numbers that its operations got, so that owners
are found afterwards, on the tape, without touching any operation while it runs. Modules report by global forward hooks
(full backward hooks would break in-place operations); an exported program is interpreted node by node and reports from
each node's `nn_module_stack`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch._C._functorch import is_functorch_wrapped_tensor

from gradcheck_cli.probe.statistics import SquareSum, count_spoilt, square_sum
from gradcheck_cli.tensors import leaves

WHOLE = "(model)"
"""Path of a model that is a single layer."""

UNREGISTERED = "<unregistered>"
"""Path prefix of a module that runs but is not part of the model's tree: an optimiser never sees its parameters."""


def next_sequence() -> int:
    """Sequence number that the next autograd node of this thread gets."""
    return int(torch.autograd._get_sequence_nr())  # type: ignore[attr-defined]  # private, but there since torch 1.13


@dataclass(slots=True)
class Output:
    """One floating tensor that a module returned."""

    node: Any
    """Its autograd node; None where it has none."""
    number: int
    """Which of the node's outputs it is."""
    values: SquareSum | None
    """Of its finite values; None where they were not looked at."""
    nonfinite: int


@dataclass(slots=True)
class Scope:
    """One call of one module."""

    path: str
    kind: str
    """Class name of the module."""
    leaf: bool
    """No child modules."""
    parent: int
    """Index of the calling scope, -1 at the top."""
    first: int
    """Sequence number that the first operation in it gets."""
    end: int = -1
    """Sequence number of the first operation after it; -1 while it runs, or if its forward raised."""
    returned: bool = False
    """False while it runs, and where its forward raised."""
    outputs: list[Output] = field(default_factory=list)
    """The floating tensors that it returned; values are looked at in modules without children."""
    nonfinite_input: bool = False
    """True if a floating argument already held NaN or infinity; looked at only where an output does."""


class Scopes:
    """All calls of one forward pass, in the order in which they began."""

    def __init__(self) -> None:
        self.calls: list[Scope] = []
        self._open: list[int] = []
        self.busy = False
        """True while an output is measured: what runs then is not the model's."""

    def enter(self, path: str, kind: str, *, leaf: bool) -> None:
        """A module begins to run."""
        parent = self._open[-1] if self._open else -1
        self._open.append(len(self.calls))
        self.calls.append(Scope(path, kind, leaf, parent, next_sequence()))

    def leave(self, output: Any, inputs: Any = ()) -> None:
        """The module that began last ends; `output` is what it returned (None if it raised)."""
        self.busy = True
        scope = self.calls[self._open.pop()]
        scope.end = next_sequence()
        scope.returned = output is not None
        for tensor in (output,) if isinstance(output, torch.Tensor) else leaves(output):
            if not (tensor.is_floating_point() or tensor.is_complex()) or is_functorch_wrapped_tensor(tensor):
                continue  # inside vmap a tensor has neither values nor a node of its own
            scope.outputs.append(Output(tensor.grad_fn, tensor.output_nr, None, 0))
            if scope.leaf:
                self._measure(scope, tensor.detach(), inputs)
        self.busy = False

    def _measure(self, scope: Scope, values: torch.Tensor, inputs: Any) -> None:
        output = scope.outputs[-1]
        total = square_sum(values)
        if total - total != 0.0:  # NaN or infinite
            total = square_sum(values[values.isfinite()])
            output.nonfinite = count_spoilt(values)
            scope.nonfinite_input |= any(
                other.is_floating_point() and count_spoilt(other) > 0 for other in leaves(inputs)
            )
        output.values = SquareSum(total, values.numel())

    def current(self) -> int:
        """Index of the innermost module call that is running; -1 outside all."""
        return self._open[-1] if self._open else -1


def root_path(module: nn.Module) -> str:
    """Path of the model itself: empty, but ``(model)`` where it is one layer and so needs a name."""
    children = [name for name, _ in module.named_children() if not name.startswith("_guards")]
    return "" if children else WHOLE


def paths_of(module: nn.Module) -> dict[int, str]:
    """Map id(module) → its first path, for every module of the tree."""
    paths: dict[int, str] = {id(module): root_path(module)}
    for path, child in module.named_modules():
        paths.setdefault(id(child), path)
    return paths
