"""Linear models and support vector machines of ``ai.onnx.ml`` against ONNX Runtime and finite differences."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from runtime_oracle import assert_same
from torch import Tensor

from gradcheck_cli.onnx_ops.ml_linear import linear_classifier, linear_regressor
from gradcheck_cli.onnx_ops.ml_scores import transformed
from gradcheck_cli.onnx_ops.ml_svm import svm_classifier, svm_regressor

ML: dict[str, Any] = {"domain": "ai.onnx.ml", "opset": 1}
TRANSFORMS = ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"]
KERNELS = ["LINEAR", "POLY", "RBF", "SIGMOID"]
LABELS: list[dict[str, Any]] = [{"classlabels_ints": [4, 7, 9, 2]}, {"classlabels_strings": ["a", "b", "c", "d"]}]


def probabilities(rows: int, features: int) -> np.ndarray:
    """Small positive values: with small positive weights the scores are probabilities, where PROBIT is defined."""
    return (np.random.default_rng(rows).random((rows, features)) / features).astype(np.float32)


def labels(kind: dict[str, Any], count: int) -> dict[str, Any]:
    return {name: values[:count] for name, values in kind.items()}


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("targets", [1, 2, 3])
def test_linear_regressor_is_onnx_runtimes(transform: str, targets: int) -> None:
    rng = np.random.default_rng(targets)
    weights = {"coefficients": rng.random(3 * targets).tolist(), "intercepts": (rng.random(targets) / 10).tolist()}
    assert_same("LinearRegressor", [probabilities(5, 3)], targets=targets, post_transform=transform, **weights, **ML)


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("rows", [1, 2, 4])
def test_linear_classifier_is_onnx_runtimes(transform: str, kind: dict[str, Any], rows: int) -> None:
    if rows == 1 and transform == "PROBIT":
        pytest.skip("ONNX Runtime leaves half of the output as it finds it in memory")
    rng = np.random.default_rng(rows)
    weights = {"coefficients": rng.random(3 * rows).tolist(), "intercepts": (rng.random(rows) / 10).tolist()}
    given = labels(kind, max(rows, 2))
    x = probabilities(6, 3) - (0 if transform == "PROBIT" else 0.3)
    options: dict[str, Any] = {"post_transform": transform, **weights, **given, **ML}
    assert_same("LinearClassifier", [x.astype(np.float32)], ["l", "s"], atol=1e-4, **options)


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.int64])
def test_other_types_are_computed_in_floats(dtype: type) -> None:
    x: np.ndarray = np.arange(6).reshape(2, 3).astype(dtype)
    found = linear_regressor(torch.from_numpy(x), coefficients=[1.0, 2.0, 3.0], intercepts=[0.5])
    assert found.flatten().tolist() == [8.5, 26.5]
    assert found.dtype == (torch.float64 if dtype is np.float64 else torch.float32)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("one_class", [0, 1])
@pytest.mark.parametrize("supports", [0, 4])
def test_svm_regressor_is_onnx_runtimes(kernel: str, one_class: int, supports: int) -> None:
    rng = np.random.default_rng(supports)
    attributes: dict[str, Any] = {
        "kernel_type": kernel if supports else "LINEAR",
        "kernel_params": [0.4, 0.2, 3.0],
        "rho": [0.3],
    }
    if supports:
        attributes |= {"n_supports": supports, "support_vectors": rng.standard_normal(3 * supports).tolist()}
    x = rng.standard_normal((7, 3)).astype(np.float32)
    weights = rng.standard_normal(supports or 3).tolist()
    assert_same("SVMRegressor", [x], coefficients=weights, one_class=one_class, **attributes, **ML)


def drawn_classifier(classes: int, kernel: str, *, probability: bool) -> dict[str, Any]:
    rng = np.random.default_rng(classes)
    per_class = [2, 1, 3, 2][:classes]
    count, pairs = sum(per_class), classes * (classes - 1) // 2
    attributes: dict[str, Any] = {
        "coefficients": rng.standard_normal(count * (classes - 1)).tolist(),
        "support_vectors": rng.standard_normal(3 * count).tolist(),
        "vectors_per_class": per_class,
        "rho": rng.standard_normal(pairs).tolist(),
        "kernel_type": kernel,
        "kernel_params": [0.4, 0.2, 3.0],
    }
    if probability:
        attributes |= {"prob_a": (-rng.random(pairs)).tolist(), "prob_b": rng.random(pairs).tolist()}
    return attributes


@pytest.mark.parametrize("transform", TRANSFORMS[:4])
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("classes", "probability"), list(itertools.product([2, 3, 4], [False, True])))
def test_svm_classifier_is_onnx_runtimes(transform: str, kernel: str, classes: int, probability: bool) -> None:
    x = np.random.default_rng(9).standard_normal((6, 3)).astype(np.float32)
    attributes = drawn_classifier(classes, kernel, probability=probability) | labels(LABELS[classes % 2], classes)
    assert_same("SVMClassifier", [x], ["l", "s"], post_transform=transform, **attributes, **ML)


@pytest.mark.parametrize("transform", TRANSFORMS[:4])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("sign", [1, -1])
def test_linear_svm_classifier_is_onnx_runtimes(transform: str, classes: int, sign: int) -> None:
    rng = np.random.default_rng(classes)
    x = rng.standard_normal((6, 3)).astype(np.float32)
    weights = {"coefficients": (sign * rng.random(3 * classes)).tolist(), "rho": [0.2]}
    given = labels(LABELS[0], classes) | {"kernel_type": "LINEAR", "kernel_params": [0.0, 0.0, 0.0]}
    assert_same("SVMClassifier", [x], ["l", "s"], post_transform=transform, **weights, **given, **ML)


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("classes", [2, 3])
def test_linear_models_have_gradients_in_inputs_and_weights(transform: str, classes: int) -> None:
    torch.manual_seed(0)
    x, w, b = (torch.rand(s, dtype=torch.float64).div(3).requires_grad_() for s in ((2, 3), (3 * classes,), (classes,)))

    def scores(x: Tensor, w: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        regressed = linear_regressor(x, coefficients=w, intercepts=b, targets=classes, post_transform=transform)
        given = labels(LABELS[0], classes)
        return regressed, linear_classifier(x, coefficients=w, intercepts=b, post_transform=transform, **given)[1]

    assert torch.autograd.gradcheck(scores, (x, w, b), fast_mode=True)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("probability", [False, True])
def test_svms_have_gradients(kernel: str, probability: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    attributes = drawn_classifier(3, kernel, probability=probability) | labels(LABELS[0], 3)
    assert torch.autograd.gradcheck(lambda x: svm_classifier(x, **attributes)[1], x, fast_mode=True)
    vectors, weights = (torch.randn(n, dtype=torch.float64, requires_grad=True) for n in (12, 4))
    fixed: dict[str, Any] = {"kernel_type": kernel, "kernel_params": [0.4, 0.2, 3.0], "n_supports": 4}
    assert torch.autograd.gradcheck(
        lambda x, v, w: svm_regressor(x, support_vectors=v, coefficients=w, **fixed),
        (x, vectors, weights),
        fast_mode=True,
    )


def test_probit_is_the_normal_quantile_to_three_digits_with_its_slope() -> None:
    p = torch.tensor([[0.01, 0.2, 0.5, 0.7, 0.999]], dtype=torch.float64, requires_grad=True)
    found = transformed(p, "PROBIT")
    twin = torch.distributions.Normal(0.0, 1.0).icdf(p)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(found, twin, atol=5e-3, rtol=5e-3)
    (slope,) = torch.autograd.grad(found.sum(), p)
    (expected,) = torch.autograd.grad(twin.sum(), p)
    torch.testing.assert_close(slope, expected, rtol=0.05, atol=0)


def test_softmax_zero_leaves_zeros_where_they_are() -> None:
    scores = torch.tensor([[0.0, 1.0, 2.0], [0.0, 0.0, 0.0]])
    found = transformed(scores, "SOFTMAX_ZERO")
    torch.testing.assert_close(found[0], torch.cat([torch.zeros(1), scores[0, 1:].softmax(0)]))
    assert found[1].tolist() == [0.5, 0.5, 0.5]


def test_what_does_not_fit_is_said() -> None:
    x = torch.zeros(2, 3)
    with pytest.raises(ValueError, match="4 coefficients are not 1 rows"):
        linear_regressor(x, coefficients=[1.0] * 4)
    with pytest.raises(ValueError, match="labels of the classes are missing"):
        linear_classifier(x, coefficients=[1.0] * 3, intercepts=[0.0])
    with pytest.raises(ValueError, match="post_transform 'TANH'"):
        linear_regressor(x, coefficients=[1.0] * 6, targets=2, post_transform="TANH")
    with pytest.raises(ValueError, match="kernel 'COSINE'"):
        svm_regressor(x, coefficients=[1.0], support_vectors=[1.0] * 3, n_supports=1, kernel_type="COSINE")
    with pytest.raises(ValueError, match="no rows of features"):
        linear_regressor(torch.zeros(2, 3, 4), coefficients=[1.0] * 4)
