"""`RuntimeCase`s of operators on quantised numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from runtime_cases import Array, RuntimeCase, normal, of, whole


def _case(
    operator: str, inputs: list[Array | None], attributes: dict[str, Any] | None = None, **more: Any
) -> RuntimeCase:
    options = {"gradient": False, "like_rounding": True, **more}
    return RuntimeCase(operator, inputs, attributes or {}, **options)


def byte(*shape: int) -> Array:
    """Random values of 8 bits."""
    return whole(0, 256, *shape, dtype=np.uint8)


def signed(*shape: int) -> Array:
    """The same with a sign."""
    return whole(-128, 128, *shape, dtype=np.int8)


def step(scale: float, zero: int, dtype: Any = np.uint8) -> list[Array]:
    """A scale and a zero point."""
    return [of(scale), of(zero, dtype)]


A, B, Y = step(0.05, 120), step(0.02, 100), step(0.1, 128)


def _reduced(
    x: torch.Tensor, scale: torch.Tensor, zero: torch.Tensor, again: torch.Tensor, zero_2: torch.Tensor
) -> torch.Tensor:
    mean = ((x.float() - zero.float()) * scale).mean(1, keepdim=True)
    return (torch.round(mean / again) + zero_2.float()).clamp(0, 255).to(torch.uint8)


CASES = [
    _case("QuantizeLinear", [normal(2, 3), *A]),
    _case("QuantizeLinear", [normal(2, 3), of([0.1, 0.2, 0.3]), of([1, 2, 3], np.uint8)], {"axis": 1}),
    _case("DequantizeLinear", [byte(2, 3), *A], gradient=True, like_rounding=False),
    _case("DequantizeLinear", [signed(2, 3), of([0.1, 0.2]), of([1, 2], np.int8)], {"axis": 0}, gradient=True,
          like_rounding=False),
    _case("QLinearAdd", [byte(2, 3), *A, byte(2, 3), *B, *Y]),
    _case("QLinearMul", [byte(2, 3), *A, byte(3), *B, *Y]),
    _case("QLinearAdd", [signed(2, 3), *step(0.05, 3, np.int8), signed(1, 3), *step(0.1, -4, np.int8), *step(0.2, 0, np.int8)]),
    _case("QLinearLeakyRelu", [byte(2, 3), *A, *Y], {"alpha": 0.2}),
    _case("QLinearSigmoid", [byte(2, 3), *A, *step(1 / 256, 0)]),
    _case("QLinearSoftmax", [byte(2, 5), *A, *step(1 / 256, 0)], {"axis": -1, "opset": 13}),
    _case("QLinearGlobalAveragePool", [byte(1, 2, 3, 3), *A, *Y]),
    _case("QLinearGlobalAveragePool", [byte(1, 3, 3, 2), *A, *Y], {"channels_last": 1}),
    _case("QLinearAveragePool", [byte(1, 2, 4, 4), *A, *Y], {"kernel_shape": [2, 2], "pads": [1, 0, 0, 1]}),
    _case("QLinearAveragePool", [byte(1, 4, 4, 2), *A, *Y], {"kernel_shape": [2, 2], "channels_last": 1, "count_include_pad": 1}),
    _case("QLinearReduceMean", [byte(2, 5), *A, *Y], {"axes": [1], "keepdims": 1}, oracle=_reduced),
    _case("QLinearConcat", [*Y, byte(2, 3), *A, byte(2, 2), *B], {"axis": 1}),
    _case("QLinearWhere", [of([True, False, True], np.bool_), byte(2, 3), *A, byte(2, 3), *B, *Y]),
    _case("QLinearConv", [byte(1, 2, 5, 5), *A, byte(3, 2, 3, 3), *B, *step(0.3, 128)], {"pads": [1, 1, 1, 1]}),
    _case("QLinearConv", [byte(1, 5, 5, 2), *A, byte(3, 2, 3, 3), *B, *step(0.3, 128)], {"channels_last": 1}),
    _case("QGemm", [byte(2, 3), *A, byte(3, 4), *B, whole(-50, 50, 4, dtype=np.int32), *step(0.2, 128)], {"alpha": 0.5}),
    _case("QGemm", [byte(2, 3), *A, signed(4, 3), of([0.1, 0.2, 0.3, 0.4]), of([0, 0, 0, 0], np.int8), None, *step(0.5, 128)],
          {"transB": 1}),
    _case("MatMulIntegerToFloat", [byte(2, 3), byte(3, 4), of(0.1), of(0.2), of(120, np.uint8), of(100, np.uint8), normal(4)],
          gradient=True, like_rounding=False),
    _case("DynamicQuantizeMatMul", [normal(2, 3), byte(3, 4), of(0.1), of(100, np.uint8), normal(4)],
          like_rounding=False, atol=0.02),
    _case("MatMulNBits", [normal(2, 32), byte(4, 2, 8), normal(8)], {"K": 32, "N": 4, "bits": 4, "block_size": 16},
          gradient=True, like_rounding=False),
    _case("MatMulNBits", [normal(2, 32), byte(4, 2, 8), normal(8), byte(4)], {"K": 32, "N": 4, "bits": 4, "block_size": 16},
          gradient=True, like_rounding=False),
    _case("NhwcMaxPool", [byte(1, 4, 4, 2)], {"kernel_shape": [2, 2], "strides": [2, 2]}),
    _case("QAttention",
          [byte(2, 3, 8), signed(8, 24), normal(24), of(0.02), of(0.01), None, of(120, np.uint8), of(0, np.int8)],
          {"num_heads": 2}, gradient=True, like_rounding=False, atol=1e-4),
    _case("QAttention",
          [byte(2, 3, 8), byte(8, 24), normal(24), of(0.02), of(0.01), of([2, 3], np.int32), of(120, np.uint8), of(128, np.uint8)],
          {"num_heads": 2, "unidirectional": 1}, gradient=True, like_rounding=False, atol=1e-4),
    _case("QEmbedLayerNormalization",
          [whole(0, 5, 2, 3, dtype=np.int32), whole(0, 2, 2, 3, dtype=np.int32), byte(5, 4), byte(6, 4), byte(2, 4), byte(4),
           byte(4), of([[1, 1, 0], [1, 1, 1]], np.int32), *[of(s) for s in (0.01, 0.02, 0.03, 0.04, 0.05)],
           *[of(z, np.uint8) for z in (120, 130, 128, 100, 90)]],
          {"epsilon": 1e-6}, outputs=["y", "m"], gradient=True, like_rounding=False),
    _case("GatherBlockQuantized", [byte(6, 16), whole(0, 6, 2, 3), normal(6, 2)],
          {"bits": 4, "block_size": 16, "gather_axis": 0, "quantize_axis": 1}, gradient=True, like_rounding=False),
    _case("GatherBlockQuantized", [byte(6, 16), whole(0, 6, 2), normal(6, 2), byte(6, 1)],
          {"bits": 4, "block_size": 16, "gather_axis": 0, "quantize_axis": 1}, gradient=True, like_rounding=False),
    _case("GatherBlockQuantized", [byte(6, 32), whole(0, 6, 2), normal(6, 2)],
          {"bits": 8, "block_size": 16, "gather_axis": 0, "quantize_axis": 1}, gradient=True, like_rounding=False),
    *(
        _case("MatMulBnb4", [normal(2, 32), byte(3 * 16), np.abs(normal(6))],
              {"K": 32, "N": 3, "block_size": 16, "quant_type": kind}, gradient=True, like_rounding=False, atol=1e-4)
        for kind in (0, 1)
    ),
]  # fmt: skip
