"""Pad: with a constant, or with the tensor's own values: mirrored, at the edge, or from the other end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gradcheck_cli.onnx_ops.axes import axes_of, integers
from gradcheck_cli.onnx_ops.carriers import CARRIER, moves
from gradcheck_cli.onnx_ops.registry import operator

_NATIVE = {"reflect": "reflect", "edge": "replicate", "wrap": "circular"}
"""The standard's modes → torch's."""
Pads = list[tuple[int, int]]
"""For each axis, how many positions are added before and after; negative: taken away."""


@operator("Pad")
def pad_first(x: Tensor, *, paddings: Sequence[int], mode: str = "constant", value: float = 0.0) -> Tensor:
    """All begins, then all ends."""
    return padded(x, _pairs(x, paddings), mode, value)


@operator("Pad", since=2)
def pad_by_attribute(x: Tensor, *, pads: Sequence[int], mode: str = "constant", value: float = 0.0) -> Tensor:
    """All begins, then all ends."""
    return padded(x, _pairs(x, pads), mode, value)


@operator("Pad", since=11)
def pad(
    x: Tensor, pads: Tensor, constant_value: Tensor | None = None, axes: Tensor | None = None, *, mode: str = "constant"
) -> Tensor:
    """All begins, then all ends, of all axes or of those named."""
    pairs = _pairs(x, integers(pads), integers(axes) if axes is not None else None)
    if constant_value is None or not constant_value.numel():
        return padded(x, pairs, mode, 0)
    if constant_value.requires_grad and mode == "constant":
        inside = padded(torch.ones_like(x, dtype=torch.bool), pairs, mode, 0)
        return torch.where(inside, padded(x, pairs, mode, 0), constant_value.reshape(()))
    return padded(x, pairs, mode, constant_value.item())


def padded(x: Tensor, pads: Pads, mode: str, value: Any) -> Tensor:
    """`x` with `pads` along its axes. Raises ValueError for an unknown mode, and where there is nothing to repeat."""
    if mode == "constant":
        if x.dtype in CARRIER:  # bits can be moved, and only 0 is sure to have the bits of 0
            return _filled(x, pads, value)
        return F.pad(x, _flat(pads), value=value)
    if mode not in _NATIVE:
        raise ValueError(f"the mode {mode!r} of a Pad is none of constant, {', '.join(_NATIVE)}")
    if _is_native(x, pads, mode):
        return F.pad(x, _flat(pads[2:]), mode=_NATIVE[mode])
    for axis, (before, after) in enumerate(pads):
        if before or after:
            x = _repeated(x, axis, before, after, mode)
    return x


def _pairs(x: Tensor, pads: Sequence[int], axes: Sequence[int] | None = None) -> Pads:
    places = axes_of(axes, x.dim()) if axes is not None else list(range(x.dim()))
    if len(pads) != 2 * len(places):
        raise ValueError(f"{len(pads)} pads are given for {len(places)} axes, which have two each")
    pairs = [(0, 0)] * x.dim()
    for i, axis in enumerate(places):
        pairs[axis] = (pads[i], pads[i + len(places)])
    return pairs


def _flat(pads: Pads) -> list[int]:
    """As torch wants them: the last axis first."""
    return [extent for pair in reversed(pads) for extent in pair]


def _filled(x: Tensor, pads: Pads, value: Any) -> Tensor:
    inside = F.pad(torch.ones_like(x, dtype=torch.bool), _flat(pads))
    moved: Tensor = moves(lambda bits: F.pad(bits, _flat(pads)))(x)
    if not value:
        return moved
    fill = torch.tensor(value).to(x.dtype).view(CARRIER[x.dtype])
    return torch.where(inside, moved.view(CARRIER[x.dtype]), fill).view(x.dtype)


def _is_native(x: Tensor, pads: Pads, mode: str) -> bool:
    """Whether torch has one operation for it: 1 to 3 axes behind batch and channels, each padded by less than itself."""
    if not 3 <= x.dim() <= 5 or not x.is_floating_point() or x.dtype in CARRIER or not x.numel():
        return False
    room = {"reflect": -1, "wrap": 0, "edge": 1 << 62}[mode]
    inner = zip(pads[2:], x.shape[2:], strict=True)
    return pads[:2] == [(0, 0)] * 2 and all(0 <= n <= extent + room for pair, extent in inner for n in pair)


@moves
def _repeated(x: Tensor, axis: int, before: int, after: int, mode: str) -> Tensor:
    """One axis: first what is taken away, then what is added."""
    kept = x.shape[axis] + min(before, 0) + min(after, 0)
    if kept < 0 or (kept == 0 and max(before, after) > 0):
        raise ValueError(f"axis {axis} of size {x.shape[axis]} cannot be padded by {before} and {after} in mode {mode}")
    x = x.narrow(axis, max(-before, 0), kept)
    places = torch.arange(-max(before, 0), kept + max(after, 0), device=x.device)
    if mode == "edge":
        places = places.clamp(0, kept - 1)
    elif mode == "wrap":
        places = places % max(kept, 1)
    else:
        period = max(2 * (kept - 1), 1)
        places = places % period
        places = torch.minimum(places, (period - places) % period) if kept > 1 else places * 0
    return x.index_select(axis, places)
