"""What skl2onnx writes: values against ONNX Runtime, networks' gradients against an autograd twin with sklearn's own weights."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from comparing_values import compare_values, feed_of, inlined
from sklearn import ensemble, linear_model, neural_network, pipeline, preprocessing, svm

from gradcheck_cli.loaders.onnx_model.build import build

skl2onnx = pytest.importorskip("skl2onnx")
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(40, 5)).astype(np.float32)
Y = X @ RANDOM.normal(size=5) + 0.1 * RANDOM.normal(size=40)
CLASSES = np.digitize(Y, [-1.0, 1.0])

MODELS: dict[str, Callable[[], Any]] = {
    "mlp_regressor": lambda: neural_network.MLPRegressor(hidden_layer_sizes=(7, 4), max_iter=30, random_state=0),
    "mlp_regressor_tanh": lambda: neural_network.MLPRegressor(
        hidden_layer_sizes=(6,), activation="tanh", max_iter=30, random_state=0
    ),
    "mlp_classifier": lambda: neural_network.MLPClassifier(
        hidden_layer_sizes=(7,), activation="logistic", max_iter=30, random_state=0
    ),
    "linear": linear_model.LinearRegression,
    "ridge": linear_model.Ridge,
    "logistic": lambda: linear_model.LogisticRegression(max_iter=50),
    "scaled_mlp": lambda: pipeline.make_pipeline(
        preprocessing.StandardScaler(),
        neural_network.MLPRegressor(hidden_layer_sizes=(7,), max_iter=30, random_state=0),
    ),
    "min_max_logistic": lambda: pipeline.make_pipeline(
        preprocessing.MinMaxScaler(), linear_model.LogisticRegression(max_iter=50)
    ),
    "svr": svm.SVR,
    "linear_svc": lambda: svm.LinearSVC(max_iter=200),
    "boosting": lambda: ensemble.GradientBoostingRegressor(n_estimators=5, random_state=0),
    "forest": lambda: ensemble.RandomForestRegressor(n_estimators=4, max_depth=3, random_state=0),
}


def _exported(name: str, opset: int = 17) -> tuple[Any, Any]:
    fitted = MODELS[name]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted.fit(X, CLASSES if name in ("mlp_classifier", "logistic", "min_max_logistic", "linear_svc") else Y)
        options = {"zipmap": False} if hasattr(fitted, "predict_proba") else None
        return fitted, skl2onnx.to_onnx(fitted, X[:1], target_opset={"": opset, "ai.onnx.ml": 3}, options=options)


@pytest.mark.parametrize("opset", [13, 17, 20])
@pytest.mark.parametrize("name", MODELS)
def test_every_value_is_that_of_onnx_runtime(name: str, opset: int) -> None:
    _, model = _exported(name, opset)
    model = inlined(model)
    result = compare_values(model, feed_of(model, [torch.from_numpy(X)]))
    assert result.tensors > 0
    assert result.worst < 1e-3, result.where


@pytest.mark.parametrize("name", ["mlp_regressor", "mlp_regressor_tanh", "mlp_classifier", "scaled_mlp"])
def test_gradients_of_networks(name: str) -> None:
    fitted, model = _exported(name)
    network = fitted[-1] if name == "scaled_mlp" else fitted
    x = torch.from_numpy(fitted[0].transform(X).astype(np.float32) if name == "scaled_mlp" else X)
    weights = [torch.tensor(w, dtype=torch.float32, requires_grad=True) for w in network.coefs_]
    biases = [torch.tensor(b, dtype=torch.float32, requires_grad=True) for b in network.intercepts_]
    act = {"relu": torch.relu, "tanh": torch.tanh, "logistic": torch.sigmoid}[network.activation]
    for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        x = x @ weight + bias
        x = act(x) if layer < len(weights) - 1 else x
    x = x.softmax(1) if name == "mlp_classifier" else x
    question = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    (x * question).sum().backward()  # type: ignore[no-untyped-call]

    module = build(model).eval()
    output = module(torch.from_numpy(X))
    torch.testing.assert_close(output.reshape(x.shape), x.detach(), rtol=1e-4, atol=1e-5)
    (output.reshape(x.shape) * question).sum().backward()
    ours = [p for p in module.parameters() if p.grad is not None and p.grad.abs().any()]
    for wanted in (*weights, *biases):
        found = next(p for p in ours if torch.equal(p.detach().flatten(), wanted.detach().flatten()))
        assert found.grad is not None
        torch.testing.assert_close(found.grad.reshape(wanted.shape), wanted.grad, rtol=1e-4, atol=1e-5)
