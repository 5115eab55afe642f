"""How large the elements of a gradient are: a histogram over powers of two, of a sample of a large tensor's elements.

Every element of 100 million would cost more than their norm; of some 2000 a tensor each bin comes out to 2 % of the whole.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from gradcheck_cli.probe.statistics import dense
from gradcheck_cli.records import Spread

if TYPE_CHECKING:
    import torch

ELEMENTS = 2048
"""Of a tensor, about so many are looked at."""
FIELDS = 2048
"""Values of a float64's exponent field: 0 for zero (and what is below 2e-308), the last for NaN and infinity."""
BIAS = 1022
"""Exponent field minus this is e of 2^(e-1) ≤ |g| < 2^e."""


def spread_of(gradient: torch.Tensor) -> Spread:
    """Return the histogram of a gradient of any shape, dtype, layout and device; NaN and infinity are left out."""
    values = dense(gradient)
    unstored = gradient.numel() - values.numel()  # zeros of a sparse gradient
    if not values.numel():
        return Spread(lowest=0, counts=(), zeros=unstored)
    sample, weight = _sample(values)
    found = weight * np.bincount((sample.view(np.int64) >> 52) & (FIELDS - 1), minlength=FIELDS)
    zeros = unstored + int(found[0])
    filled = np.flatnonzero(found[1:-1]) + 1
    if not filled.size:
        return Spread(lowest=0, counts=(), zeros=zeros)
    first, last = int(filled[0]), int(filled[-1])
    return Spread(lowest=first - BIAS, counts=tuple(found[first : last + 1].tolist()), zeros=zeros)


def _sample(values: torch.Tensor) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.float64]], int]:
    """Return about `ELEMENTS` of the elements as float64, and how many each stands for."""
    stride = max(1, values.numel() // ELEMENTS)
    # A stride that shares a factor with the row's length would see some columns only.
    while stride > 1 and math.gcd(stride, values.shape[-1]) > 1:
        stride += 1
    flat = values.reshape(-1)[::stride]
    if flat.is_complex():
        flat = flat.abs()
    return flat.double().cpu().numpy(), stride
