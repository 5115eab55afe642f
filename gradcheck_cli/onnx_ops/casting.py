"""Cast and CastLike: between all element types, float8, the types of 2 and 4 bits and strings included.

Between floats the gradient goes through, for the types that are too coarse to hold one as if nothing had been rounded. A cast
to integers has none.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from gradcheck_cli.onnx_ops.element_types import torch_dtype
from gradcheck_cli.onnx_ops.registry import operator

_STRING, _FLOAT4 = 8, 23
_WHOLE = {21: (4, False), 22: (4, True), 25: (2, False), 26: (2, True)}
"""UINT4, INT4, UINT2, INT2 → bits, and whether they have a sign; held in uint8 and int8."""
_NAMES = {
    **{"FLOAT": 1, "UINT8": 2, "INT8": 3, "UINT16": 4, "INT16": 5, "INT32": 6, "INT64": 7, "STRING": 8, "BOOL": 9},
    **{"FLOAT16": 10, "DOUBLE": 11, "UINT32": 12, "UINT64": 13, "COMPLEX64": 14, "COMPLEX128": 15},
}
"""Element types as Cast-1 names them."""
_FLOAT4_VALUES = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])
_FLOAT4_BOUNDS = torch.tensor([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0])
"""Half-way between two values: every other one rounds up, so that the last bit becomes even."""
_BEYOND_E4M3FN = 464.0
"""What is larger would round to the value after the largest, 448."""
_FLOAT8 = frozenset({torch.float8_e4m3fn, torch.float8_e4m3fnuz, torch.float8_e5m2, torch.float8_e5m2fnuz})


@operator("Cast")
def cast_by_name(x: Any, *, to: str) -> Any:
    """The same values in the type of this name."""
    if to not in _NAMES:
        raise ValueError(f"there is no element type {to!r}")
    return converted(x, _NAMES[to])


@operator("Cast", since=6)
def cast(x: Any, *, to: int, saturate: int = 1, round_mode: str = "up") -> Any:
    """The same values in another type; what is too large for a float8 becomes its largest value with `saturate`."""
    return converted(x, to, saturate=bool(saturate), round_mode=round_mode)


@operator("CastLike", since=15)
def cast_like(x: Any, like: Any, *, saturate: int = 1, round_mode: str = "up") -> Any:
    """The same values in the type of `like`."""
    if isinstance(like, np.ndarray):
        return converted(x, _STRING)
    return to_dtype(x, like.dtype, saturate=bool(saturate), round_mode=round_mode)


def converted(x: Any, element: int, *, saturate: bool = True, round_mode: str = "up") -> Any:
    """A tensor, or an array of strings, as the ONNX element type of this number. Raises ValueError for an unknown one."""
    if element == _STRING:
        return x if isinstance(x, np.ndarray) else _as_strings(x)
    if element in _WHOLE:
        bits, signed = _WHOLE[element]
        low = to_dtype(x, torch.int64) & ((1 << bits) - 1)
        sign = 1 << (bits - 1)
        return ((low ^ sign) - sign).to(torch.int8) if signed else low.to(torch.uint8)
    if element == _FLOAT4:
        return _as_float4(to_dtype(x, torch.float32))
    return to_dtype(x, torch_dtype(element), saturate=saturate, round_mode=round_mode)


def to_dtype(x: Any, dtype: torch.dtype, *, saturate: bool = True, round_mode: str = "up") -> Tensor:
    """A tensor, or an array of strings, as a torch dtype."""
    if isinstance(x, np.ndarray):
        x = _from_strings(x, dtype)
    found: Tensor
    if dtype in _FLOAT8 and x.dtype != dtype:
        found = _passing_on(x, _as_float8(x.detach(), dtype, saturate))
    elif dtype is torch.float8_e8m0fnu and x.dtype != dtype:
        found = _passing_on(x, _as_scale(x.detach(), saturate, round_mode))
    else:
        found = x.to(dtype)
    return found


def _passing_on(x: Tensor, rounded: Tensor) -> Tensor:
    """`rounded`, with the gradient of `x` where one is asked for: in x's dtype, since a float8 would lose it."""
    if not (x.requires_grad and torch.is_grad_enabled()):
        return rounded
    nothing = x - x.detach()
    return rounded.to(x.dtype) + torch.where(nothing == 0, nothing, 0)  # inf − inf is no 0


def _as_float8(x: Tensor, dtype: torch.dtype, saturate: bool) -> Tensor:
    x = x if x.is_floating_point() else x.float()
    if saturate:
        most = torch.finfo(dtype).max
        return x.float().clamp(-most, most).to(dtype)
    if dtype is torch.float8_e4m3fn:  # torch saturates this one, which has no infinity
        x = x.float().masked_fill(x.abs() > _BEYOND_E4M3FN, torch.nan)
    return x.to(dtype)


def _as_scale(x: Tensor, saturate: bool, round_mode: str) -> Tensor:
    """Float8e8m0: the exponent alone, biased by 127; 255 is no number. Source: `onnx.numpy_helper.to_float8e8m0`."""
    if round_mode not in ("up", "down", "nearest"):
        raise ValueError(f"the rounding {round_mode!r} is none of up, down and nearest")
    bits = x.float().contiguous().view(torch.int32)
    exponent, fraction = (bits >> 23) & 0xFF, bits & 0x7FFFFF
    up = {"up": fraction > 0, "down": fraction < 0, "nearest": fraction > 0x400000}[round_mode]
    if round_mode == "nearest":
        up |= (fraction == 0x400000) & (exponent > 0)
    up &= exponent < (0xFE if saturate else 0xFF)
    return (exponent + up).to(torch.uint8).view(torch.float8_e8m0fnu)


def _as_float4(x: Tensor) -> Tensor:
    size = x.detach().abs().nan_to_num(0.0)
    bounds = _FLOAT4_BOUNDS.to(x.device)
    down, up = bounds[0::2].contiguous(), bounds[1::2].contiguous()
    place = torch.bucketize(size, down) + torch.bucketize(size, up, right=True)
    return _passing_on(x, _FLOAT4_VALUES.to(x.device)[place].copysign(x.detach()))


def _as_strings(x: Tensor) -> np.ndarray[Any, Any]:
    """As ONNX Runtime writes them: floats with 8 significant digits, bools as 0 and 1."""
    values = x.detach().cpu()
    values = values.double() if x.is_floating_point() else values.long() if x.dtype is torch.bool else values
    text = [_float_text(value) if isinstance(value, float) else str(value) for value in values.reshape(-1).tolist()]
    found = np.empty(tuple(x.shape), dtype=object)
    found.reshape(-1)[:] = text
    return found


def _float_text(value: float) -> str:
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "INF" if value > 0 else "-INF"
    return f"{value:.8g}"


def _from_strings(x: np.ndarray[Any, Any], dtype: torch.dtype) -> Tensor:
    floating = dtype.is_floating_point
    numbers = [float(text) if floating else _whole(str(text)) for text in x.ravel()]
    kind = torch.float64 if floating else torch.int64
    return torch.tensor(numbers, dtype=kind).reshape(x.shape)


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        return int(float(text))
