"""Products of matrices, sums over named indices, determinants."""

from __future__ import annotations

import torch
from torch import Tensor

from gradcheck_cli.onnx_ops.element_types import promoted, widened
from gradcheck_cli.onnx_ops.registry import operator
from gradcheck_cli.onnx_ops.unsigned import by_int64


@operator("MatMul")
@by_int64
def mat_mul(a: Tensor, b: Tensor) -> Tensor:
    """a · b of the last two dimensions; those before them broadcast."""
    a, b = promoted(a, b)
    return torch.matmul(a, b)


@operator("Gemm", since=7)
@by_int64
def gemm(
    a: Tensor,
    b: Tensor,
    c: Tensor | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,  # noqa: N803
    transB: int = 0,  # noqa: N803
) -> Tensor:
    """alpha·(a · b) + beta·c, a and b transposed first if asked for; c broadcasts to the product."""
    if a.dim() != 2 or b.dim() != 2:
        raise ValueError("an operand of Gemm is no matrix")
    a, b = promoted(a, b) if c is None else promoted(a, b, c)[:2]
    a, b = (a.t() if transA else a), (b.t() if transB else b)
    if not a.is_floating_point():
        return _integer_gemm(a, b, c, alpha, beta)
    if c is not None:
        return torch.addmm(c.to(a.dtype), a, b, beta=beta, alpha=alpha)
    product = torch.mm(a, b)
    return product if alpha == 1 else alpha * product


def _integer_gemm(a: Tensor, b: Tensor, c: Tensor | None, alpha: float, beta: float) -> Tensor:
    product = torch.mm(a, b)
    if alpha != 1:
        product = (alpha * product.double()).to(a.dtype)
    if c is None:
        return product
    return product + (c if beta == 1 else (beta * c.double()).to(a.dtype))


@operator("Gemm")
def gemm_1(
    a: Tensor,
    b: Tensor,
    c: Tensor,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    broadcast: int = 0,
    transA: int = 0,  # noqa: N803
    transB: int = 0,  # noqa: N803
) -> Tensor:
    """The same; c has the product's shape unless `broadcast`."""
    product = gemm(a, b, c, alpha=alpha, beta=beta, transA=transA, transB=transB)
    if not broadcast and c.shape != product.shape:
        raise ValueError("the third operand of Gemm has not the product's shape, and broadcast is not set")
    return product


@operator("Einsum", since=12)
@by_int64
def einsum(*operands: Tensor, equation: str) -> Tensor:
    """The sum of products that `equation` names the indices of, such as ``bij,bjk->bik``."""
    return torch.einsum(equation, *promoted(*operands))


@operator("Det", since=11)
def det(x: Tensor) -> Tensor:
    """The determinant of the last two dimensions."""
    determinant: Tensor = torch.linalg.det(widened(x))
    return determinant.to(x.dtype)
