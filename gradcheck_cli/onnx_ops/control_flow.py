"""If, Loop, Scan and SequenceMap in plain Python: each step of a loop leaves its own operations on autograd's tape."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gradcheck_cli.onnx_ops.axes import axis_of, scalar
from gradcheck_cli.onnx_ops.bodies import Body
from gradcheck_cli.onnx_ops.joining import stacked
from gradcheck_cli.onnx_ops.registry import Call, operator

MAX_ROUNDS = 20_000
"""Of all loops of one run together: how often they go round is a number in the file, and may be 2⁶²."""


def _count_round(call: Call) -> None:
    call.mode.rounds += 1
    if call.mode.rounds > MAX_ROUNDS:
        raise ValueError(
            f"the loops of the model go round more than {MAX_ROUNDS} times in one run, and that is the most that is measured"
        )


@operator("If")
def if_(condition: Tensor, *, then_branch: Body, else_branch: Body) -> tuple[Any, ...]:
    """The outputs of one of two graphs."""
    return tuple(then_branch() if scalar(condition, "the condition") else else_branch())


@operator("Loop")
def loop(
    call: Call, trips: Tensor | None = None, condition: Tensor | None = None, *carried: Any, body: Body
) -> tuple[Any, ...]:
    """The body again and again: (i, condition, carried …) → (condition, carried …, one more element of each scan output …).

    It ends after `trips` rounds, or when the condition is false. Where no first condition is given, the standard ignores the
    body's own; ONNX Runtime heeds it, and so does this.
    """
    limit = scalar(trips, "the trip count") if trips is not None else None
    going = condition is None or bool(scalar(condition, "the condition"))
    state, count = list(carried), len(carried)
    collected = _Collected(body, call, 1 + count, count)
    for i in itertools.count():
        if not going or (limit is not None and i >= limit):
            break
        _count_round(call)
        results = body(torch.tensor(i), torch.tensor(going), *state)
        going, state = bool(scalar(results[0], "the condition")), results[1 : 1 + count]
        collected.add(results)
    return (*state, *collected.stacked())


class _Collected:
    """The scan outputs of a loop, as they grow: those that somebody reads."""

    def __init__(self, body: Body, call: Call, first: int, shift: int) -> None:
        """`first`: the body's first scan output, which is the node's output number `shift`."""
        self.declared = body.outputs[first:]
        self.first = first
        self.wanted = [call.wants(shift + i) for i in range(len(self.declared))]
        self.rounds: list[list[Any]] = [[] for _ in self.declared]

    def add(self, results: Sequence[Any]) -> None:
        for wanted, seen, result in zip(self.wanted, self.rounds, results[self.first :], strict=True):
            if wanted:
                seen.append(result)

    def stacked(self, axes: Sequence[int] = (), backward: Sequence[int] = ()) -> list[Any]:
        found: list[Any] = []
        for i, (wanted, seen, declared) in enumerate(zip(self.wanted, self.rounds, self.declared, strict=True)):
            axis = axes[i] if axes else 0
            if not wanted:
                found.append(None)
            elif seen:
                found.append(stacked(seen[::-1] if backward and backward[i] else seen, axis))
            else:
                found.append(declared.none_of_it(axis))
        return found


@operator("Scan", since=9)
def scan(
    call: Call,
    *values: Any,
    body: Body,
    num_scan_inputs: int,
    scan_input_axes: Sequence[int] = (),
    scan_input_directions: Sequence[int] = (),
    scan_output_axes: Sequence[int] = (),
    scan_output_directions: Sequence[int] = (),
) -> tuple[Any, ...]:
    """The body over the slices of some tensors: (state …, slices …) → (state …, one more element of each scan output …)."""
    state, inputs = _states_and_inputs(values, num_scan_inputs)
    axes = scan_input_axes or [0] * num_scan_inputs
    slices = _slices(inputs, axes, scan_input_directions)
    return _scanned(call, state, slices, body, scan_output_axes, scan_output_directions)


def _scanned(
    call: Call,
    state: list[Any],
    slices: Sequence[Sequence[Tensor]],
    body: Body,
    axes: Sequence[int],
    directions: Sequence[int],
) -> tuple[Any, ...]:
    collected = _Collected(body, call, len(state), len(state))
    for items in zip(*slices, strict=True):
        _count_round(call)
        results = body(*state, *items)
        state = results[: len(state)]
        collected.add(results)
    return (*state, *collected.stacked(axes, directions))


@operator("Scan", since=8)
def scan_batches(
    call: Call, lengths: Tensor | None, *values: Any, body: Body, num_scan_inputs: int, directions: Sequence[int] = ()
) -> tuple[Any, ...]:
    """Each sequence of a batch by itself, over axis 1; scan outputs are filled with zeros beyond a sequence's length."""
    state, inputs = _states_and_inputs(values, num_scan_inputs)
    batch, steps = inputs[0].shape[:2]
    ends = [steps] * batch if lengths is None else [int(end) for end in lengths.tolist()]
    if len(ends) != batch or not all(0 <= end <= steps for end in ends):
        raise ValueError(f"lengths of {ends} do not fit {batch} sequences of {steps} steps")
    rows = []
    for row, end in enumerate(ends):
        parts = [each[row, :end] for each in inputs]
        found = _scanned(
            call, [each[row] for each in state], _slices(parts, [0] * len(parts), directions), body, (), ()
        )
        rows.append([*found[: len(state)], *(_filled_up(each, steps) for each in found[len(state) :])])
    if not rows:
        raise ValueError("a Scan over no sequences has no outputs")
    return tuple(None if column[0] is None else torch.stack(column) for column in zip(*rows, strict=True))


def _states_and_inputs(values: Sequence[Any], count: int) -> tuple[list[Any], list[Tensor]]:
    if not 0 < count <= len(values):
        raise ValueError(f"a Scan cannot go over {count} of {len(values)} inputs")
    return list(values[:-count]), list(values[-count:])


def _slices(inputs: Sequence[Tensor], axes: Sequence[int], directions: Sequence[int]) -> list[Sequence[Tensor]]:
    found: list[Sequence[Tensor]] = []
    for i, (each, axis) in enumerate(zip(inputs, axes, strict=True)):
        parts = each.unbind(axis_of(axis, each.dim()))
        found.append(parts[::-1] if directions and directions[i] else parts)
    if len({len(parts) for parts in found}) > 1:
        raise ValueError(f"a Scan goes over as many slices of each input, not {', '.join(str(len(p)) for p in found)}")
    return found


def _filled_up(x: Tensor | None, steps: int) -> Tensor | None:
    if x is None or x.shape[0] == steps:
        return x
    return torch.cat([x, x.new_zeros(steps - x.shape[0], *x.shape[1:])])


@operator("SequenceMap", since=17)
def sequence_map(call: Call, sequence: Sequence[Any], *others: Any, body: Body) -> tuple[list[Any], ...]:
    """The body for each element of the first sequence; other sequences go along, tensors stay the same."""
    if any(isinstance(each, list) and len(each) != len(sequence) for each in others):
        raise ValueError(f"the sequences of a SequenceMap differ in length from the first, of {len(sequence)} elements")
    rows = []
    for i, item in enumerate(sequence):
        _count_round(call)
        rows.append(body(item, *(each[i] if isinstance(each, list) else each for each in others)))
    return tuple([row[number] for row in rows] for number in range(len(body.outputs)))
