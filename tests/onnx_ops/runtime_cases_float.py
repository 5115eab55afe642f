"""`RuntimeCase`s of com.microsoft operators on floats, and of those of the standard that no floating node test shows."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from runtime_cases import RuntimeCase, normal, of, whole

_Case = RuntimeCase

ACTIVATIONS = [
    _Case("BiasGelu", [normal(2, 3, 4), normal(4)]),
    _Case("FastGelu", [normal(2, 3, 4), normal(4)]),
    _Case("FastGelu", [normal(2, 3, 4)]),
    _Case("Gelu", [normal(2, 3)]),
    _Case("QuickGelu", [normal(2, 3)], {"alpha": 1.3}),
    _Case("GemmFastGelu", [normal(2, 3), normal(3, 4), normal(4)],
          oracle=lambda x, w, b: F.gelu(x @ w + b, approximate="tanh")),
    _Case("BiasSplitGelu", [normal(1, 2, 8), normal(8)],
          oracle=lambda x, b: (x + b).chunk(2, -1)[0] * F.gelu((x + b).chunk(2, -1)[1])),
    _Case("BiasAdd", [normal(1, 2, 8), normal(8), normal(1, 2, 8)], oracle=lambda x, b, skip: x + b + skip),
    _Case("BiasSoftmax", [normal(2, 3, 4), normal(2, 1, 4)], {"axis": 2, "is_inner_broadcast": 1},
          oracle=lambda x, b: torch.softmax(x + b, -1)),
    _Case("BiasDropout", [normal(2, 4), normal(4), normal(2, 4)], oracle=lambda x, b, r: x + b + r),
    _Case("ScaledSiLU", [normal(2, 4)], {"alpha": 1.5}),
    _Case("GatedAdd", [normal(2, 4), normal(2, 4), normal(2, 1)]),
]  # fmt: skip

MATRICES = [
    _Case("FusedMatMul", [normal(2, 3, 4), normal(2, 4, 5)], {"alpha": 0.5}),
    _Case("FusedMatMul", [normal(2, 4, 3), normal(2, 5, 4)], {"transA": 1, "transB": 1}),
    _Case("FusedMatMul", [normal(3, 2, 4), normal(2, 4, 5)], {"transBatchA": 1}),
    _Case("FusedMatMul", [normal(2, 3, 4), normal(4, 2, 5)], {"transBatchB": 1}),
    _Case("TransposeMatMul", [normal(2, 4, 3), normal(2, 4, 5)], {"transA": 1}),
    _Case("FusedMatMulActivation", [normal(2, 3), normal(3, 4)], {"activation": "Relu"},
          oracle=lambda a, b: torch.relu(a @ b)),
    *(
        _Case("FusedGemm", [normal(3, 2), normal(3, 4), normal(4)],
              {"activation": name, "transA": 1, "alpha": 0.5, "beta": 2.0, **more})
        for name, more in (("Relu", {}), ("LeakyRelu", {"activation_alpha": 0.2}), ("Tanh", {}), ("Sigmoid", {}),
                           ("HardSigmoid", {"activation_alpha": 0.3, "activation_beta": 0.4}))
    ),
    _Case("Inverse", [normal(2, 3, 3) + 3 * np.eye(3, dtype=np.float32)]),
    _Case("CDist", [normal(3, 4), normal(5, 4)]),
    _Case("CDist", [normal(3, 4), normal(5, 4)], {"metric": "euclidean"}),
    _Case("ComplexMul", [normal(2, 3, 2), normal(2, 3, 2)],
          oracle=lambda a, b: torch.view_as_real(torch.view_as_complex(a) * torch.view_as_complex(b))),
    _Case("ComplexMulConj", [normal(2, 3, 2), normal(2, 3, 2)],
          oracle=lambda a, b: torch.view_as_real(torch.view_as_complex(a) * torch.view_as_complex(b).conj())),
    _Case("Rfft", [normal(2, 6)], oracle=lambda x: torch.view_as_real(torch.fft.rfft(x))),
    _Case("Irfft", [normal(2, 4, 2)], {"signal_ndim": 1},
          oracle=lambda x: torch.fft.irfft(torch.view_as_complex(x))),
]  # fmt: skip

NORMS = [
    _Case("SkipLayerNormalization", [normal(2, 3, 4), normal(2, 3, 4), normal(4), normal(4), normal(4)],
          outputs=["y", "", "", "s"]),
    _Case("SkipLayerNormalization", [normal(2, 3, 4), normal(3, 4), normal(4)]),
    _Case("SkipSimplifiedLayerNormalization", [normal(2, 3, 4), normal(2, 3, 4), normal(4), normal(4)], outputs=["y", "", "", "s"]),
    _Case("EmbedLayerNormalization",
          [whole(0, 5, 2, 3, dtype=np.int32), whole(0, 2, 2, 3, dtype=np.int32), normal(5, 4), normal(6, 4), normal(2, 4),
           normal(4), normal(4), of([[1, 1, 0], [1, 1, 1]], np.int32)], {"epsilon": 1e-6}, outputs=["y", "m"]),
    _Case("EmbedLayerNormalization",
          [whole(0, 5, 2, 3, dtype=np.int32), None, normal(5, 4), normal(6, 4), None, normal(4), normal(4)], outputs=["y", "m"]),
    _Case("GroupNorm", [normal(2, 3, 3, 4), normal(4), normal(4)], {"groups": 2, "activation": 1},
          oracle=lambda x, g, b: F.silu(F.group_norm(x.movedim(-1, 1), 2, g, b)).movedim(1, -1)),
    _Case("SkipGroupNorm", [normal(2, 3, 3, 4), normal(4), normal(4), normal(2, 3, 3, 4)], {"groups": 2, "activation": 0},
          oracle=lambda x, g, b, s: F.group_norm((x + s).movedim(-1, 1), 2, g, b).movedim(1, -1)),
    _Case("SimplifiedLayerNormalization", [normal(2, 3, 4), normal(4)], {"axis": -1}, domain="", opset=17),
    _Case("GatedRMSNorm", [normal(2, 3, 4), normal(4), normal(2, 3, 4)],
          oracle=lambda x, w, z: F.rms_norm(x, (4,), w, 1e-5) * F.silu(z)),
]  # fmt: skip

IMAGES = [
    _Case("FusedConv", [normal(1, 2, 5, 5), normal(3, 2, 3, 3), normal(3)], {"activation": "Relu", "pads": [1, 1, 1, 1]}),
    _Case("FusedConv", [normal(1, 2, 5, 5), normal(3, 2, 3, 3), normal(3)],
          {"activation": "LeakyRelu", "activation_params": [0.2]}),
    _Case("FusedConv", [normal(1, 2, 5, 5), normal(3, 2, 3, 3), normal(3), normal(1, 3, 3, 3)], {"activation": "Relu"}),
    _Case("NhwcConv", [normal(1, 5, 5, 2), normal(3, 2, 3, 3), normal(3)],
          oracle=lambda x, w, b: F.conv2d(x.movedim(-1, 1), w, b).movedim(1, -1)),
    _Case("NhwcFusedConv", [normal(1, 5, 5, 2), normal(3, 2, 3, 3), normal(3)], {"activation": "Relu"},
          oracle=lambda x, w, b: F.conv2d(x.movedim(-1, 1), w, b).relu().movedim(1, -1)),
    _Case("ConvTransposeWithDynamicPads", [normal(1, 2, 4, 4), normal(2, 3, 3, 3), of([1, 0, 0, 1], np.int64)],
          {"strides": [2, 2]}),
    _Case("GridSample", [normal(1, 2, 4, 4), np.tanh(normal(1, 3, 3, 2))], {"align_corners": 1}),
    _Case("GridSample", [normal(1, 2, 4, 4), normal(1, 3, 3, 2)], {"mode": "bicubic", "padding_mode": "border"}),
    _Case("CropAndResize", [normal(2, 3, 5, 5), of([[0.1, 0.2, 0.8, 0.9], [0.3, 0.05, 0.9, 0.7]]),
                            of([0, 1], np.int32), of([3, 2], np.int32)], {"mode": "bilinear"}),
    _Case("UnfoldTensor", [normal(2, 7)], {"dim": -1, "size": 3, "step": 2}),
]  # fmt: skip

SHAPES = [
    _Case("ExpandDims", [normal(2, 3), of(1, np.int32)]),
    _Case("GatherND", [normal(2, 3, 4), of([[0, 1], [1, 2]], np.int64)]),
    _Case("Pad", [normal(2, 3), of([1, 0, 0, 2], np.int64), of(0.5)]),
    _Case("Pad", [normal(2, 3), of([0, 1, 0, 1], np.int64)], {"mode": "reflect"}),
    _Case("Range", [of(1.25), of(4.0), of(0.5)]),
    _Case("Trilu", [normal(3, 4), of(1, np.int64)], {"upper": 0}),
    _Case("Unique", [of([2.0, 1.0, 1.0, 3.0, 4.0, 3.0])], outputs=["y", "i", "c"], gradient=False),
    _Case("Unique", [of([2.0, 1.0, 3.0])], outputs=["y", "i", "c"]),
    _Case("TorchEmbedding", [normal(5, 3), of([[0, 4], [2, 2]], np.int64)], oracle=lambda w, i: F.embedding(i, w)),
]  # fmt: skip


def _angles(positions: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    angle = np.outer(np.arange(positions), 1 / 10 ** np.arange(width)).astype(np.float32)
    return np.cos(angle), np.sin(angle)


def _attention(**options: object) -> _Case:
    return _Case("Attention", [normal(2, 3, 8), normal(8, 24), normal(24)], {"num_heads": 2, **options})


ATTENTION = [
    _attention(),
    _attention(unidirectional=1),
    _attention(scale=0.3),
    _Case("Attention", [normal(2, 3, 8), normal(8, 24), normal(24), of([[1, 1, 0], [1, 1, 1]], np.int32)], {"num_heads": 2}),
    _Case("Attention", [normal(2, 3, 8), normal(8, 24), normal(24), of([2, 3], np.int32)], {"num_heads": 2}),
    _Case("Attention", [normal(2, 3, 8), normal(8, 24), normal(24), None, normal(2, 2, 2, 5, 4)], {"num_heads": 2}, ["y", "p"]),
    _Case("Attention", [normal(2, 3, 8), normal(8, 24), normal(24), None, None, normal(2, 2, 3, 3)], {"num_heads": 2}),
    _Case("Attention", [normal(2, 3, 8), normal(8, 22), normal(22)], {"num_heads": 2, "qkv_hidden_sizes": [8, 8, 6]}),
    _Case("MultiHeadAttention", [normal(2, 3, 8), normal(2, 5, 8), normal(2, 5, 8)], {"num_heads": 2}),
    _Case("MultiHeadAttention", [normal(2, 3, 8), normal(2, 3, 8), normal(2, 3, 6), normal(22)],
          {"num_heads": 2, "unidirectional": 1}),
    _Case("MultiHeadAttention", [normal(2, 3, 8), normal(2, 5, 8), normal(2, 5, 8), None, of([3, 5], np.int32)], {"num_heads": 2}),
    _Case("MultiHeadAttention", [normal(2, 3, 8), normal(2, 5, 8), normal(2, 5, 8), None, None, normal(2, 2, 3, 5)],
          {"num_heads": 2}),
    _Case("MultiHeadAttention",
          [normal(2, 1, 8), normal(2, 1, 8), normal(2, 1, 8), None, None, None, normal(2, 2, 4, 4), normal(2, 2, 4, 4)],
          {"num_heads": 2}, ["y", "k", "v"]),
    _Case("GroupQueryAttention",
          [normal(2, 3, 32), normal(2, 3, 16), normal(2, 3, 16), None, None, of([2, 2], np.int32), of(3, np.int32)],
          {"num_heads": 4, "kv_num_heads": 2}, ["y", "k", "v"]),
    _Case("GroupQueryAttention",
          [normal(1, 1, 32), normal(1, 1, 16), normal(1, 1, 16), normal(1, 2, 4, 8), normal(1, 2, 4, 8), of([4], np.int32),
           of(5, np.int32)],
          {"num_heads": 4, "kv_num_heads": 2, "local_window_size": 3}, ["y", "k", "v"]),
    _Case("GroupQueryAttention",
          [normal(2, 3, 64), normal(2, 3, 32), normal(2, 3, 32), None, None, of([2, 2], np.int32), of(3, np.int32),
           *_angles(8, 8)],
          {"num_heads": 4, "kv_num_heads": 2, "do_rotary": 1}, ["y", "k", "v"]),
    _Case("RotaryEmbedding", [normal(2, 3, 16), whole(0, 6, 2, 3), *_angles(6, 4)], {"num_heads": 2}),
    _Case("RotaryEmbedding", [normal(2, 2, 3, 8), of([1], np.int64), *_angles(6, 4)], {"interleaved": 1}),
    _Case("LinearAttention", [normal(1, 3, 8), normal(1, 3, 8), normal(1, 3, 8)],
          {"q_num_heads": 2, "kv_num_heads": 2, "update_rule": "linear"}, ["y", "s"]),
]  # fmt: skip

STATES = [
    _Case("CausalConvWithState", [normal(2, 3, 6), normal(3, 1, 4), normal(3), normal(2, 3, 3)],
          {"activation": "silu"}, ["y", "s"]),
    _Case("CausalConvWithState", [normal(2, 6, 3), normal(3, 1, 4)], {"channels_last": 1}, ["y", "s"]),
]  # fmt: skip

EXPERIMENTAL = [
    _Case("Affine", [normal(2, 3)], {"alpha": 0.5, "beta": 2.0}, domain="", opset=8),
    _Case("Scale", [normal(2, 3)], {"scale": 0.5}, domain="", opset=8),
    _Case("ScaledTanh", [normal(2, 3)], {"alpha": 0.5, "beta": 2.0}, domain="", opset=8),
    _Case("ParametricSoftplus", [normal(2, 3)], {"alpha": 0.5, "beta": 2.0}, domain="", opset=8),
    _Case("ImageScaler", [normal(1, 3, 2, 2)], {"scale": 0.5, "bias": [1.0, 2.0, 3.0]}, domain="", opset=8),
    _Case("Crop", [normal(1, 2, 5, 6)], {"border": [1, 0, 2, 1]}, domain="", opset=8),
    _Case("Crop", [normal(1, 2, 5, 6)], {"border": [1, 2, 0, 0], "scale": [2, 3]}, domain="", opset=8),
]  # fmt: skip

STANDARD = [
    _Case("Trilu", [normal(3, 4), of(1, np.int64)], {"upper": 0}, domain="", opset=14),
    _Case("GlobalLpPool", [normal(2, 3, 4, 4)], {"p": 3}, domain="", opset=17),
    _Case("MaxRoiPool", [normal(1, 2, 6, 6), of([[0, 0, 0, 4, 4], [0, 1, 2, 5, 5]])], {"pooled_shape": [2, 2]},
          domain="", opset=17),
]  # fmt: skip


def _ml(operator: str, attributes: dict[str, object], outputs: tuple[str, ...] = ("y",), rows: int = 4) -> _Case:
    return _Case(operator, [normal(rows, 3)], attributes, outputs, "ai.onnx.ml", 1)


_SVM = {"kernel_type": "RBF", "kernel_params": [0.4, 0.2, 3.0], "support_vectors": normal(12).tolist(), "rho": [0.3]}
MACHINE_LEARNING = [
    _ml("Scaler", {"offset": [0.1, 0.2, 0.3], "scale": [2.0, 3.0, 4.0]}),
    _ml("Normalizer", {"norm": "L2"}),
    _ml("Normalizer", {"norm": "L1"}),
    _ml("Imputer", {"imputed_value_floats": [0.5], "replaced_value_float": math.nan}),
    _ml("LinearRegressor", {"coefficients": normal(6).tolist(), "intercepts": [0.1, 0.2], "targets": 2}),
    _ml("LinearClassifier", {"coefficients": normal(6).tolist(), "intercepts": [0.1, 0.2], "post_transform": "SOFTMAX",
                             "classlabels_ints": [0, 1]}, ("l", "y")),
    _ml("SVMRegressor", {"coefficients": normal(4).tolist(), "n_supports": 4, **_SVM}),
    _ml("SVMClassifier", {"coefficients": normal(4).tolist(), "vectors_per_class": [2, 2], "classlabels_ints": [0, 1], **_SVM},
        ("l", "y")),
    _Case("FeatureVectorizer", [normal(2, 3), normal(2, 2)], {"inputdimensions": [3, 2]}, ("y",), "ai.onnx.ml", 1),
]  # fmt: skip

CASES = [
    *ACTIVATIONS,
    *MATRICES,
    *NORMS,
    *IMAGES,
    *SHAPES,
    *ATTENTION,
    *STATES,
    *EXPERIMENTAL,
    *STANDARD,
    *MACHINE_LEARNING,
]
