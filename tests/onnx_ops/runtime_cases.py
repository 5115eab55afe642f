"""Operators that the backend node tests do not have, or not with floats: each on small random inputs.

ONNX Runtime is the oracle; where its CPU has no such operator, a formula in torch or numpy is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

MICROSOFT = "com.microsoft"
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class RuntimeCase:
    """One node and its inputs."""

    operator: str
    inputs: Sequence[Array | None]
    attributes: dict[str, Any] = field(default_factory=dict)
    outputs: Sequence[str] = ("y",)
    domain: str = MICROSOFT
    opset: int = 1
    oracle: Callable[..., Any] | None = None
    """The outputs for the inputs as tensors; None: ONNX Runtime's."""
    gradient: bool = True
    """False: it rounds, or jumps, so that its gradient is not that of finite differences."""
    rtol: float = 1e-3
    atol: float = 1e-5
    like_rounding: bool = False
    """Results of 8 bits may differ by one step, where a value lies half-way between two."""

    @property
    def name(self) -> str:
        """For a test's id."""
        said = "-".join(f"{key}_{value}" for key, value in self.attributes.items() if isinstance(value, (int, str)))
        return f"{self.operator}-{len(self.inputs)}-{said}"[:80]


_rng = np.random.default_rng(0)


def normal(*shape: int) -> Array:
    """Standard normal values."""
    return _rng.standard_normal(shape).astype(np.float32)


def whole(low: int, high: int, *shape: int, dtype: Any = np.int64) -> Array:
    """Random whole numbers, `high` not among them."""
    return _rng.integers(low, high, shape).astype(dtype)


def of(value: Any, dtype: Any = np.float32) -> Array:
    """An array of one number or of a list."""
    return np.array(value, dtype)
