"""An ONNX model as a `torch.nn.Module`: the user's parameter names in a tree of modules, and one forward that is a program."""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from gradcheck_cli.calls import Listener
from gradcheck_cli.loaders.onnx_model.program import Graph, Step, run
from gradcheck_cli.onnx_ops.registry import Mode


@dataclass(frozen=True)
class Held:
    """A parameter under its name in the module tree."""

    path: str
    """``layer1.0.conv1.weight``."""
    value: torch.Tensor


Initial = Any
"""What a value of the graph begins as: a `Held`, a constant, or a tuple of these where an operator takes it apart."""


_RESERVED = frozenset(("training", "__class__", "_constants"))
"""Attributes that are set on modules after they are built: no parameter or module can have the name."""


class Part(nn.Module):
    """A module that an ONNX file tells of by name only: it holds parameters, and the program runs what it does."""


class OnnxModule(nn.Module):
    """Runs a compiled graph; its inputs go by order or by name, its output is one tensor or a dict of them by name."""

    def __init__(
        self, graph: Graph, initial: Mapping[str, Initial], mode: Mode, kinds: Mapping[str, str] | None = None
    ) -> None:
        """`initial`: value → what it begins as; `kinds`: module path → class name, where it is known."""
        super().__init__()
        self._graph = graph
        self._mode = mode
        self._kinds = dict(kinds or {})
        self._constants: dict[str, Any] = {}
        self._places: dict[str, Any] = {}
        for name, value in initial.items():
            if isinstance(value, (Held, tuple)):
                self._places[name] = self._place(value)
            else:
                self._constants[name] = value
        self.__class__ = _class_of(graph.inputs)

    def _place(self, value: Initial) -> Any:
        """Where to find a value's parameters: (dict of a module, key), or a tuple of such."""
        if isinstance(value, tuple):
            return tuple(self._place(item) for item in value)
        *modules, leaf = (f"{name}_" if name in _RESERVED else name for name in value.path.split("."))
        parent: nn.Module = self
        for depth, name in enumerate(modules):
            # Names are the file's own: past nn.Module's checks, which forbid "forward" or "type".
            if name not in parent._modules:
                path = ".".join(modules[: depth + 1])
                parent._modules[name] = _part_class(self._kinds.get(path, "Module"))()
            parent = parent._modules[name]  # type: ignore[assignment]
        known = parent._parameters.get(leaf)
        if known is None:
            parent._parameters[leaf] = nn.Parameter(value.value, requires_grad=value.value.is_floating_point())
        return parent._parameters, leaf

    @property
    def steps(self) -> Sequence[Step]:
        """The nodes of the main graph that are run."""
        return self._graph.steps

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs in the file, in order."""
        return self._graph.outputs

    def bound(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Input, under its name in the file → value. Raises TypeError as a call would."""
        return _bound(self._graph.inputs, args, kwargs)

    def every_value(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Every value of one run, under its name in the file; constants, parameters and inputs included."""
        values = self._values(args, kwargs)
        keeping = replace(self._graph, steps=[replace(step, release=()) for step in self._graph.steps])
        run(keeping, values)
        return values

    def run_program(self, *args: Any, **kwargs: Any) -> Any:
        """The outputs: one tensor, or a dict by name. Raises what the operators raise, as `program.NodeError`."""
        return self._named(run(self._graph, self._values(args, kwargs)))

    def call_reporting(self, args: Sequence[Any], kwargs: Mapping[str, Any], listener: Listener) -> Any:
        """As `gradcheck_cli.calls.ReportsCalls` says."""
        path = "" if self._modules else "(model)"
        listener.enter(path, type(self).__name__, leaf=bool(path))
        outputs = None
        try:
            outputs = run(self._graph, self._values(args, kwargs), listener)
        finally:
            listener.leave(None if outputs is None else tuple(outputs))
        return self._named(outputs)

    def _values(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        self._mode.training, self._mode.rounds = self.training, 0
        values: dict[str, Any] = dict(self._constants)
        values.update((name, _found(place)) for name, place in self._places.items())
        values.update(_bound(self._graph.inputs, args, kwargs))
        return values

    def _named(self, outputs: list[Any]) -> Any:
        if len(outputs) == 1:
            return outputs[0]
        return dict(zip(self._graph.outputs, outputs, strict=True))

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> OnnxModule:
        """Constants go with the parameters to another device or dtype."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._constants = {
            name: fn(value) if isinstance(value, torch.Tensor) else value for name, value in self._constants.items()
        }
        return self


def _found(place: Any) -> Any:
    if isinstance(place[0], dict):
        return place[0][place[1]]
    return tuple(_found(item) for item in place)


def _part_class(kind: str) -> type[Part]:
    return type(kind, (Part,), {})


def identifiers(names: Sequence[str]) -> list[str]:
    """The names of inputs as Python can say them: ``input.1`` → ``input_1``; all different."""
    found: list[str] = []
    for name in names:
        plain = "".join(char if char.isalnum() or char == "_" else "_" for char in name) or "input"
        plain = plain if plain.isidentifier() else f"input_{plain}"
        while plain in found or plain == "self" or keyword.iskeyword(plain):
            plain += "_"
        found.append(plain)
    return found


def _class_of(inputs: Sequence[str]) -> type[OnnxModule]:
    """The class with a forward that says which inputs it takes: they go by name."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    forward: Callable[..., Any] = lambda self, *args, **kwargs: self.run_program(*args, **kwargs)  # noqa: E731
    forward.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, kind) for name in ("self", *identifiers(inputs))]
    )
    return type("OnnxModule", (OnnxModule,), {"forward": forward})


def _bound(inputs: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Input → value. Raises TypeError as a Python function would."""
    names = dict(zip(identifiers(inputs), inputs, strict=True))
    signature = inspect.Signature([inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD) for n in names])
    own = {plain: kwargs[name] for plain, name in names.items() if name in kwargs and plain not in kwargs}
    rest = {name: value for name, value in kwargs.items() if name not in inputs or name in names}
    bound = signature.bind(*args, **(rest | own))
    return {names[plain]: value for plain, value in bound.arguments.items()}
