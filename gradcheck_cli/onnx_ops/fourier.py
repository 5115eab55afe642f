"""Discrete Fourier transforms; a complex number is a last dimension of two."""

from __future__ import annotations

import torch
from torch import Tensor

from gradcheck_cli.onnx_ops.element_types import promoted, widened
from gradcheck_cli.onnx_ops.registry import operator

_LONGEST = 1 << 24
"""A transform's length is a value in the file: more than this is no signal, and would fill the memory."""


@operator("DFT", since=20)
def dft(
    x: Tensor, dft_length: Tensor | None = None, axis: Tensor | None = None, *, inverse: int = 0, onesided: int = 0
) -> Tensor:
    """(…, n, …, 1 or 2) → (…, m, …, 2): y_k = Σ x_j e^(−2πi·jk/m); back and over m if `inverse`.

    `onesided` gives the first ⌊m/2⌋ + 1 values only, or takes them if `inverse`, and then gives real ones (…, m, …, 1).
    """
    along = -2 if axis is None else int(axis.item())
    return _transform(x, _length(dft_length), along, bool(inverse), bool(onesided))


@operator("DFT", since=17)
def dft_17(
    x: Tensor, dft_length: Tensor | None = None, *, axis: int = 1, inverse: int = 0, onesided: int = 0
) -> Tensor:
    """The same, with the axis as an attribute."""
    return _transform(x, _length(dft_length), axis, bool(inverse), bool(onesided))


def _length(value: Tensor | None) -> int | None:
    length = None if value is None else int(value.item())
    if length is not None and not 0 < length <= _LONGEST:
        raise ValueError(f"a Fourier transform of length {length}")
    return length


def _transform(x: Tensor, length: int | None, axis: int, inverse: bool, onesided: bool) -> Tensor:
    rank = x.dim()
    along = axis + rank if axis < 0 else axis
    if not 0 <= along < rank - 1:
        raise ValueError(f"axis {axis} is none of the {rank - 1} signal axes")
    signal = _signal(x)
    if onesided and signal.is_complex() != inverse:
        raise ValueError("one-sided, a transform takes real numbers and its inverse complex ones")
    if inverse and onesided:
        values: Tensor = torch.fft.irfft(signal, length, along)
        return values.unsqueeze(-1).to(x.dtype)
    if inverse:
        return _pairs(torch.fft.ifft(signal, length, along), x)
    return _pairs((torch.fft.rfft if onesided else torch.fft.fft)(signal, length, along), x)


def _signal(x: Tensor) -> Tensor:
    """(…, 1) → real (…); (…, 2) → complex (…)."""
    x = widened(x)
    if x.shape[-1] == 1:
        return x.squeeze(-1)
    if x.shape[-1] != 2:
        raise ValueError("the last dimension is neither 1, for real, nor 2, for complex numbers")
    return torch.complex(x[..., 0], x[..., 1])


def _pairs(values: Tensor, like: Tensor) -> Tensor:
    return torch.view_as_real(values.resolve_conj()).to(like.dtype)


@operator("STFT", since=17)
def stft(
    signal: Tensor,
    frame_step: Tensor,
    window: Tensor | None = None,
    frame_length: Tensor | None = None,
    *,
    onesided: int = 1,
) -> Tensor:
    """(B, n, 1 or 2) → (B, frames, frequencies, 2): the transforms of frames of the signal, weighted by the window."""
    if signal.dim() == 2:  # so write torch's exporters, and ONNX Runtime reads it
        signal = signal.unsqueeze(-1)
    if signal.dim() != 3:
        raise ValueError("the signal has not three dimensions: samples, length, and 1 or 2")
    step, length = int(frame_step.item()), _frame_length(signal, window, frame_length)
    if step < 1 or not 1 <= length <= signal.shape[1]:
        raise ValueError(f"frames of length {length}, {step} apart, of a signal of length {signal.shape[1]}")
    frames = signal.unfold(1, length, step).transpose(2, 3)
    if window is not None:
        frames, window = promoted(frames, window)
        frames = frames * window.unsqueeze(-1)
    if onesided and signal.shape[-1] == 2:  # its other half is no mirror image, and left out all the same
        return _transform(frames, None, 2, False, False).narrow(2, 0, length // 2 + 1)
    return _transform(frames, None, 2, False, bool(onesided))


def _frame_length(signal: Tensor, window: Tensor | None, frame_length: Tensor | None) -> int:
    length = None if frame_length is None else int(frame_length.item())
    if window is None:
        return int(signal.shape[1]) if length is None else length
    if window.dim() != 1 or length not in (None, len(window)):
        raise ValueError(f"the window has the shape {tuple(window.shape)}, and a frame the length {length}")
    return len(window)
