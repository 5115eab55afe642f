"""RNN, GRU and LSTM, unrolled over time (see `unrolled`).

W, R and B may be a tensor each, as in the file, with ONNX's order of the gates (GRU z r h, LSTM i o f c), or a tuple with one
entry a direction (for B a pair of input and recurrent bias) in torch's order (r z n, i f g o), so that each direction's
weight can be a parameter of its own, the same as in torch. The cells work in torch's order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gradcheck_cli.onnx_ops.cell_activations import Activation, activations
from gradcheck_cli.onnx_ops.registry import Call, operator
from gradcheck_cli.onnx_ops.unrolled import Cell, States, direction_count, unroll

TORCH_ORDER: Mapping[str, tuple[int, ...]] = {"GRU": (1, 0, 2), "LSTM": (0, 2, 3, 1), "RNN": (0,)}
"""Operator → where each of torch's gates stands in ONNX's order."""


def in_torch_order(rows: Tensor, operator: str) -> Tensor:
    """The rows (gates·H, …) of ONNX's gates in torch's order. Raises ValueError if they are no whole gates."""
    order = TORCH_ORDER[operator]
    if rows.shape[0] % len(order):
        raise ValueError(f"the weights have {rows.shape[0]} rows, and {operator} has {len(order)} gates")
    parts = rows.chunk(len(order))
    return rows if len(order) == 1 else torch.cat([parts[gate] for gate in order])


def _matrices(weights: Any, operator: str) -> Any:
    """W or R as one matrix a direction, in torch's order."""
    if not isinstance(weights, Tensor):
        return weights
    return tuple(in_torch_order(each, operator) for each in weights)


def _biases(b: Any, operator: str) -> Any:
    """B as one pair of input and recurrent bias a direction, in torch's order."""
    if not isinstance(b, Tensor):
        return b
    return tuple(tuple(in_torch_order(half, operator) for half in each.chunk(2)) for each in b)


def _clipped(functions: list[Activation], clip: float) -> list[Activation]:
    """The functions, with their inputs limited to ±clip; 0 is no limit."""
    if not clip:
        return functions
    return [lambda x, f=f: f(x.clamp(-clip, clip)) for f in functions]  # type: ignore[misc]


@operator("RNN")
def rnn(
    call: Call,
    x: Tensor,
    w: Any,
    r: Any,
    b: Any = None,
    sequence_lens: Tensor | None = None,
    initial_h: Tensor | None = None,
    *,
    activation_alpha: Sequence[float] | None = None,
    activation_beta: Sequence[float] | None = None,
    activations: Sequence[str] | None = None,
    clip: float = 0.0,
    direction: str = "forward",
    hidden_size: int | None = None,
    layout: int = 0,
    output_sequence: int = 0,  # noqa: ARG001 - of version 1; whether an output is named says the same
) -> tuple[Tensor | None, ...]:
    """H ← f(X Wᵀ + H Rᵀ + Wb + Rb); Y (S, D, B, H), Y_h (D, B, H)."""
    functions = _functions(activations, ["Tanh"], direction, activation_alpha, activation_beta)

    def make(number: int, bias: Tensor | None) -> tuple[Cell, Tensor | None]:
        (f,) = _clipped(functions[number], clip)
        recurrent = r[number].t()

        def cell(projected: Tensor, states: States) -> States:
            return (f(torch.addmm(projected, states[0], recurrent)),)

        return cell, bias

    return unroll(
        make, x, w, r, b, sequence_lens, [initial_h],
        direction=direction, layout=layout, hidden_size=hidden_size, wants_sequence=call.wants(0),
    )  # fmt: skip


@operator("GRU")
def gru(
    call: Call,
    x: Tensor,
    w: Any,
    r: Any,
    b: Any = None,
    sequence_lens: Tensor | None = None,
    initial_h: Tensor | None = None,
    *,
    activation_alpha: Sequence[float] | None = None,
    activation_beta: Sequence[float] | None = None,
    activations: Sequence[str] | None = None,
    clip: float = 0.0,
    direction: str = "forward",
    hidden_size: int | None = None,
    layout: int = 0,
    linear_before_reset: int = 0,
    output_sequence: int = 0,  # noqa: ARG001 - of versions 1 and 3
) -> tuple[Tensor | None, ...]:
    """H ← (1 − z)·g(…) + z·H; the reset gate before or after the recurrent product. Y (S, D, B, H), Y_h (D, B, H)."""
    functions = _functions(activations, ["Sigmoid", "Tanh"], direction, activation_alpha, activation_beta)
    w, r, b = _matrices(w, "GRU"), _matrices(r, "GRU"), _biases(b, "GRU")
    hidden = r[0].shape[-1]

    def make(number: int, bias: Tensor | None) -> tuple[Cell, Tensor | None]:
        f, g = _clipped(functions[number], clip)
        recurrent = r[number]
        if linear_before_reset:
            return _gru_reset_after(f, g, recurrent, bias), None
        return _gru_reset_before(f, g, recurrent[: 2 * hidden].t(), recurrent[2 * hidden :].t()), bias

    return unroll(
        make, x, w, r, b, sequence_lens, [initial_h],
        direction=direction, layout=layout, hidden_size=hidden_size, wants_sequence=call.wants(0),
    )  # fmt: skip


def _gru_reset_after(f: Activation, g: Activation, recurrent: Tensor, bias: Tensor | None) -> Cell:
    def cell(projected: Tensor, states: States) -> States:
        (h,) = states
        xr, xz, xh = projected.chunk(3, 1)
        hr, hz, hh = F.linear(h, recurrent, bias).chunk(3, 1)
        z, reset = f(xz + hz), f(xr + hr)
        return (torch.lerp(g(xh + reset * hh), h, z),)

    return cell


def _gru_reset_before(f: Activation, g: Activation, gates: Tensor, candidate: Tensor) -> Cell:
    width = gates.shape[1]

    def cell(projected: Tensor, states: States) -> States:
        (h,) = states
        xg, xh = projected[:, :width], projected[:, width:]
        reset, z = torch.addmm(xg, h, gates).chunk(2, 1)
        new = g(torch.addmm(xh, f(reset) * h, candidate))
        return (torch.lerp(new, h, f(z)),)

    return cell


@operator("LSTM")
def lstm(
    call: Call,
    x: Tensor,
    w: Any,
    r: Any,
    b: Any = None,
    sequence_lens: Tensor | None = None,
    initial_h: Tensor | None = None,
    initial_c: Tensor | None = None,
    p: Tensor | None = None,
    *,
    activation_alpha: Sequence[float] | None = None,
    activation_beta: Sequence[float] | None = None,
    activations: Sequence[str] | None = None,
    clip: float = 0.0,
    direction: str = "forward",
    hidden_size: int | None = None,
    input_forget: int = 0,
    layout: int = 0,
    output_sequence: int = 0,  # noqa: ARG001 - of version 1
) -> tuple[Tensor | None, ...]:
    """C ← f·C + i·c, H ← o·h(C), with peepholes P; Y (S, D, B, H), Y_h and Y_c (D, B, H)."""
    functions = _functions(activations, ["Sigmoid", "Tanh", "Tanh"], direction, activation_alpha, activation_beta)
    w, r, b = _matrices(w, "LSTM"), _matrices(r, "LSTM"), _biases(b, "LSTM")

    def make(number: int, bias: Tensor | None) -> tuple[Cell, Tensor | None]:
        peepholes = None if p is None else p[number]
        gates, last = _clipped(functions[number][:2], clip), functions[number][2]
        return _lstm_cell([*gates, last], r[number].t(), peepholes, bool(input_forget)), bias

    return unroll(
        make, x, w, r, b, sequence_lens, [initial_h, initial_c],
        direction=direction, layout=layout, hidden_size=hidden_size, wants_sequence=call.wants(0),
    )  # fmt: skip


def _lstm_cell(functions: list[Activation], recurrent: Tensor, peepholes: Tensor | None, coupled: bool) -> Cell:
    f, g, h = functions
    to_input, to_output, to_forget = (None,) * 3 if peepholes is None else peepholes.chunk(3)

    def cell(projected: Tensor, states: States) -> States:
        before, memory = states
        i, forget, candidate, o = torch.addmm(projected, before, recurrent).chunk(4, 1)
        i = f(_peeped(i, to_input, memory))
        forget = 1.0 - i if coupled else f(_peeped(forget, to_forget, memory))
        memory = forget * memory + i * g(candidate)
        return f(_peeped(o, to_output, memory)) * h(memory), memory

    return cell


def _peeped(gate: Tensor, weight: Tensor | None, memory: Tensor) -> Tensor:
    return gate if weight is None else gate + weight * memory


def _functions(
    names: Sequence[str] | None,
    defaults: list[str],
    direction: str,
    alphas: Sequence[float] | None,
    betas: Sequence[float] | None,
) -> list[list[Activation]]:
    return activations(names, defaults, direction_count(direction), alphas, betas)
