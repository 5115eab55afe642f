"""How RNN, GRU and LSTM run over time: directions, layouts and sequence lengths; the cells themselves are in `recurrent`.

Every time step is a matmul of its own that reads the recurrent weight itself, so that the gradient through time can be
followed step by step. Shapes: ``S`` steps, ``B`` samples, ``D`` directions, ``H`` hidden units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

States = tuple[Tensor, ...]
"""Hidden state and, in an LSTM, the cell state: each (B, H)."""
Cell = Callable[[Tensor, States], States]
"""(input of one step, already multiplied by W: (B, gates·H), states) → states."""
MakeCell = Callable[[int, Tensor | None], tuple[Cell, Tensor | None]]
"""(direction, recurrent bias) → the cell, and what of that bias is to be added to the inputs at once."""


def direction_count(direction: str) -> int:
    """1 or 2. Raises ValueError for anything but forward, reverse and bidirectional."""
    if direction not in ("forward", "reverse", "bidirectional"):
        raise ValueError(f"direction is {direction}; it must be forward, reverse or bidirectional")
    return 2 if direction == "bidirectional" else 1


def biases(b: Any, direction: int) -> tuple[Tensor | None, Tensor | None]:
    """(Wb, Rb) of one direction: from a tensor (D, 2·gates·H), or from a pair for each direction; None where there is none."""
    if b is None:
        return None, None
    own = b[direction]
    first, second = own.chunk(2) if isinstance(own, Tensor) else own
    return first, second


def unroll(
    make_cell: MakeCell,
    x: Tensor,
    w: Any,
    r: Any,
    b: Any,
    lengths: Tensor | None,
    initial: Sequence[Tensor | None],
    *,
    direction: str,
    layout: int,
    hidden_size: int | None,
    wants_sequence: bool,
) -> tuple[Tensor | None, ...]:
    """Run a recurrent layer.

    Args:
        make_cell: makes the cell of each direction.
        x: (S, B, inputs), or (B, S, inputs) in layout 1.
        w: for each direction a matrix (gates·H, inputs): a tensor of three dimensions, or a tuple of matrices; `r` likewise.
        b: as `biases` takes it.
        lengths: (B), the steps of each sample; all if None.
        initial: for each state (D, B, H), in layout 1 (B, D, H); None for zeros.
        wants_sequence: whether the hidden states of all steps are asked for.

    Returns:
        The hidden states of all steps, (S, D, B, H), in layout 1 (B, S, D, H), and the last of each state, like `initial`.

    Raises:
        ValueError: parts that do not fit each other.
    """
    directions = direction_count(direction)
    if x.dim() != 3:
        raise ValueError(f"the input has {x.dim()} dimensions, and a recurrent layer takes 3")
    if len(w) != directions or len(r) != directions:
        raise ValueError(f"the weights are for {len(w)} directions, and direction is {direction}")
    hidden = r[0].shape[-1]
    if hidden_size is not None and hidden_size != hidden:
        raise ValueError(f"hidden_size is {hidden_size}, and the recurrent weight is for {hidden}")
    x = x.transpose(0, 1) if layout else x
    steps = _lengths(lengths, x.shape[0], x.shape[1])
    sequences, lasts = [], []
    for number in range(directions):
        backward = direction == "reverse" or number == 1
        input_bias, recurrent_bias = biases(b, number)
        cell, extra = make_cell(number, recurrent_bias)
        states = tuple(_initial(value, number, layout, x, hidden) for value in initial)
        projected = F.linear(x, w[number], input_bias)
        projected = projected if extra is None else projected + extra
        sequence, last = _run(cell, projected, states, steps, backward, wants_sequence)
        sequences.append(sequence)
        lasts.append(last)
    y = torch.stack([s for s in sequences if s is not None], 2 if layout else 1) if wants_sequence else None
    ends = (torch.stack([last[i] for last in lasts], 1 if layout else 0) for i in range(len(initial)))
    return (y.transpose(0, 1) if layout and y is not None else y, *ends)


def _lengths(lengths: Tensor | None, most: int, samples: int) -> Tensor | None:
    """The lengths as int64, or None where all are full. Raises ValueError for impossible ones."""
    if lengths is None:
        return None
    if lengths.shape != (samples,):
        raise ValueError(f"sequence_lens has the shape {tuple(lengths.shape)}, and there are {samples} samples")
    found = lengths.long()
    if not found.numel() or bool((found == most).all()):
        return None
    if bool((found < 0).any()) or bool((found > most).any()):
        raise ValueError(f"sequence_lens must lie between 0 and the {most} steps of the input")
    return found


def _initial(value: Tensor | None, number: int, layout: int, x: Tensor, hidden: int) -> Tensor:
    if value is None:
        return x.new_zeros(x.shape[1], hidden)
    return value[:, number] if layout else value[number]


def _run(
    cell: Cell, projected: Tensor, states: States, lengths: Tensor | None, backward: bool, wants_sequence: bool
) -> tuple[Tensor | None, States]:
    """One direction over all steps: hidden states (S, B, H) in the order of the input, and the last states."""
    if lengths is not None:
        return _run_ragged(cell, projected, states, lengths, backward)
    inputs = projected.unbind(0)
    hidden = []
    for each in reversed(inputs) if backward else inputs:
        states = cell(each, states)
        hidden.append(states[0])
    if not wants_sequence:
        return None, states
    if not hidden:
        return projected.new_zeros(0, *states[0].shape), states
    return torch.stack(hidden[::-1] if backward else hidden), states


def _run_ragged(
    cell: Cell, projected: Tensor, states: States, lengths: Tensor, backward: bool
) -> tuple[Tensor, States]:
    """As `_run`, where a sample ends after its own number of steps: zeros from there on, and its last states from there.

    A sample without any step has last states of 0, as in ONNX Runtime; the standard does not say.
    """
    total, samples = projected.shape[:2]
    time = torch.arange(total, device=projected.device).unsqueeze(1)
    inside = time < lengths
    columns = torch.arange(samples, device=projected.device)
    mirrored = torch.where(inside, lengths - 1 - time, time)
    if backward:
        projected = projected[mirrored, columns]
    history = [states]
    for each in projected.unbind(0)[: int(lengths.max())]:
        states = cell(each, states)
        history.append(states)
    stacked = [torch.stack(parts) for parts in zip(*history, strict=True)]
    none = (lengths == 0).unsqueeze(1)
    last = tuple(values[lengths, columns].masked_fill(none, 0.0) for values in stacked)
    hidden = stacked[0][1:]
    hidden = F.pad(hidden, (0, 0, 0, 0, 0, total - hidden.shape[0]))
    hidden = hidden[mirrored, columns] if backward else hidden
    return torch.where(inside.unsqueeze(2), hidden, 0.0), last
