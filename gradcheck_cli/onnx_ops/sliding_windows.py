"""Where sliding windows lie: the padding and the output sizes that convolutions and pools share.

``out = floor((in + begin + end - span) / stride) + 1`` with ``span = (kernel - 1)·dilation + 1``; with ``ceil_mode`` rounded up,
but no window begins beyond the input and its padding in front. Source: the schemas of Conv and AveragePool.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Windows:
    """Windows over n spatial axes: one entry an axis in each field."""

    sizes: tuple[int, ...]
    """Of the input."""
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begins: tuple[int, ...]
    """Padding in front, may be negative (then it crops)."""
    ends: tuple[int, ...]
    outputs: tuple[int, ...]
    """How many windows."""

    @property
    def spans(self) -> tuple[int, ...]:
        """The extent of a window."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    @property
    def symmetric(self) -> bool:
        """Whether torch's own padding says the same."""
        return self.begins == self.ends and min(self.begins, default=0) >= 0

    @property
    def reaches(self) -> tuple[int, ...]:
        """The padding behind with which the last window ends the input: crops where negative."""
        fields = zip(self.outputs, self.strides, self.spans, self.sizes, self.begins, strict=True)
        return tuple((o - 1) * s + span - size - begin for o, s, span, size, begin in fields)


def windows(
    sizes: Sequence[int],
    kernel: Sequence[int],
    *,
    strides: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    auto_pad: str = "NOTSET",
    ceil_mode: bool = False,
) -> Windows:
    """The windows of `kernel` over an input of `sizes`; `pads` are all begins, then all ends.

    Raises:
        ValueError: the attributes do not fit the input.
    """
    n = len(sizes)
    strides, dilations = strides or [1] * n, dilations or [1] * n
    pads = list(pads or [0] * (2 * n)) if auto_pad in ("NOTSET", "") else [0] * (2 * n)
    given = {"kernel_shape": (kernel, n), "strides": (strides, n), "dilations": (dilations, n), "pads": (pads, 2 * n)}
    for name, (values, wanted) in given.items():
        if len(values) != wanted:
            raise ValueError(f"{name} has {len(values)} values, but the input's {n} spatial axes need {wanted}")
    if min([*kernel, *strides, *dilations], default=1) < 1:
        raise ValueError("kernel_shape, strides and dilations must be positive")
    found = Windows(tuple(sizes), tuple(kernel), tuple(strides), tuple(dilations), tuple(pads[:n]), tuple(pads[n:]), ())
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        begins, ends = _same(found, upper=auto_pad == "SAME_UPPER")
        found = Windows(found.sizes, found.kernel, found.strides, found.dilations, begins, ends, ())
        ceil_mode = False  # as many windows as ceil(in / stride), whatever it says
    elif auto_pad not in ("NOTSET", "VALID", ""):
        raise ValueError(f"auto_pad {auto_pad!r} is none of NOTSET, SAME_UPPER, SAME_LOWER and VALID")
    outputs = tuple(_count(found, axis, ceil_mode) for axis in range(n))
    return Windows(found.sizes, found.kernel, found.strides, found.dilations, found.begins, found.ends, outputs)


def _same(given: Windows, *, upper: bool) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The padding that gives ceil(in / stride) windows; the odd one goes behind if `upper`."""
    fields = zip(given.sizes, given.strides, given.spans, strict=True)
    totals = [max(0, (-(-size // s) - 1) * s + span - size) for size, s, span in fields]
    less, more = tuple(t // 2 for t in totals), tuple(t - t // 2 for t in totals)
    return (less, more) if upper else (more, less)


def _count(given: Windows, axis: int, ceil_mode: bool) -> int:
    size, begin, stride = given.sizes[axis], given.begins[axis], given.strides[axis]
    room = size + begin + given.ends[axis] - given.spans[axis]
    count = (-(-room // stride) if ceil_mode else room // stride) + 1
    if ceil_mode:
        count = min(count, -(-(size + begin) // stride))
    if count < 0 or (count == 0 and size > 0):
        raise ValueError(f"a window of {given.spans[axis]} does not fit into {size} values with their padding")
    return count


def pad(x: Tensor, begins: Sequence[int], ends: Sequence[int], value: float = 0.0) -> Tensor:
    """Pad, or crop where negative, the last axes of `x`; `x` itself where there is nothing to do."""
    flat = [amount for pair in zip(reversed(begins), reversed(ends), strict=True) for amount in pair]
    return F.pad(x, flat, value=value) if any(flat) else x


def by_windows(x: Tensor, axis: int, found: Windows, number: int) -> Tensor:
    """View of a padded `x` with an axis more, the last: the values of each window along `axis`, spatial axis `number`."""
    return x.unfold(axis, found.spans[number], found.strides[number])[..., :: found.dilations[number]]


def spatial_sizes(x: Tensor) -> tuple[int, ...]:
    """The sizes behind batch and channels. Raises ValueError if there are none."""
    if x.dim() < 3:
        raise ValueError(f"the input has {x.dim()} axes, but batch, channels and at least one spatial axis are needed")
    return tuple(x.shape[2:])
