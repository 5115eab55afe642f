"""Every version of every operator that the standard knows, against ONNX Runtime on the backend node tests said in that version.

Where ONNX Runtime does not run a version, the expected output of the node test is the oracle.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from backend_cases import Case, as_input, compare
from restamped import Key, as_feed, restamped, schemas

from gradcheck_cli.loaders.onnx_model import values
from gradcheck_cli.loaders.onnx_model.build import build
from gradcheck_cli.onnx_ops import table

MOST = 5
"""Node tests that are compared for one version, spread over all that it can say."""
ML_ELSEWHERE = (
    *(
        "CastMap",
        "CategoryMapper",
        "DictVectorizer",
        "FeatureVectorizer",
        "Imputer",
        "LinearClassifier",
        "LinearRegressor",
    ),
    *("Normalizer", "OneHotEncoder", "SVMClassifier", "SVMRegressor", "Scaler", "TreeEnsembleClassifier"),
    *("TreeEnsembleRegressor", "ZipMap"),
)
ELSEWHERE: dict[tuple[Any, ...], str] = {
    **dict.fromkeys((("ai.onnx.ml", name) for name in ML_ELSEWHERE), "test_ml_*.py"),
    ("ai.onnx.ml", "LabelEncoder", 1): "test_ml_features.py",
    ("", "BatchNormalization", 1): "test_first_versions.py",
    ("", "GlobalLpPool"): "test_runtime_cases.py",
    ("", "Loop", 1): "test_first_versions.py",
    ("", "LpPool", 1): "test_first_versions.py",
    ("", "MaxRoiPool"): "test_runtime_cases.py",
    ("", "PRelu", 1): "test_first_versions.py",
    ("", "PRelu", 6): "test_first_versions.py",
    ("", "Multinomial"): "test_random_values.py",
    ("", "Pad", 1): "test_first_versions.py",
    ("", "Pad", 2): "test_first_versions.py",
    **dict.fromkeys(
        (("", f"Random{name}") for name in ("Normal", "NormalLike", "Uniform", "UniformLike")), "test_random_values.py"
    ),
    ("", "Resize", 10): "test_resizing.py",
    ("", "Resize", 11): "test_resizing.py",
    **dict.fromkeys(
        (("", f"Sequence{name}") for name in ("At", "Construct", "Empty", "Erase", "Length")), "test_sequences.py"
    ),
    ("", "ConcatFromSequence"): "test_sequences.py",
    ("", "Optional"): "test_sequences.py",
    ("", "Tile", 1): "test_first_versions.py",
    ("", "TopK", 1): "test_first_versions.py",
    ("", "Upsample", 1): "test_resizing.py",
}
"""Operators, or versions of them, that no node test can say."""
ANY = range(1, 100)
UNLIKE = {
    "test_cast_FLOAT_to_FLOAT8E4M3FN": (
        ANY,
        "ONNX Runtime turns an infinite value into NaN, where the standard saturates",
    ),
    "test_cast_FLOAT16_to_FLOAT8E4M3FN": (ANY, "the same"),
    "test_maxunpool_export_with_output_shape": (
        ANY,
        "ONNX Runtime places values as in the shape that it infers itself",
    ),
    "test_prelu_example": (range(1, 7), "up to version 6 a slope is one number, or one a channel"),
    "test_prelu_broadcast": (range(1, 7), "the same"),
    "test_quantizelinear_int4": (ANY, "the type of a zero point of 4 bits is lost when it is read as 8 bits"),
    "test_quantizelinear_uint2": (ANY, "the same of 2 bits"),
    "test_quantizelinear_int2": (ANY, "the same of 2 bits"),
    **dict.fromkeys(
        (f"test_castlike_{kind}_to_{to}" for kind in ("FLOAT", "FLOAT16") for to in ("INT4", "UINT4", "INT2", "UINT2")),
        (ANY, "the same, of the tensor whose type is taken"),
    ),
    "test_scan_sum": (range(9, 100), "of version 8, whose first input is the lengths"),
}
"""Node test → in which versions it is not compared, and why."""
TRANSFORMS = frozenset({"DFT", "STFT"})
"""Here ONNX Runtime adds up in float32, term by term."""

KEYS = [
    key
    for key in sorted(schemas())
    if key[0] in ("", "ai.onnx.ml") and key not in ELSEWHERE and key[:2] not in ELSEWHERE
]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: "-".join(map(str, filter(None, key))))
def test_version(key: Key) -> None:
    said = [each for each in restamped(key) if key[2] not in UNLIKE.get(each[0].name, ((), ""))[0]]
    assert said, "no node test can say this version: give it a test of its own"
    for case, model, inputs in said[:: -(-len(said) // MOST)]:
        expected, by_runtime = oracle(case, model, inputs)
        module = build(_copy(model), outputs=tuple(output.name for output in model.graph.output)).eval()
        with torch.no_grad():
            found = module(*map(as_input, inputs))
        results = list(found.values()) if isinstance(found, dict) else [found]
        loose = 1e-4 if by_runtime and key[1] in TRANSFORMS else 0.0
        for info, result, wanted in zip(model.graph.output, results, expected, strict=True):
            compare(values.from_torch(result), wanted, info, case, loose)


def oracle(case: Case, model: onnx.ModelProto, inputs: list[Any]) -> tuple[list[Any], bool]:
    """The expected outputs, and whether ONNX Runtime gave them."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        feed = {info.name: as_feed(value) for info, value in zip(model.graph.input, inputs, strict=True)}
        found = session.run(None, feed)
    except Exception:  # its own kinds, one for each status: it does not run this version or type
        return case.sets[0][1], False
    return [_typed(value, info) for value, info in zip(found, model.graph.output, strict=True)], True


def _typed(value: Any, info: onnx.ValueInfoProto) -> Any:
    """ONNX Runtime gives numbers of 8 bits floating as their bits."""
    element = info.type.tensor_type.elem_type
    if element in values.FLOATING and isinstance(value, np.ndarray) and value.dtype == np.uint8:
        return value.view(onnx.helper.tensor_dtype_to_np_dtype(element))
    return value


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    return copied


def test_every_version_has_an_operator() -> None:
    missing = [key for key in schemas() if key not in NOT_OURS and table().find(*key) is None]
    assert not missing


NOT_OURS = {("ai.onnx.preview.training", "Gradient", 1): "asks for the gradient of a graph as a value of that graph"}


def test_what_is_left_out_cannot_be_said() -> None:
    for key in schemas():
        if key in ELSEWHERE or key[:2] in ELSEWHERE:
            assert key[1] == "PRelu" or not list(restamped(key)), f"{key} has node tests now"
