"""Sums of squares against exact rational arithmetic: a small gradient is not read as zero, nor a large one as infinite."""
# mypy: disable-error-code="no-any-return,no-untyped-call,operator,union-attr"
# (torch types what modules return as Any, and their attributes as a tensor or a module)

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from looking import layer_of, look_at
from torch import Tensor, nn

from gradcheck_cli.probe.statistics import SquareSum, count_nonfinite, largest_magnitude, square_sum

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64]
MAGNITUDES = [1e-45, 1e-40, 1e-38, 1e-30, 1e-24, 1e-20, 1e-15, 1e-8, 1.0, 1e8, 1e15, 1e19, 1e20, 1e24, 1e30, 1e38, 3e38]


@pytest.fixture(autouse=True)
def _numpy_is_silenced_as_in_look() -> Iterator[None]:
    with np.errstate(over="ignore", invalid="ignore"), torch.sparse.check_sparse_tensor_invariants():
        yield


fast = settings(max_examples=100, deadline=None)


def exact(tensor: Tensor) -> float:
    """Σ|x|² in rational arithmetic, rounded once."""
    values = tensor.detach().resolve_conj()
    parts = torch.view_as_real(values) if values.is_complex() else values
    total = sum((Fraction(float(x)) ** 2 for x in parts.reshape(-1).double()), Fraction(0))
    return float(total)


def assert_exact(tensor: Tensor, tolerance: float = 1e-5) -> None:
    assert square_sum(tensor) == pytest.approx(exact(tensor), rel=tolerance, abs=0.0)


@pytest.mark.parametrize("magnitude", MAGNITUDES)
@pytest.mark.parametrize("size", [1, 7, 1000, 4096])
def test_one_magnitude(magnitude: float, size: int) -> None:
    assert_exact((torch.rand(size, dtype=torch.float64) * 0.5 + 0.5).mul(magnitude).float())


@pytest.mark.parametrize("small", MAGNITUDES[:9])
@pytest.mark.parametrize("large", MAGNITUDES[8:])
def test_mixed_magnitudes(small: float, large: float) -> None:
    assert_exact(torch.cat([torch.full((50,), small), torch.full((3,), large)]))
    assert_exact(torch.cat([torch.full((5000,), small), torch.zeros(500)]))


finite = st.floats(width=32, allow_nan=False, allow_infinity=False)


@fast
@given(npst.arrays(np.float32, npst.array_shapes(min_dims=0, max_dims=3), elements=finite))
def test_any_finite_float32(array: np.ndarray[Any, Any]) -> None:
    assert_exact(torch.from_numpy(array))


@fast
@given(st.lists(st.tuples(st.integers(-148, 127), st.floats(1, 1.99), st.booleans()), max_size=40))
def test_any_mixture_of_exponents(parts: list[tuple[int, float, bool]]) -> None:
    values = [math.ldexp(fraction, exponent) * (-1 if negative else 1) for exponent, fraction, negative in parts]
    assert_exact(torch.tensor(values, dtype=torch.float32))


@fast
@given(st.lists(st.floats(-1e150, 1e150).filter(lambda x: x == 0 or abs(x) > 1e-150), max_size=20))
def test_float64_within_the_range_of_a_float64_sum(values: list[float]) -> None:
    assert_exact(torch.tensor(values, dtype=torch.float64), 1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("magnitude", [1e-7, 1e-4, 1.0, 3e4])
def test_every_dtype(dtype: torch.dtype, magnitude: float) -> None:
    assert_exact(torch.randn(300, dtype=torch.float64).clamp(-2, 2).mul(magnitude).to(dtype))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.complex64])
@pytest.mark.parametrize("magnitude", [1e-40, 1e-30, 1e30, 1e38])
def test_wide_dtypes_over_their_range(dtype: torch.dtype, magnitude: float) -> None:
    assert_exact(torch.rand(300, dtype=torch.float64).add(0.5).mul(magnitude).to(dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_layouts(dtype: torch.dtype) -> None:
    base = torch.randn(6, 8, 10).to(dtype)
    for view in (
        base.transpose(0, 2),
        base[::2, 1::3],
        base.flip(1),
        base[:, :1].expand(6, 50, 10),
        base[3, 4, 5],
        base.mT,
    ):
        assert_exact(view)
    assert_exact(base.requires_grad_())
    assert_exact(base[:0])
    assert_exact(torch.zeros(5, 0, dtype=dtype))
    assert_exact(torch._neg_view(base.detach()))


def test_channels_last_and_expanded_from_a_scalar() -> None:
    assert_exact(torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last))
    assert square_sum(torch.tensor(0.5).expand(1000, 1000)) == pytest.approx(250_000.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sparse(dtype: torch.dtype) -> None:
    """Uncoalesced: the same row twice is the sum of both."""
    sparse = torch.sparse_coo_tensor(torch.tensor([[1, 1, 4]]), torch.tensor([1.0, 2.0, -1e-30], dtype=dtype), (6,))
    assert square_sum(sparse) == pytest.approx(9.0)
    only_small = torch.sparse_coo_tensor(torch.tensor([[0, 2]]), torch.tensor([3e-30, 4e-30], dtype=dtype), (6,))
    assert square_sum(only_small) == pytest.approx(25e-60, rel=1e-5)
    assert square_sum(torch.zeros(6, dtype=dtype).to_sparse()) == 0.0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_nonfinite_elements(dtype: torch.dtype, bad: float) -> None:
    tensor = torch.ones(9, dtype=dtype)
    tensor[4] = bad
    total = square_sum(tensor)
    assert math.isnan(total) if math.isnan(bad) else total == math.inf
    assert count_nonfinite(tensor) == 1
    assert not math.isfinite(largest_magnitude(tensor))


def test_nan_beside_infinity() -> None:
    assert not math.isfinite(square_sum(torch.tensor([math.nan, math.inf, 1.0])))
    assert count_nonfinite(torch.tensor([math.nan, math.inf, 1.0])) == 2


@pytest.mark.parametrize("dtype", DTYPES)
def test_counts_and_extremes(dtype: torch.dtype) -> None:
    tensor = torch.tensor([-3.0, 2.0, 0.0]).to(dtype)
    assert count_nonfinite(tensor) == 0
    assert largest_magnitude(tensor) == 3.0
    assert largest_magnitude(tensor[:0]) == 0.0
    assert count_nonfinite(torch.tensor([1, 2])) == 0


@fast
@given(st.lists(st.lists(st.floats(-(2.0**100), 2.0**100, width=32), max_size=8), min_size=1, max_size=6))
def test_square_sums_merge_like_one(chunks: list[list[float]]) -> None:
    whole, merged = SquareSum(), SquareSum()
    for chunk in chunks:
        part = SquareSum()
        part.add(square_sum(torch.tensor(chunk)), len(chunk))
        merged.merge(part)
    every = torch.tensor([x for chunk in chunks for x in chunk])
    whole.add(square_sum(every), every.numel())
    assert merged.count == whole.count
    assert merged.norm == pytest.approx(whole.norm, rel=1e-5)
    assert merged.rms == pytest.approx(whole.rms, rel=1e-5)


def test_norms_of_nothing_and_of_nan() -> None:
    assert SquareSum().norm == 0.0
    assert SquareSum().rms == 0.0
    assert math.isnan(SquareSum(math.nan, 3).norm)
    assert math.isnan(SquareSum(math.nan, 3).rms)
    assert SquareSum(math.inf, 3).norm == math.inf


@pytest.mark.filterwarnings("error")
def test_look_does_not_warn_of_overflow() -> None:
    readings = look_at(Scaled(1e30), torch.randn(5, 5), loss=lambda out, _target: out.square().sum())
    assert readings.layers


def test_the_largest_complex_double_raises_nothing() -> None:
    assert square_sum(torch.full((4,), 1.7e308, dtype=torch.complex128)) > 0.0


def test_conjugated_view() -> None:
    assert_exact(torch.randn(5, dtype=torch.complex64).conj())


# ------------------------------------------------------------------------------------------------------- end to end


class Scaled(nn.Module):
    """Linear, times a constant, Linear; the constant scales every gradient in front of it."""

    def __init__(self, *scales: float) -> None:
        super().__init__()
        self.scales = scales
        self.first = nn.Linear(5, 6)
        self.last = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        for scale in self.scales:
            y = y * scale
        return self.last(y)


@pytest.mark.parametrize("scales", [(1e-15, 1e-15), (1e-30,), (1e-20, 1e-18), (1e15, 1e15), (1e30,), (1e19, 1e17)])
def test_a_layer_behind_an_extreme_scale(scales: tuple[float, ...]) -> None:
    factor = math.prod(scales)
    x = torch.randn(5, 5)  # an odd number: ±1 does not cancel to zero in a bias
    torch.manual_seed(3)
    plain = look_at(Scaled(), x)
    torch.manual_seed(3)
    readings = look_at(Scaled(*scales), x)
    one, other = layer_of(plain, "first"), layer_of(readings, "first")
    assert one.transmission is not None
    assert other.transmission == pytest.approx(one.transmission * factor, rel=1e-4)
    for before, after in zip(one.parameters, other.parameters, strict=True):
        assert before.signal is not None
        assert after.signal == pytest.approx(before.signal * factor, rel=1e-4)
        assert after.signal_nonfinite == 0


def test_loss_gradients_of_an_extreme_scale() -> None:
    x = torch.randn(4, 5)
    for factor in (1e-30, 1e30):
        net = Scaled()
        readings = look_at(net, x, target=factor, loss=lambda out, target: out.mean() * target)
        (bias,) = (p for p in layer_of(readings, "last").parameters if p.name == "last.bias")
        assert bias.loss_gradient == pytest.approx(factor / math.sqrt(3), rel=1e-4)
        assert bias.loss_gradient_nonfinite == 0


def test_weights_of_an_extreme_scale() -> None:
    net = nn.Sequential(nn.Linear(5, 6), nn.Linear(6, 3))
    with torch.no_grad():
        net[0].weight.fill_(1e-30)
        net[1].weight.fill_(1e30)
    readings = look_at(net, torch.randn(4, 5))
    small, large = (layer_of(readings, name).parameters[0] for name in ("0", "1"))
    assert small.norm == pytest.approx(1e-30 * math.sqrt(30), rel=1e-5)
    assert large.norm == pytest.approx(1e30 * math.sqrt(18), rel=1e-5)
    assert (small.nonfinite, large.nonfinite) == (0, 0)
    assert small.largest == pytest.approx(1e-30)
