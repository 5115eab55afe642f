"""Random operators: shapes, types, moments, and that a seed repeats its draw."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from runtime_oracle import Array, by_us, model_of

SHAPE = [100, 50]
LIKE = np.zeros(SHAPE, np.float32)


def drawn(operator: str, arrays: list[Array], opset: int = 17, **attributes: Any) -> torch.Tensor:
    found: torch.Tensor = by_us(model_of(operator, arrays, ["y"], opset=opset, **attributes), arrays)[0]
    return found


@pytest.mark.parametrize("opset", [1, 22])
@pytest.mark.parametrize("like", [False, True])
def test_normal_values_have_their_moments(opset: int, like: bool) -> None:
    torch.manual_seed(0)
    operator, arrays, more = ("RandomNormalLike", [LIKE], {}) if like else ("RandomNormal", [], {"shape": SHAPE})
    x = drawn(operator, arrays, opset, mean=2.0, scale=3.0, **more)
    assert list(x.shape) == SHAPE
    assert x.dtype == torch.float32
    assert abs(float(x.mean()) - 2) < 0.2
    assert abs(float(x.std()) - 3) < 0.1


@pytest.mark.parametrize("opset", [1, 22])
@pytest.mark.parametrize("like", [False, True])
def test_uniform_values_lie_between_their_limits(opset: int, like: bool) -> None:
    torch.manual_seed(0)
    operator, arrays, more = ("RandomUniformLike", [LIKE], {}) if like else ("RandomUniform", [], {"shape": SHAPE})
    x = drawn(operator, arrays, opset, low=-1.0, high=3.0, **more)
    assert list(x.shape) == SHAPE
    assert -1 <= float(x.min()) < -0.9
    assert 2.9 < float(x.max()) <= 3
    assert abs(float(x.mean()) - 1) < 0.1


@pytest.mark.parametrize("dtype", [10, 11, 16])
def test_the_type_is_the_one_asked_for(dtype: int) -> None:
    expected = {10: torch.float16, 11: torch.float64, 16: torch.bfloat16}[dtype]
    assert drawn("RandomNormal", [], shape=SHAPE, dtype=dtype).dtype == expected
    assert drawn("RandomUniformLike", [LIKE], dtype=dtype).dtype == expected


@pytest.mark.parametrize("operator", ["RandomNormalLike", "RandomUniformLike", "Bernoulli"])
def test_a_seed_repeats_its_draw(operator: str) -> None:
    x = LIKE + np.float32(0.5)
    assert torch.equal(drawn(operator, [x], seed=7.0), drawn(operator, [x], seed=7.0))
    assert not torch.equal(drawn(operator, [x], seed=7.0), drawn(operator, [x], seed=8.0))
    assert not torch.equal(drawn(operator, [x]), drawn(operator, [x]))


@pytest.mark.parametrize("opset", [15, 22])
def test_bernoulli_draws_by_the_probability(opset: int) -> None:
    torch.manual_seed(0)
    x = np.array([[0.0] * 4000, [0.25] * 4000, [1.0] * 4000], np.float32)
    found = drawn("Bernoulli", [x], opset, dtype=11)
    assert found.dtype == torch.float64
    assert found.mean(1).tolist() == pytest.approx([0, 0.25, 1], abs=0.03)
    assert set(found.flatten().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("opset", [7, 22])
def test_multinomial_draws_by_the_logarithms(opset: int) -> None:
    torch.manual_seed(0)
    logits = np.log(np.array([[0.1, 0.2, 0.7], [0.5, 0.5, 1e-9]], np.float32)) + np.float32(3)
    found = drawn("Multinomial", [logits], opset, sample_size=5000, dtype=7)
    assert found.shape == (2, 5000)
    assert found.dtype == torch.int64
    assert (found[0].bincount(minlength=3) / 5000).tolist() == pytest.approx([0.1, 0.2, 0.7], abs=0.03)
    assert (found[1].bincount(minlength=3) / 5000).tolist() == pytest.approx([0.5, 0.5, 0], abs=0.03)
