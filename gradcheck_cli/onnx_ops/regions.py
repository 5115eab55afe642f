"""Pooling over regions of interest: RoiAlign, MaxRoiPool. X (B, C, H, W); R regions; outputs (R, C, PH, PW)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from gradcheck_cli.onnx_ops.registry import Call, operator

_MOST_POINTS = 4096
"""Sample points along one side of an output cell: more than this is a broken region, not a picture."""


@operator("RoiAlign", since=10)
def roi_align(
    call: Call,
    x: Tensor,
    rois: Tensor,
    batch_indices: Tensor,
    *,
    coordinate_transformation_mode: str = "",
    mode: str = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> Tensor:
    """Mean (or maximum) of bilinear samples on a grid in each cell of each region (x1, y1, x2, y2).

    The maximum is over the four weighted neighbours of all samples, as the standard's reference has it.
    """
    half_pixel = (coordinate_transformation_mode or ("half_pixel" if call.opset >= 16 else "")) == "half_pixel"
    if mode not in ("avg", "max"):
        raise ValueError(f"mode {mode!r} is neither avg nor max")
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    corners = rois.to(wide.dtype) * spatial_scale - (0.5 if half_pixel else 0.0)
    rows = _samples(corners[:, 1], corners[:, 3], output_height, x.shape[2], sampling_ratio, half_pixel)
    columns = _samples(corners[:, 0], corners[:, 2], output_width, x.shape[3], sampling_ratio, half_pixel)
    index, weight, live = _crossed(rows, columns, x.shape[3])
    index = index + (batch_indices.to(torch.int64) * (x.shape[2] * x.shape[3]))[:, None, None, None]
    table = wide.permute(0, 2, 3, 1).reshape(-1, x.shape[1])
    bags = index.shape[:3]
    if mode == "avg":
        counts = (rows[3][:, None] * columns[3][:, None]).clamp(min=1).to(wide)
        share = (weight * live / counts[:, :, None, None]).reshape(-1, weight.shape[3])
        y = F.embedding_bag(index.reshape(share.shape), table, mode="sum", per_sample_weights=share)
    else:
        values = table[index.reshape(-1, index.shape[3])] * weight.reshape(-1, weight.shape[3], 1)
        dead = ~live.expand_as(weight).reshape(-1, weight.shape[3], 1)
        y = (
            values.masked_fill(dead, -torch.inf).amax(1)
            if values.shape[1]
            else values.new_zeros(values.shape[0], x.shape[1])
        )
        y = y.masked_fill(dead.all(1), 0)
    return y.reshape(*bags, x.shape[1]).permute(0, 3, 1, 2).to(x.dtype)


def _samples(
    start: Tensor, end: Tensor, cells: int, size: int, ratio: int, half_pixel: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Along one axis: two neighbours (R, cells, G, 2), their weights, which of the G points exist (R, G), and how many (R).

    Raises:
        ValueError: a region asks for an absurd number of points.
    """
    length = end - start if half_pixel else (end - start).clamp(min=1.0)
    cell = length / cells
    counts = torch.full_like(start, ratio) if ratio > 0 else cell.detach().ceil().clamp(min=0)
    most = (
        int(counts.max())
        if len(counts) and bool(counts.isfinite().all())
        else (0 if not len(counts) else _MOST_POINTS + 1)
    )
    if most > _MOST_POINTS:
        raise ValueError(f"a region spans more than {_MOST_POINTS} samples in one of its cells")
    grid = torch.arange(most, device=start.device)
    steps = (grid + 0.5) / counts[:, None].clamp(min=1)
    place = (
        start[:, None, None]
        + (torch.arange(cells, device=start.device)[:, None] + steps[:, None]) * cell[:, None, None]
    )
    inside = (place >= -1.0) & (place <= size)
    place = place.clamp(0, size - 1)
    low = place.detach().floor().clamp(0, size - 1)
    behind = place - low
    weights = torch.stack([1 - behind, behind], -1) * inside[..., None]
    low = low.to(torch.int64)
    index = torch.stack([low, (low + 1).clamp(max=size - 1)], -1)
    return index, weights, grid < counts[:, None], counts


def _crossed(rows: tuple[Tensor, ...], columns: tuple[Tensor, ...], width: int) -> tuple[Tensor, Tensor, Tensor]:
    """All neighbours of all points of each cell: index, weight, and whether it exists, (R, PH, PW, G·G·4)."""
    regions, heights, widths = rows[0].shape[0], rows[0].shape[1], columns[0].shape[1]

    def crossed(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        return one[:, :, None, :, None, :, None], other[:, None, :, None, :, None, :]

    down, across = crossed(rows[0], columns[0])
    index = (down * width + across).reshape(regions, heights, widths, -1)
    vertical, horizontal = crossed(rows[1], columns[1])
    weight = (vertical * horizontal).reshape(regions, heights, widths, -1)
    exists = rows[2][:, :, None] & columns[2][:, None]
    live = exists[..., None].expand(*exists.shape, 4).reshape(regions, 1, 1, -1)
    return index, weight, live


@operator("MaxRoiPool")
def max_roi_pool(x: Tensor, rois: Tensor, *, pooled_shape: Sequence[int], spatial_scale: float = 1.0) -> Tensor:
    """Maximum over each whole-pixel cell of each region (image, x1, y1, x2, y2); 0 where a cell is empty."""
    images = rois[:, 0].to(torch.int64)
    corners = rois[:, 1:].detach().float() * spatial_scale
    corners = (corners.abs() + 0.5).floor() * corners.sign()  # C's round: halves away from zero
    rows, in_row = _pixels(corners[:, 1], corners[:, 3], pooled_shape[0], x.shape[2])
    columns, in_column = _pixels(corners[:, 0], corners[:, 2], pooled_shape[1], x.shape[3])
    inside = (in_row[:, :, None, :, None] & in_column[:, None, :, None, :]).flatten(3)
    places = (rows[:, :, None, :, None] * x.shape[3] + columns[:, None, :, None, :]).flatten(3)
    table = x.flatten(2).transpose(1, 2)
    values = table[images[:, None, None, None], places]  # (R, PH, PW, pixels, C)
    if not values.shape[3]:
        return x.new_zeros(len(rois), x.shape[1], *pooled_shape)
    found = values.masked_fill(~inside[..., None], -torch.inf).max(3).values
    found = found.masked_fill(~inside.any(3)[..., None], 0)
    return found.permute(0, 3, 1, 2)


def _pixels(first: Tensor, last: Tensor, cells: int, size: int) -> tuple[Tensor, Tensor]:
    """Along one axis: the pixels of each cell (R, cells, most), and which of these belong to it."""
    cell = (last - first + 1).clamp(min=1) / cells
    numbers = torch.arange(cells, device=first.device)
    begin = ((numbers * cell[:, None]).floor() + first[:, None]).clamp(0, size)
    end = (((numbers + 1) * cell[:, None]).ceil() + first[:, None]).clamp(0, size)
    most = int((end - begin).max().clamp(min=0)) if len(first) else 0
    pixels = begin[..., None] + torch.arange(most, device=first.device)
    return pixels.clamp(max=size - 1).to(torch.int64), pixels < end[..., None]
