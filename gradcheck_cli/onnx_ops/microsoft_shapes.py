"""com.microsoft: operators that only rearrange, or make numbers; most are the standard's under an older name."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gradcheck_cli.onnx_ops.registry import MICROSOFT, TABLE, Call, operator


def _standard(call: Call, name: str, version: int, *inputs: Any, **attributes: Any) -> Any:
    """Run the standard's operator."""
    entry = TABLE.find("", name, version)
    if entry is None:
        raise ValueError(f"the operator {name} of the standard is not supported")
    own = (Call(version, call.outputs, call.mode),) if entry.takes_call else ()
    return entry.run(*own, *inputs, **attributes)


@operator("Pad", domain=MICROSOFT)
def pad_microsoft(
    call: Call, data: Tensor, pads: Tensor, value: Tensor | None = None, *, mode: str = "constant"
) -> Any:
    """The standard's Pad; pads may be of the shape (1, 2·rank)."""
    return _standard(call, "Pad", 13, data, pads.flatten(), None if value is None else value.reshape(()), mode=mode)


@operator("Range", domain=MICROSOFT)
def range_microsoft(call: Call, start: Tensor, limit: Tensor, delta: Tensor | None = None) -> Any:
    """start, start + delta, … below limit; delta is 1 if it is left out."""
    step = torch.ones((), dtype=start.dtype) if delta is None else delta.reshape(())
    return _standard(call, "Range", 11, start.reshape(()), limit.reshape(()), step)


@operator("Trilu", domain=MICROSOFT)
def trilu_microsoft(call: Call, x: Tensor, k: Tensor | None = None, *, upper: int = 1) -> Any:
    """The upper or lower triangle of (…, N, M)."""
    return _standard(call, "Trilu", 14, x, None if k is None else k.reshape(()), upper=upper)


@operator("GatherND", domain=MICROSOFT)
def gather_nd_microsoft(call: Call, data: Tensor, indices: Tensor) -> Any:
    """The standard's GatherND."""
    return _standard(call, "GatherND", 12, data, indices.long())


@operator("ExpandDims", domain=MICROSOFT)
def expand_dims(x: Tensor, axis: Tensor) -> Tensor:
    """x with an axis of size 1 more."""
    return x.unsqueeze(int(axis))


@operator("UnfoldTensor", domain=MICROSOFT)
def unfold_tensor(x: Tensor, *, dim: int = -1, size: int, step: int = 1) -> Tensor:
    """All slices of `size` along `dim`, in a new last axis."""
    return x.unfold(dim, size, step)


@operator("TorchEmbedding", domain=MICROSOFT)
def torch_embedding(
    weight: Tensor, indices: Tensor, padding_idx: Tensor | None = None, scale_grad_by_freq: Tensor | None = None
) -> Tensor:
    """Rows of a table (N, M)."""
    padding = None if padding_idx is None or int(padding_idx) < 0 else int(padding_idx)
    scaled = scale_grad_by_freq is not None and bool(scale_grad_by_freq)
    return F.embedding(indices.long(), weight, padding, scale_grad_by_freq=scaled)


@operator("Unique", domain=MICROSOFT)
def unique_microsoft(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The different values of x (n) in the order in which they come, for each of x its index in them, and their counts."""
    _, inverse, counts = torch.unique(x.detach(), return_inverse=True, return_counts=True)
    places = torch.arange(x.shape[0], device=x.device)
    first = places.new_full(counts.shape, x.shape[0]).scatter_reduce(0, inverse, places, "amin")
    order = first.argsort()
    return x[first[order]], order.argsort()[inverse], counts[order]
