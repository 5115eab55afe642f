"""A compiled ONNX graph and the loop that runs it: a list of steps over a dict of values.

Control flow is plain Python: the body of an If, Loop or Scan is a graph of its own, given to the operator as a function. The
gradient is autograd's, so whatever runs here is differentiated as if it had been written in torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gradcheck_cli.calls import Listener
from gradcheck_cli.onnx_ops.bodies import Declared

Frame = tuple[str, str]
"""(module path, class name): a module call that a node runs in."""


@dataclass
class Step:
    """One node, ready to run."""

    label: str
    """Name and operator, for messages."""
    operator: str
    run: Callable[..., Any]
    inputs: tuple[str | None, ...]
    outputs: tuple[str, ...]
    """Empty names are not kept."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    bodies: Mapping[str, Graph] = field(default_factory=dict)
    """Attributes that are graphs."""
    frames: tuple[Frame, ...] | None = None
    """The module calls around it, outermost first; None: those of the step before it."""
    release: tuple[str, ...] = ()
    """Values that no later step reads."""
    leave: tuple[tuple[str, ...], ...] = ()
    """Module calls that end before this step, innermost first: for each, the values that it hands out."""
    enter: tuple[tuple[Frame, bool], ...] = ()
    """Module calls that begin before this step, outermost first, and whether each is a leaf."""


@dataclass
class Graph:
    """A graph in the order in which it runs."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    steps: list[Step]
    captured: tuple[str, ...] = ()
    """Values of the graphs around it that it reads."""
    leave: tuple[tuple[str, ...], ...] = ()
    """Module calls that end after the last step."""
    declared: tuple[Declared, ...] = ()
    """For a body: what the file says of its outputs."""


class NodeError(Exception):
    """An operator raised; the message says in which node, on what."""


def run(graph: Graph, values: dict[str, Any], listener: Listener | None = None) -> list[Any]:
    """Run all steps over `values`, which holds the graph's inputs and captured values and is used up; give the outputs.

    Raises:
        NodeError: an operator raised, as the cause.
    """
    open_calls = 0
    try:
        for step in graph.steps:
            if listener is not None and (step.leave or step.enter):
                open_calls -= _leave(step.leave, values, listener)
                for (path, kind), leaf in step.enter:
                    listener.enter(path, kind, leaf=leaf)
                    open_calls += 1
            _run_step(step, values, listener)
            for name in step.release:
                values.pop(name, None)
        if listener is not None:
            open_calls -= _leave(graph.leave, values, listener)
    finally:
        for _ in range(open_calls if listener is not None else 0):
            listener.leave(None)  # type: ignore[union-attr]
    return [values[name] if name else None for name in graph.outputs]


def _leave(ending: Sequence[Sequence[str]], values: Mapping[str, Any], listener: Listener) -> int:
    for names in ending:
        listener.leave(tuple(values[name] for name in names))
    return len(ending)


def _run_step(step: Step, values: dict[str, Any], listener: Listener | None) -> None:
    arguments = [values[name] if name is not None else None for name in step.inputs]
    attributes = step.attributes
    if step.bodies:
        bound = {name: BoundBody(body, values, listener) for name, body in step.bodies.items()}
        attributes = {**attributes, **bound}
    try:
        results = step.run(*arguments, **attributes)
    except NodeError:
        raise
    except Exception as error:
        raise NodeError(f"{step.label}: {error}{_described(arguments)}") from error
    if len(step.outputs) == 1:
        values[step.outputs[0]] = results[0] if isinstance(results, tuple) else results
        return
    for name, result in zip(step.outputs, results if isinstance(results, tuple) else (results,), strict=False):
        if name:
            values[name] = result


class BoundBody:
    """A graph that is an attribute, as the function that its operator calls: in its own scope, over the values around it."""

    def __init__(self, body: Graph, around: Mapping[str, Any], listener: Listener | None) -> None:
        self._body = body
        self._captured = {name: around[name] for name in body.captured}
        self._listener = listener

    @property
    def outputs(self) -> tuple[Declared, ...]:
        """What the file says of its outputs."""
        return self._body.declared

    def __call__(self, *inputs: Any) -> list[Any]:
        """Run it once. Raises ValueError for a wrong number of inputs."""
        if len(inputs) != len(self._body.inputs):
            raise ValueError(f"its body takes {len(self._body.inputs)} inputs, not {len(inputs)}")
        return run(self._body, {**self._captured, **dict(zip(self._body.inputs, inputs, strict=True))}, self._listener)


def _described(arguments: Sequence[Any]) -> str:
    shapes = [
        f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}" if hasattr(value, "shape") else "–"
        for value in arguments
    ]
    return f" (inputs {', '.join(shapes[:8])})" if shapes else ""
