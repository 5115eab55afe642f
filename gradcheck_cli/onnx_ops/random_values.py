"""Random tensors: from torch's global generator, or from one of the node's own where it names a seed."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import torch
from torch import Tensor

from gradcheck_cli.onnx_ops.element_types import torch_dtype
from gradcheck_cli.onnx_ops.registry import operator

_FLOAT, _INT32 = 1, 6


@operator("RandomNormal")
def random_normal(
    *, shape: Sequence[int], dtype: int = _FLOAT, mean: float = 0.0, scale: float = 1.0, seed: float | None = None
) -> Tensor:
    """mean + scale · N(0, 1)."""
    return _normal(shape, torch_dtype(dtype), mean, scale, seed)


@operator("RandomNormalLike")
def random_normal_like(
    x: Tensor, *, dtype: int | None = None, mean: float = 0.0, scale: float = 1.0, seed: float | None = None
) -> Tensor:
    """mean + scale · N(0, 1) in the shape of `x`."""
    return _normal(x.shape, _kind(x, dtype), mean, scale, seed, x.device)


@operator("RandomUniform")
def random_uniform(
    *, shape: Sequence[int], dtype: int = _FLOAT, low: float = 0.0, high: float = 1.0, seed: float | None = None
) -> Tensor:
    """Evenly between `low` and `high`."""
    return _uniform(shape, torch_dtype(dtype), low, high, seed)


@operator("RandomUniformLike")
def random_uniform_like(
    x: Tensor, *, dtype: int | None = None, low: float = 0.0, high: float = 1.0, seed: float | None = None
) -> Tensor:
    """Evenly between `low` and `high` in the shape of `x`."""
    return _uniform(x.shape, _kind(x, dtype), low, high, seed, x.device)


@operator("Bernoulli", since=15)
def bernoulli(x: Tensor, *, dtype: int | None = None, seed: float | None = None) -> Tensor:
    """1 with the probability `x`, else 0; no gradient goes through the draw."""
    drawn = torch.bernoulli(x.detach(), generator=_generator(seed, x.device))
    return drawn.to(_kind(x, dtype))


@operator("Multinomial", since=7)
def multinomial(x: Tensor, *, dtype: int = _INT32, sample_size: int = 1, seed: float | None = None) -> Tensor:
    """(B, classes) of logarithms of probabilities, up to a constant → (B, sample_size) of classes drawn."""
    chances = x.detach().float().softmax(-1)
    drawn = torch.multinomial(chances, sample_size, replacement=True, generator=_generator(seed, x.device))
    return drawn.to(torch_dtype(dtype))


_Device = torch.device("cpu")


def _normal(
    shape: Sequence[int],
    dtype: torch.dtype,
    mean: float,
    scale: float,
    seed: float | None,
    device: torch.device = _Device,
) -> Tensor:
    drawn = torch.randn(tuple(shape), generator=_generator(seed, device), device=device)
    return (drawn * scale + mean).to(dtype)


def _uniform(
    shape: Sequence[int],
    dtype: torch.dtype,
    low: float,
    high: float,
    seed: float | None,
    device: torch.device = _Device,
) -> Tensor:
    drawn = torch.rand(tuple(shape), generator=_generator(seed, device), device=device)
    return (drawn * (high - low) + low).to(dtype)


def _kind(x: Tensor, dtype: int | None) -> torch.dtype:
    return torch_dtype(dtype) if dtype is not None else x.dtype


def _generator(seed: float | None, device: torch.device) -> torch.Generator | None:
    """One that begins at `seed`; None, the global one, without."""
    if seed is None:
        return None
    (bits,) = struct.unpack("<I", struct.pack("<f", seed))
    return torch.Generator(device).manual_seed(bits)
