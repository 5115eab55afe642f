"""Windows for signals, and the bands of the mel scale: constants made from a few numbers."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gradcheck_cli.onnx_ops.element_types import torch_dtype
from gradcheck_cli.onnx_ops.registry import operator

_MOST = 1 << 26
"""Sizes are values in the file: more elements than this are refused."""


@operator("HannWindow", since=17)
def hann_window(size: Tensor, *, output_datatype: int = 1, periodic: int = 1) -> Tensor:
    """½ − ½ cos(2πk/n), k < size; n is the size if `periodic`, else one less."""
    return _window(size, output_datatype, periodic, 1 / 2, -1 / 2)


@operator("HammingWindow", since=17)
def hamming_window(size: Tensor, *, output_datatype: int = 1, periodic: int = 1) -> Tensor:
    """25/46 − 21/46 cos(2πk/n), k < size; n is the size if `periodic`, else one less."""
    return _window(size, output_datatype, periodic, 25 / 46, -21 / 46)


@operator("BlackmanWindow", since=17)
def blackman_window(size: Tensor, *, output_datatype: int = 1, periodic: int = 1) -> Tensor:
    """.42 − .5 cos(2πk/n) + .08 cos(4πk/n), k < size; n is the size if `periodic`, else one less."""
    return _window(size, output_datatype, periodic, 0.42, -0.5, 0.08)


def _window(size: Tensor, element_type: int, periodic: int, *coefficients: float) -> Tensor:
    """Σ coefficients[j] · cos(2πjk/n)."""
    count = int(size.item())
    if not 0 <= count <= _MOST:
        raise ValueError(f"a window of {count} values")
    turns = torch.arange(count, dtype=torch.float64) / max(count if periodic else count - 1, 1)
    window = torch.zeros(count, dtype=torch.float64)
    for order, coefficient in enumerate(coefficients):
        window = window + coefficient * torch.cos(2 * math.pi * order * turns)
    return window.to(size.device, torch_dtype(element_type))


@operator("MelWeightMatrix", since=17)
def mel_weight_matrix(
    num_mel_bins: Tensor,
    dft_length: Tensor,
    sample_rate: Tensor,
    lower_edge_hertz: Tensor,
    upper_edge_hertz: Tensor,
    *,
    output_datatype: int = 1,
) -> Tensor:
    """(⌊dft_length/2⌋ + 1, num_mel_bins): triangles of height 1, evenly spaced where mel(f) = 2595 log₁₀(1 + f/700)."""
    bins, length, rate = (int(value.item()) for value in (num_mel_bins, dft_length, sample_rate))
    rows = length // 2 + 1
    if bins < 1 or length < 1 or rate < 1 or rows * bins > _MOST:
        raise ValueError(f"{bins} mel bins of a transform of length {length} at {rate} samples a second")
    low, high = (2595 * math.log10(1 + float(edge.item()) / 700) for edge in (lower_edge_hertz, upper_edge_hertz))
    mel = low + torch.arange(bins + 2, dtype=torch.float64) * (high - low) / (bins + 2)
    edges = torch.floor((length + 1) * 700 * (10 ** (mel / 2595) - 1) / rate)
    if edges.min() < 0 or edges.max() >= rows:
        raise ValueError("the edges of the mel bins lie outside of the spectrum")
    return _triangles(edges, rows).to(num_mel_bins.device, torch_dtype(output_datatype))


def _triangles(edges: Tensor, rows: int) -> Tensor:
    """(rows, bins): column i rises from edge i to edge i + 1 and falls to edge i + 2."""
    at = torch.arange(rows, dtype=torch.float64).unsqueeze(1)
    left, middle, right = edges[:-2], edges[1:-1], edges[2:]
    rising = torch.where(middle > left, (at - left) / (middle - left).clamp(min=1), (at == middle).double())
    falling = (right - at) / (right - middle).clamp(min=1)
    within = ((at >= left) & (at <= middle)) * rising
    return torch.where((at >= middle) & (at < right), falling, within)
