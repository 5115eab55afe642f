"""Sampling as a product of one-dimensional filters: along each axis a few taps, each an index and a weight."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Taps = list[tuple[Tensor, Tensor]]
"""(indices, weights) of the taps along one axis, each in the shape of the places."""
Fold = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From whole places, which may lie outside, to indices and whether they count (1 or 0)."""


def linear_taps(place: Tensor, fold: Fold) -> Taps:
    """The two neighbours of each place, the right-hand derivative where it is whole."""
    low = place.detach().floor()
    behind = place - low
    return [_tap(low, 1 - behind, fold), _tap(low + 1, behind, fold)]


def cubic_taps(place: Tensor, fold: Fold, a: float = -0.75) -> Taps:
    """The four neighbours of each place."""
    low = place.detach().floor()
    weights = cubic_weights(place - low, a)
    return [_tap(low + (number - 1), weights[..., number], fold) for number in range(4)]


def cubic_weights(ratio: Tensor, a: float) -> Tensor:
    """Weights (…, 4) of the taps at -1, 0, 1, 2 for a place `ratio` (…) behind tap 0. Source: Keys 1981, equation 4."""
    near = torch.stack([ratio, 1 - ratio], -1)
    far = near + 1
    inner = ((a + 2) * near - (a + 3)) * near * near + 1
    outer = ((a * far - 5 * a) * far + 8 * a) * far - 4 * a
    return torch.stack([outer[..., 0], inner[..., 0], inner[..., 1], outer[..., 1]], -1)


def _tap(place: Tensor, weight: Tensor, fold: Fold) -> tuple[Tensor, Tensor]:
    index, counts = fold(place)
    return index, weight * counts


def zeros_outside(size: int) -> Fold:
    """Outside the axis all is zero."""

    def fold(place: Tensor) -> tuple[Tensor, Tensor]:
        inside = ((place >= 0) & (place < size)).to(place.dtype)
        return place.clamp(0, size - 1).to(torch.int64), inside

    return fold


def edge_outside(size: int) -> Fold:
    """Outside the axis its first and last values go on."""

    def fold(place: Tensor) -> tuple[Tensor, Tensor]:
        return place.clamp(0, size - 1).to(torch.int64), torch.ones_like(place)

    return fold


def reflected_outside(size: int, at_centres: bool) -> Fold:
    """The axis is mirrored at its first and last values (`at_centres`), or at their outer edges."""
    low, span = (0.0, size - 1.0) if at_centres else (-0.5, float(size))

    def fold(place: Tensor) -> tuple[Tensor, Tensor]:
        cycle = (place - low).remainder(2 * span) if span else torch.zeros_like(place)
        mirrored = low + torch.minimum(cycle, 2 * span - cycle)
        return mirrored.round().clamp(0, size - 1).to(torch.int64), torch.ones_like(place)

    return fold


def sample(x: Tensor, taps: Sequence[Taps]) -> Tensor:
    """Values of x (B, C, D1 … Dn) by the `taps` of each axis, indices and weights (B, K): (B, C, K)."""
    flat, sizes = x.flatten(2), x.shape[2:]
    total = torch.zeros((), dtype=x.dtype, device=x.device)
    for choice in itertools.product(*taps):
        index, weight = choice[0]
        for size, (other, factor) in zip(sizes[1:], choice[1:], strict=True):
            index, weight = index * size + other, weight * factor
        total = total + flat.gather(2, index[:, None].expand(-1, x.shape[1], -1)) * weight[:, None]
    return total
