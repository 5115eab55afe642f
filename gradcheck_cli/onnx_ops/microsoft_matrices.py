"""com.microsoft: matrix products with what is fused to them, inverses, complex products, Fourier transforms, distances."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from gradcheck_cli.onnx_ops.element_types import widened
from gradcheck_cli.onnx_ops.microsoft_activations import fused_activation
from gradcheck_cli.onnx_ops.registry import MICROSOFT, operator


@operator("TransposeMatMul", domain=MICROSOFT)
@operator("FusedMatMul", domain=MICROSOFT)
def fused_matmul(
    a: Tensor,
    b: Tensor,
    *,
    alpha: float = 1.0,
    transA: int = 0,  # noqa: N803
    transB: int = 0,  # noqa: N803
    transBatchA: int = 0,  # noqa: N803
    transBatchB: int = 0,  # noqa: N803
) -> Tensor:
    """alpha · A B, each transposed first if asked for."""
    y = torch.matmul(_transposed(a, transA, transBatchA), _transposed(b, transB, transBatchB))
    return y if alpha == 1.0 else y * alpha


def _transposed(x: Tensor, last: int, batch: int) -> Tensor:
    """`batch`: the first axis goes behind the batch axes; `last`: the last two change places."""
    if x.dim() < 2:
        return x
    x = x.movedim(0, -2) if batch and x.dim() > 2 else x
    return x.transpose(-2, -1) if last else x


@operator("FusedMatMulActivation", domain=MICROSOFT)
def fused_matmul_activation(
    a: Tensor,
    b: Tensor,
    *,
    activation: str,
    activation_alpha: float | None = None,
    activation_axis: int | None = None,
    activation_beta: float | None = None,
    activation_gamma: float | None = None,
    alpha: float = 1.0,
    transA: int = 0,  # noqa: N803
    transB: int = 0,  # noqa: N803
    transBatchA: int = 0,  # noqa: N803
    transBatchB: int = 0,  # noqa: N803
) -> Tensor:
    """As `fused_matmul`, then an activation."""
    y = fused_matmul(a, b, alpha=alpha, transA=transA, transB=transB, transBatchA=transBatchA, transBatchB=transBatchB)
    if activation == "Softmax":
        return torch.softmax(y, -1 if activation_axis is None else activation_axis)
    return fused_activation(y, activation, activation_alpha, activation_beta, activation_gamma)


@operator("FusedGemm", domain=MICROSOFT)
def fused_gemm(
    a: Tensor,
    b: Tensor,
    c: Tensor | None = None,
    *,
    activation: str = "",
    activation_alpha: float | None = None,
    activation_beta: float | None = None,
    activation_gamma: float | None = None,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,  # noqa: N803
    transB: int = 0,  # noqa: N803
) -> Tensor:
    """activation(alpha·A B + beta·C); A (M, K), B (K, N), each transposed first if asked for, C broadcast to (M, N)."""
    a, b = (a.t() if transA else a), (b.t() if transB else b)
    y = torch.mm(a, b) * alpha if c is None else torch.addmm(c, a, b, beta=beta, alpha=alpha)
    return fused_activation(y, activation, activation_alpha, activation_beta, activation_gamma)


@operator("GemmFastGelu", domain=MICROSOFT)
def gemm_fast_gelu(x: Tensor, w: Tensor, bias: Tensor | None = None) -> Tensor:
    """GELU(X W + bias) by tanh."""
    y = torch.matmul(x, w)
    return F.gelu(y if bias is None else y + bias, approximate="tanh")


@operator("Inverse", domain=MICROSOFT)
def inverse(x: Tensor) -> Tensor:
    """The inverses of (…, N, N)."""
    found: Tensor = torch.linalg.inv(widened(x))
    return found.to(x.dtype)


@operator("ComplexMul", domain=MICROSOFT)
def complex_mul(a: Tensor, b: Tensor) -> Tensor:
    """a·b of complex numbers, real and imaginary part along the last axis."""
    (ar, ai), (br, bi) = a.unbind(-1), b.unbind(-1)
    return torch.stack([ar * br - ai * bi, ar * bi + ai * br], -1)


@operator("ComplexMulConj", domain=MICROSOFT)
def complex_mul_conj(a: Tensor, b: Tensor) -> Tensor:
    """a·b̄ of complex numbers, real and imaginary part along the last axis."""
    (ar, ai), (br, bi) = a.unbind(-1), b.unbind(-1)
    return torch.stack([ar * br + ai * bi, ai * br - ar * bi], -1)


@operator("Rfft", domain=MICROSOFT)
def rfft(x: Tensor, *, normalized: int = 0, onesided: int = 1, signal_ndim: int = 1) -> Tensor:
    """Fourier transform over the last `signal_ndim` axes, halved: (…, n) → (…, n/2 + 1, 2)."""
    _refuse_other_transforms(normalized, onesided, signal_ndim)
    found = torch.fft.rfftn(widened(x), dim=tuple(range(-signal_ndim, 0)))
    return torch.view_as_real(found).to(x.dtype)


@operator("Irfft", domain=MICROSOFT)
def irfft(x: Tensor, *, normalized: int = 0, onesided: int = 1, signal_ndim: int) -> Tensor:
    """Inverse of Rfft: (…, n/2 + 1, 2) → (…, n)."""
    _refuse_other_transforms(normalized, onesided, signal_ndim)
    halves = torch.view_as_complex(widened(x).contiguous())
    found: Tensor = torch.fft.irfftn(halves, dim=tuple(range(-signal_ndim, 0)))
    return found.to(x.dtype)


def _refuse_other_transforms(normalized: int, onesided: int, signal_ndim: int) -> None:
    if normalized or not onesided or not 1 <= signal_ndim <= 3:
        raise ValueError("only transforms of one to three axes, one-sided and not normalised, are defined")


@operator("CDist", domain=MICROSOFT)
def cdist(a: Tensor, b: Tensor, *, metric: str = "sqeuclidean") -> Tensor:
    """Distances of the rows of A (M, N) and of B (K, N): (M, K)."""
    if metric == "euclidean":
        return torch.cdist(widened(a), widened(b)).to(a.dtype)
    if metric == "sqeuclidean":
        return (a.unsqueeze(1) - b).square().sum(-1)
    raise ValueError(f"the metric {metric} is not supported, only euclidean and sqeuclidean")
