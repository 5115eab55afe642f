"""The activation functions that RNN, GRU and LSTM name in their attributes: native torch calls, so that the tape knows them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Activation = Callable[[Tensor], Tensor]


def _affine(x: Tensor, alpha: float, beta: float) -> Tensor:
    return alpha * x + beta


def _scaled_tanh(x: Tensor, alpha: float, beta: float) -> Tensor:
    return alpha * torch.tanh(beta * x)


def _hard_sigmoid(x: Tensor, alpha: float, beta: float) -> Tensor:
    return (alpha * x + beta).clamp(0.0, 1.0)


def _thresholded_relu(x: Tensor, alpha: float) -> Tensor:
    return F.threshold(x, alpha, 0.0)


def _elu(x: Tensor, alpha: float) -> Tensor:
    return F.elu(x, alpha)


def _leaky_relu(x: Tensor, alpha: float) -> Tensor:
    return F.leaky_relu(x, alpha)


_PLAIN: dict[str, Activation] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softsign": F.softsign,
    "softplus": F.softplus,
}
_WITH_ALPHA: dict[str, tuple[Callable[[Tensor, float], Tensor], float]] = {
    "leakyrelu": (_leaky_relu, 0.01),
    "thresholdedrelu": (_thresholded_relu, 1.0),
    "elu": (_elu, 1.0),
}
_WITH_BOTH: dict[str, tuple[Callable[[Tensor, float, float], Tensor], float, float]] = {
    "affine": (_affine, 1.0, 0.0),
    "scaledtanh": (_scaled_tanh, 1.0, 1.0),
    "hardsigmoid": (_hard_sigmoid, 0.2, 0.5),
}
"""Name → function and the defaults of alpha and beta; where the standard gives none, those that change nothing."""


def activations(
    names: Sequence[str] | None,
    defaults: Sequence[str],
    directions: int,
    alphas: Sequence[float] | None,
    betas: Sequence[float] | None,
) -> list[list[Activation]]:
    """For each direction, the functions of its cell.

    Args:
        names: of all directions, one after the other; the `defaults` of one direction, for each, if None or empty.
        alphas: consumed in order by those functions that have an alpha; `betas` alike.

    Raises:
        ValueError: an unknown function, or too few of them.
    """
    wanted = list(names or [*defaults] * directions)
    size = len(defaults)
    if len(wanted) < size * directions:
        raise ValueError(f"activations has {len(wanted)} names, and {size * directions} are needed")
    alpha, beta = iter(alphas or ()), iter(betas or ())
    found = [_named(name, alpha, beta) for name in wanted[: size * directions]]
    return [found[i * size : (i + 1) * size] for i in range(directions)]


def _named(name: str, alpha: Iterator[float], beta: Iterator[float]) -> Activation:
    key = name.lower()
    if key in _PLAIN:
        return _PLAIN[key]
    if key in _WITH_ALPHA:
        one, default = _WITH_ALPHA[key]
        first = next(alpha, default)
        return lambda x: one(x, first)
    if key in _WITH_BOTH:
        both, usual_alpha, usual_beta = _WITH_BOTH[key]
        first, second = next(alpha, usual_alpha), next(beta, usual_beta)
        return lambda x: both(x, first, second)
    raise ValueError(f"{name} is none of the activations that a recurrent cell may have")
