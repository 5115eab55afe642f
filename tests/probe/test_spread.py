"""Histograms of gradients against numpy's, with the bins written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import gradcheck_cli as gradcheck
from gradcheck_cli.probe.spread import ELEMENTS, spread_of
from gradcheck_cli.readings import together
from gradcheck_cli.records import Spread


def bins(spread: Spread) -> dict[int, int]:
    """Return e → elements with 2^(e-1) ≤ |g| < 2^e."""
    return {spread.lowest + place: count for place, count in enumerate(spread.counts) if count}


def oracle(values: np.ndarray) -> dict[int, int]:
    edges = 2.0 ** np.arange(-200, 201)
    counts, _ = np.histogram(np.abs(values.astype(np.float64)), edges)
    return {-199 + int(place): int(counts[place]) for place in np.flatnonzero(counts)}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_every_element_of_a_small_gradient(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    gradient = (torch.randn(30, 40) * torch.logspace(-3, 3, 40)).to(dtype)
    gradient[0, :5] = 0.0
    spread = spread_of(gradient)
    assert bins(spread) == oracle(gradient.double().numpy())
    assert spread.zeros == 5
    assert spread.counts[0]
    assert spread.counts[-1]


def test_powers_of_two_open_their_bins() -> None:
    assert bins(spread_of(torch.tensor([1.0, 1.999, 2.0, -0.5, 3e-45]))) == {1: 2, 2: 1, 0: 1, -147: 1}


def test_nan_and_infinity_are_left_out() -> None:
    spread = spread_of(torch.tensor([1.0, torch.nan, torch.inf, -torch.inf, 0.0]))
    assert spread == Spread(lowest=1, counts=(1,), zeros=1)


def test_nothing_but_zeros_and_nothing_at_all() -> None:
    assert spread_of(torch.zeros(3)) == Spread(lowest=0, counts=(), zeros=3)
    assert spread_of(torch.zeros(0)) == Spread(lowest=0, counts=(), zeros=0)


def test_rows_that_a_sparse_gradient_does_not_store_are_zeros() -> None:
    gradient = torch.sparse_coo_tensor(torch.tensor([[1, 3]]), torch.full((2, 4), 0.5), (10, 4), check_invariants=True)
    assert spread_of(gradient) == Spread(lowest=0, counts=(8,), zeros=32)


def test_a_complex_gradient_by_its_magnitude() -> None:
    assert spread_of(torch.tensor([3.0 + 4.0j, 0.0j])) == Spread(lowest=3, counts=(1,), zeros=1)


@pytest.mark.parametrize("shape", [(1024, 1024), (4096, 100), (2_000_000,)])
def test_a_large_gradient_by_a_sample_of_all_its_columns(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(1)
    gradient = torch.randn(shape, generator=generator)
    gradient[..., : shape[-1] // 2] *= 2.0**-20  # half of the columns
    found, truth = bins(spread_of(gradient)), oracle(gradient.numpy())
    total = gradient.numel()
    assert sum(found.values()) == pytest.approx(total, rel=0.01)
    for place, count in truth.items():
        share = count / total
        noise = 5 * (share * (1 - share) / ELEMENTS) ** 0.5 + 0.005
        assert found.get(place, 0) / total == pytest.approx(share, abs=noise)


def test_together_adds_bin_by_bin() -> None:
    one, other = Spread(lowest=-3, counts=(1, 2), zeros=1), Spread(lowest=-1, counts=(5,), zeros=2)
    assert together([one, other]) == Spread(lowest=-3, counts=(1, 2, 5), zeros=3)
    assert together([one, Spread(lowest=0, counts=(), zeros=4)]) == Spread(lowest=-3, counts=(1, 2), zeros=5)
    assert together([]) is None


@pytest.mark.parametrize("loss", ["mse", "none"])
def test_report_has_the_gradients_of_every_layer(loss: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
    x, y = torch.randn(8, 4), torch.randn(8, 3)
    diagnosis = gradcheck.diagnose(model, data=(x, y) if loss == "mse" else x, loss=loss, rehearse=0)
    assert diagnosis.gradients is not None
    assert diagnosis.gradients.of == ("loss" if loss == "mse" else "outputs")
    assert list(diagnosis.gradients.layers) == ["0", "2"]
    if loss == "mse":
        found = torch.autograd.grad(nn.functional.mse_loss(model(x), y), list(model.parameters()))
        expected = oracle(torch.cat([found[2].flatten(), found[3].flatten()]).numpy())
        assert bins(diagnosis.gradients.layers["2"]) == expected
    total = diagnosis.gradients.layers["0"]
    assert sum(total.counts) + total.zeros == 4 * 6 + 6
