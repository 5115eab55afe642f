"""Features, labels and maps of ``ai.onnx.ml`` against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from runtime_oracle import assert_same, by_runtime

from gradcheck_cli.loaders.onnx_model.build import build
from gradcheck_cli.onnx_ops.ml_features import imputer, normalizer, scaler
from gradcheck_cli.onnx_ops.ml_labels import one_hot_encoder
from gradcheck_cli.onnx_ops.ml_maps import cast_map, dict_vectorizer, zip_map

ML: dict[str, Any] = {"domain": "ai.onnx.ml", "opset": 1}
X = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
WORDS = np.array([["a", "b"], ["c", "zz"]])


@pytest.mark.parametrize("x", [X, X[0], X.astype(np.float64), np.arange(6).reshape(2, 3)])
@pytest.mark.parametrize(("offset", "scale"), [([0.1], [2.0]), ([0.1, 0.2, 0.3], [1.0, 2.0, 3.0])])
def test_scaler_is_onnx_runtimes(x: np.ndarray, offset: list[float], scale: list[float]) -> None:
    if x.dtype == np.float64:
        found = scaler(torch.from_numpy(x), offset=offset, scale=scale)
        np.testing.assert_allclose(found, (x - offset) * scale, rtol=1e-6)
        assert found.dtype == torch.float64
    else:
        assert_same("Scaler", [x], offset=offset, scale=scale, **ML)


@pytest.mark.parametrize("norm", ["MAX", "L1", "L2"])
@pytest.mark.parametrize("x", [X, X[0], -np.abs(X), np.zeros_like(X), np.arange(6).reshape(2, 3)])
def test_normalizer_is_onnx_runtimes(norm: str, x: np.ndarray) -> None:
    assert_same("Normalizer", [x], norm=norm, **ML)


@pytest.mark.parametrize("norm", ["MAX", "L1", "L2"])
def test_scalers_and_normalizers_have_their_gradients(norm: str) -> None:
    torch.manual_seed(0)
    x, offset, scale = (torch.randn(s, dtype=torch.float64, requires_grad=True) for s in ((3, 4), (4,), (1,)))
    assert torch.autograd.gradcheck(
        lambda *v: scaler(v[0], offset=v[1], scale=v[2]), (x, offset, scale), fast_mode=True
    )
    assert torch.autograd.gradcheck(lambda v: normalizer(v, norm=norm), x, fast_mode=True)
    zeros = torch.zeros(2, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(normalizer(zeros, norm=norm).sum(), zeros)
    assert gradient.isfinite().all()


def test_binarizer_is_onnx_runtimes() -> None:
    assert_same("Binarizer", [X], threshold=0.2, **ML)


@pytest.mark.parametrize("values", [[1.0], [1.0, 2.0, 3.0]])
def test_imputer_is_onnx_runtimes(values: list[float]) -> None:
    holes = X.copy()
    holes[0, 0] = holes[2, 1] = np.nan
    assert_same("Imputer", [holes], imputed_value_floats=values, replaced_value_float=float("nan"), **ML)
    assert_same("Imputer", [np.round(X)], imputed_value_floats=values, replaced_value_float=1.0, **ML)
    whole = [int(value) for value in values]
    assert_same("Imputer", [np.arange(6).reshape(2, 3)], imputed_value_int64s=whole, replaced_value_int64=4, **ML)


def test_what_was_imputed_has_no_gradient() -> None:
    x = torch.tensor([[1.0, float("nan")], [3.0, 4.0]], requires_grad=True)
    imputer(x, imputed_value_floats=[0.0], replaced_value_float=float("nan")).sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert x.grad.tolist() == [[1, 0], [1, 1]]


@pytest.mark.parametrize("x", [X, X[0], np.arange(24).reshape(2, 3, 4), WORDS])
def test_array_feature_extractor_is_onnx_runtimes(x: np.ndarray) -> None:
    assert_same("ArrayFeatureExtractor", [x, np.array([[1, 0, 1]])], **ML)


@pytest.mark.parametrize("sizes", [[3, 2], [2, 4]])
def test_feature_vectorizer_is_onnx_runtimes(sizes: list[int]) -> None:
    assert_same("FeatureVectorizer", [X, X[:, :2]], inputdimensions=sizes, **ML)
    assert_same("FeatureVectorizer", [X[0], X[1]], inputdimensions=sizes, **ML)


def test_one_hot_encoder_is_onnx_runtimes() -> None:
    assert_same("OneHotEncoder", [np.array([[1.0, 2.0], [3.0, 9.0]], np.float32)], cats_int64s=[3, 1, 2], **ML)
    assert_same("OneHotEncoder", [WORDS], cats_strings=["c", "a"], **ML)
    with pytest.raises(ValueError, match="none of the categories"):
        one_hot_encoder(torch.tensor([4]), cats_int64s=[5], zeros=0)


def test_category_mapper_is_onnx_runtimes() -> None:
    lists: dict[str, Any] = {"cats_int64s": [5, 6, 7], "cats_strings": ["a", "b", "c"]}
    assert_same("CategoryMapper", [WORDS], default_int64=-7, **lists, **ML)
    assert_same("CategoryMapper", [np.array([[5, 6], [9, 7]])], default_string="none", **lists, **ML)


def test_the_first_label_encoder_is_onnx_runtimes() -> None:
    assert_same("LabelEncoder", [WORDS], classes_strings=["a", "b", "c"], **ML)
    assert_same("LabelEncoder", [np.array([0, 2, 7])], classes_strings=["a", "b", "c"], **ML)


@pytest.mark.parametrize("opset", [2, 4])
@pytest.mark.parametrize(
    "values", [{"values_strings": list("xyz")}, {"values_int64s": [1, 2, 3]}, {"values_floats": [0.5, 1.5, 2.5]}]
)
def test_label_encoder_is_onnx_runtimes(opset: int, values: dict[str, Any]) -> None:
    options: dict[str, Any] = {"domain": "ai.onnx.ml", "opset": opset, **values}
    assert_same("LabelEncoder", [WORDS], keys_strings=["a", "b", "c"], **options)
    assert_same("LabelEncoder", [np.array([7, 6, 0])], keys_int64s=[5, 6, 7], **options)
    nan = float("nan")
    x = np.array([2.0, 1.0, 3.0, *([nan] if opset == 4 else [])], np.float32)  # ONNX Runtime's version 2 misses NaN
    assert_same("LabelEncoder", [x], keys_floats=[1.0, nan, 2.0], **options)


def test_label_encoder_takes_tensors() -> None:
    lists: dict[str, Any] = {
        name: numpy_helper.from_array(np.array(values))
        for name, values in (
            ("keys_tensor", [1.0, np.nan, 2.0]),
            ("values_tensor", [10.0, 20.0, 30.0]),
            ("default_tensor", [-5.0]),
        )
    }
    assert_same("LabelEncoder", [np.array([2.0, np.nan, 7.0])], domain="ai.onnx.ml", opset=4, **lists)


# ------------------------------------------------------------------------------------------------------------------- maps


def map_model(operator: str, key: int, value: int, **attributes: Any) -> onnx.ModelProto:
    node = helper.make_node(operator, ["x0"], ["y"], domain="ai.onnx.ml", **attributes)
    kind = helper.make_map_type_proto(key, helper.make_tensor_type_proto(value, ()))
    graph = helper.make_graph([node], "g", [helper.make_value_info("x0", kind)], [onnx.ValueInfoProto(name="y")])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


@pytest.mark.parametrize(
    "options",
    [{}, {"map_form": "SPARSE", "max_map": 6}, {"cast_to": "TO_INT64"}, {"cast_to": "TO_STRING"}],
)
def test_cast_map_is_onnx_runtimes(options: dict[str, Any]) -> None:
    given: Any = {4: 1.5, 1: 2.5}
    model = map_model("CastMap", onnx.TensorProto.INT64, onnx.TensorProto.FLOAT, **options)
    (expected,) = by_runtime(model, [given])
    found = build(model, outputs=("y",))(given)
    assert np.asarray(found).tolist() == (
        expected.tolist() if options.get("cast_to") != "TO_STRING" else [["2.5", "1.5"]]
    )


def test_dict_vectorizer_is_onnx_runtimes() -> None:
    given: Any = {"c": 2.5, "a": 1.5}
    model = map_model(
        "DictVectorizer", onnx.TensorProto.STRING, onnx.TensorProto.FLOAT, string_vocabulary=["a", "b", "c"]
    )
    assert build(model, outputs=("y",))(given).tolist() == by_runtime(model, [given])[0].tolist() == [[1.5, 0, 2.5]]
    with pytest.raises(ValueError, match="'z' is not in the vocabulary"):
        dict_vectorizer({"z": 1.0}, string_vocabulary=["a"])


def test_zip_map_gives_each_score_under_its_label_with_its_gradient() -> None:
    x = torch.rand(2, 3, requires_grad=True)
    found = zip_map(x, classlabels_strings=["a", "b", "c"])
    assert [list(each) for each in found] == [["a", "b", "c"]] * 2
    found[1]["b"].backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert x.grad.tolist() == [[0, 0, 0], [0, 1, 0]]
    with pytest.raises(ValueError, match="2 labels for 3 columns"):
        zip_map(x, classlabels_int64s=[1, 2])


def test_maps_do_not_grow_by_what_the_file_says() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        cast_map({1: 2.0}, map_form="SPARSE", max_map=1 << 40)
