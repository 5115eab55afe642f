"""Mergeable statistics of tensors: sums, counts and extremes, so that batches (and processes) add up.

The trap that this page exists for: the float32 square of a gradient near 1e-24 is 0 and of one near 1e+20 is infinite. A
fast dot product is taken first and, where its result is out of the range in which it can be trusted, the sum is repeated
in float64 after scaling by the largest magnitude. Nothing is then read as 0 that is not 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]

TRUSTED = (1e-30, 1e30)
"""Mean squares of float32 between these come out of a float32 dot product to full precision."""

CHUNK = 1 << 20
"""Elements that are converted to float64, or scaled, at a time: a copy of a whole embedding table would be large."""

SERIAL = 8192
"""Elements of float64 of which numpy takes the dot product in one thread."""


@dataclass(slots=True)
class SquareSum:
    """Σ x² over some elements, in float64: 1e-30 squared is still 1e-60. Merge with `add`."""

    total: float = 0.0
    count: int = 0
    """Elements seen, also where a tensor was None (counted as zeros)."""

    def add(self, total: float, count: int) -> None:
        """Count in another sum of squares over `count` elements."""
        self.total += total
        self.count += count

    def merge(self, other: SquareSum) -> None:
        """Add what another batch, or process, has seen."""
        self.add(other.total, other.count)

    @property
    def norm(self) -> float:
        """L2 norm, NaN or infinite where an element was."""
        return math.sqrt(self.total) if self.total >= 0 else math.nan

    @property
    def rms(self) -> float:
        """Root mean square; 0 over nothing."""
        return (
            math.sqrt(self.total / self.count) if self.count and self.total >= 0 else (math.nan if self.count else 0.0)
        )


def square_sum(tensor: torch.Tensor) -> float:
    """Return Σ|x|² of a tensor of any dtype, shape, layout and device as a float; NaN or infinite only if an element is."""
    array = _fast_view(tensor)
    if array is not None:
        total = _dot(array)  # may overflow; `look` silences numpy's warning once, for all
        if _trusted(total, array.size) or array.dtype == np.float64:
            return total
        rescaled = _rescaled_square_sum(array)
        if rescaled is not None:
            return rescaled
    return _careful_square_sum(tensor)


def _dot(array: Floats) -> float:
    """Σ x². Beyond 10,000 numbers of float64 numpy's BLAS starts threads that wait for each other longer than it takes."""
    if array.dtype != np.float64 or array.size <= SERIAL:
        return float(np.dot(array, array))
    return sum(float(np.dot(p, p)) for p in (array[begin : begin + SERIAL] for begin in range(0, array.size, SERIAL)))


def _trusted(total: float, size: int) -> bool:
    return size == 0 or TRUSTED[0] * size < total < TRUSTED[1] * size


def _rescaled_square_sum(array: Floats) -> float | None:
    """The sum after scaling by a power of two, which is exact; None where no single scale brings it into range."""
    with np.errstate(over="ignore", invalid="ignore"):
        for power in (64, 126, -64):
            pieces = (array[begin : begin + CHUNK] for begin in range(0, array.size, CHUNK))
            scaled = (piece * np.float32(2.0**power) for piece in pieces)
            total = sum(float(np.dot(piece, piece)) for piece in scaled)
            if _trusted(total, array.size):
                return total * 2.0 ** (-2 * power)
        return 0.0 if total == 0.0 and not array.any() else None


def _fast_view(tensor: torch.Tensor) -> Floats | None:
    """Give the elements as one flat array without a copy where possible; None for what numpy cannot dot."""
    try:
        array = tensor.numpy()
    except (RuntimeError, TypeError):  # on a device, sparse, bfloat16, a subclass, or it still requires grad
        return None
    return array.ravel("K") if array.dtype.char in "fd" else None


def _careful_square_sum(tensor: torch.Tensor) -> float:
    import torch

    values = dense(tensor)
    if values.is_complex():
        values = torch.view_as_real(values)
    return sum(_piece_square_sum(piece) for piece in torch.split(values.reshape(-1), CHUNK) if piece.numel())


def _piece_square_sum(piece: torch.Tensor) -> float:
    values = piece.double()
    largest = float(values.abs().max())
    if largest == 0.0 or not math.isfinite(largest):
        return largest * largest
    scale = 2.0 ** min(math.frexp(largest)[1], 1023)
    scaled = float((values / scale).square().sum())
    return scaled * scale * scale


def dense(tensor: torch.Tensor) -> torch.Tensor:
    """Detach, and keep only the stored values of a sparse tensor (untouched rows are zeros)."""
    tensor = tensor.detach().resolve_conj()
    if tensor.is_sparse:
        return tensor.coalesce().values()
    if tensor.layout is not tensor.new_empty(0).layout and hasattr(tensor, "to_dense"):
        return tensor.to_dense()
    return tensor


def largest_magnitude(tensor: torch.Tensor) -> float:
    """max |x|; 0 for an empty tensor, NaN if any element is."""
    values = dense(tensor)
    if values.numel() == 0:
        return 0.0
    low, high = (
        (float(bound) for bound in values.aminmax()) if not values.is_complex() else (0.0, float(values.abs().max()))
    )
    return max(-low, high) if not math.isnan(low + high) or math.isinf(low + high) else math.nan


def count_nonfinite(tensor: torch.Tensor) -> int:
    """How many elements are NaN or infinite."""
    values = dense(tensor)
    if not (values.is_floating_point() or values.is_complex()):
        return 0
    return int(values.numel() - values.isfinite().sum())


def count_spoilt(tensor: torch.Tensor) -> int:
    """How many values are NaN or +∞. A −∞ is what masks put in front of a softmax, on purpose."""
    values = dense(tensor)
    if not values.is_floating_point():
        return count_nonfinite(values)
    return int(values.isnan().sum() + values.isposinf().sum())
