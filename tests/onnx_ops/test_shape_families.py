"""Operators that move, pick and reduce, on random shapes and settings against ONNX Runtime, and their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from runtime_oracle import Array, assert_same, by_us, model_of

REDUCTIONS = [
    "ReduceSum",
    "ReduceMean",
    "ReduceMax",
    "ReduceMin",
    "ReduceProd",
    "ReduceL1",
    "ReduceL2",
    "ReduceSumSquare",
]
REDUCTIONS += ["ReduceLogSum", "ReduceLogSumExp"]
BY_SEED = range(12)


class Draw:
    """Random arrays and settings."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def shape(self, rank: int) -> tuple[int, ...]:
        return tuple(self.rng.integers(1, 5, rank).tolist())

    def normal(self, *shape: int) -> Array:
        return self.rng.standard_normal(shape).astype(np.float32)

    def axes(self, rank: int) -> list[int]:
        chosen = self.rng.permutation(rank)[: int(self.rng.integers(1, rank + 1))]
        return [int(axis) - rank * int(self.rng.integers(0, 2)) for axis in chosen]

    def flag(self) -> int:
        return int(self.rng.integers(0, 2))


def whole(*values: int) -> Array:
    return np.array(values, np.int64)


def gradient_agrees(
    operator: str, arrays: list[Array | None], outputs: tuple[str, ...] = ("y",), **options: Any
) -> None:
    """For the first input."""
    model = model_of(operator, arrays, outputs, **options)
    first, *rest = [x for x in arrays if x is not None]
    leaf = torch.from_numpy(first).double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: tuple(y for y in by_us(model, [x, *rest]) if y.is_floating_point()), leaf, fast_mode=True, atol=1e-4
    )


@pytest.mark.parametrize("seed", BY_SEED)
@pytest.mark.parametrize("operator", REDUCTIONS)
def test_reductions_are_onnx_runtimes(operator: str, seed: int) -> None:
    draw = Draw(seed)
    x = np.abs(draw.normal(*draw.shape(3))) + np.float32(0.1)
    keep, axes = draw.flag(), draw.axes(3)
    if seed % 3:
        assert_same(operator, [x], axes=axes, keepdims=keep, opset=11)
    else:
        assert_same(operator, [x, whole(*axes)], keepdims=keep, noop_with_empty_axes=draw.flag(), opset=18)
    gradient_agrees(operator, [x], axes=axes, keepdims=keep, opset=11)


@pytest.mark.parametrize("operator", ["ReduceMax", "ReduceMin"])
def test_extremes_share_their_gradient_among_ties(operator: str) -> None:
    x = torch.zeros(4, requires_grad=True)
    (y,) = by_us(model_of(operator, [np.zeros(4, np.float32)], ["y"], keepdims=0, opset=13), [x])
    y.backward()
    assert x.grad is not None
    assert float(x.grad.sum()) == pytest.approx(1)


@pytest.mark.parametrize("seed", BY_SEED)
@pytest.mark.parametrize("operator", ["ArgMax", "ArgMin"])
def test_places_of_extremes_are_onnx_runtimes(operator: str, seed: int) -> None:
    draw = Draw(seed)
    x = draw.rng.integers(0, 3, draw.shape(3)).astype(np.float32)
    assert_same(operator, [x], axis=draw.axes(3)[0], keepdims=draw.flag(), select_last_index=draw.flag(), opset=13)


@pytest.mark.parametrize("seed", range(30))
def test_slices_are_onnx_runtimes(seed: int) -> None:
    draw = Draw(seed)
    x, axes = draw.normal(5, 6, 7), draw.axes(3)
    starts, ends = (draw.rng.integers(-8, 9, len(axes)) for _ in range(2))
    steps = draw.rng.choice([-3, -2, -1, 1, 2, 3], len(axes))
    arrays: list[Array | None] = [x, whole(*starts), whole(*ends), whole(*axes), whole(*steps)]
    assert_same("Slice", arrays, opset=13)
    if seed % 5 == 0:
        gradient_agrees("Slice", [x, whole(1, 0), whole(4, 9), whole(0, 2), whole(2, 3)], opset=13)


@pytest.mark.parametrize("seed", BY_SEED)
def test_gathers_are_onnx_runtimes(seed: int) -> None:
    draw = Draw(seed)
    x, axis = draw.normal(4, 5, 3), draw.axes(3)[0]
    size = x.shape[axis]
    index = draw.rng.integers(-size, size, draw.shape(2))
    assert_same("Gather", [x, index], axis=axis, opset=13)
    gradient_agrees("Gather", [x, index], axis=axis, opset=13)
    same = draw.rng.integers(-size, size, [2 if i == axis % 3 else n for i, n in enumerate(x.shape)])
    assert_same("GatherElements", [x, same], axis=axis, opset=13)
    gradient_agrees("GatherElements", [x, same], axis=axis, opset=13)
    places = draw.rng.integers(0, 3, (2, 4, 2))
    assert_same("GatherND", [x, places], opset=13)
    gradient_agrees("GatherND", [x, places], opset=13)


@pytest.mark.parametrize("reduction", ["none", "add", "mul", "max", "min"])
@pytest.mark.parametrize("seed", range(4))
def test_scatters_are_onnx_runtimes(reduction: str, seed: int) -> None:
    draw = Draw(seed)
    x, axis = draw.normal(4, 5), seed % 2
    if reduction == "none":
        index = np.stack([draw.rng.permutation(x.shape[axis])[:2] for _ in range(x.shape[1 - axis])])
    else:
        index = draw.rng.integers(-x.shape[axis], x.shape[axis], (x.shape[1 - axis], 2))
    index = index.T if axis == 0 else index
    updates = draw.normal(*index.shape)
    assert_same("ScatterElements", [x, index, updates], axis=axis, reduction=reduction, opset=18)
    gradient_agrees("ScatterElements", [x, index, updates], axis=axis, reduction=reduction, opset=18)
    rows = draw.rng.permutation(4)[:2].reshape(2, 1)
    assert_same("ScatterND", [x, rows, draw.normal(2, 5)], reduction=reduction, opset=18)
    gradient_agrees("ScatterND", [x, rows, draw.normal(2, 5)], reduction=reduction, opset=18)


@pytest.mark.parametrize("seed", BY_SEED)
def test_moves_are_onnx_runtimes(seed: int) -> None:
    draw = Draw(seed)
    x = draw.normal(*draw.shape(4))
    assert_same("Transpose", [x], perm=draw.rng.permutation(4).tolist(), opset=13)
    assert_same("Flatten", [x], axis=int(draw.rng.integers(-4, 5)), opset=13)
    assert_same("Tile", [x, whole(*draw.rng.integers(1, 3, 4))], opset=13)
    assert_same("Expand", [x[:1], whole(*draw.rng.integers(1, 4, 1), *x.shape)], opset=13)
    assert_same("Unsqueeze", [x, whole(*sorted(draw.rng.permutation(6)[:2].tolist()))], opset=13)
    assert_same("Squeeze", [x[:, None], whole(1)], opset=13)
    assert_same("Reshape", [x, whole(0, -1, x.shape[3])], opset=14)
    assert_same("Concat", [x, x, x], axis=int(draw.rng.integers(-4, 4)), opset=13)


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge", "wrap"])
@pytest.mark.parametrize("seed", range(6))
def test_padding_is_onnx_runtimes(mode: str, seed: int) -> None:
    draw = Draw(seed)
    x = draw.normal(3, 4, 5)
    pads = draw.rng.integers(-1 if mode == "constant" else 0, 3, 6)
    arrays: list[Array | None] = [x, whole(*pads)]
    arrays += [np.array(1.5, np.float32)] if mode == "constant" else []
    assert_same("Pad", arrays, mode=mode, opset=19)
    gradient_agrees("Pad", arrays, mode=mode, opset=19)


@pytest.mark.parametrize("seed", BY_SEED)
def test_splits_are_onnx_runtimes(seed: int) -> None:
    draw = Draw(seed)
    x = draw.normal(3, 7, 2)
    assert_same("Split", [x, whole(2, 4, 1)], ["a", "b", "c"], axis=1, opset=13)
    assert_same("Split", [x], ["a", "b", "c"], axis=-2, num_outputs=3, opset=18)
    assert_same("Split", [x], ["a", "b"], axis=1, split=[3, 4], opset=11)


@pytest.mark.parametrize("seed", BY_SEED)
def test_selections_are_onnx_runtimes(seed: int) -> None:
    draw = Draw(seed)
    x = draw.rng.integers(0, 4, draw.shape(2)).astype(np.float32)
    axis = int(draw.rng.integers(-2, 2))
    assert_same("Unique", [x], ["y", "i", "v", "c"], axis=axis, sorted=1, opset=11)
    assert_same("Unique", [x], ["y", "i", "v", "c"], sorted=draw.flag(), opset=11)
    k, distinct = whole(min(2, x.shape[axis])), draw.rng.permutation(x.size).reshape(x.shape).astype(np.float32)
    assert_same("TopK", [distinct, k], ["v", "i"], axis=axis, largest=draw.flag(), opset=11)
    assert_same("TopK", [distinct], ["v", "i"], axis=axis, k=1, opset=9)
    gradient_agrees("TopK", [distinct, k], ("v", "i"), axis=axis, opset=11)
    assert_same("NonZero", [x], opset=13)
    keep = np.asarray(draw.rng.integers(0, 2, x.shape[axis]), dtype=np.bool_)
    assert_same("Compress", [x, keep], axis=axis, opset=11)
    assert_same("CumSum", [x, np.array(axis, np.int64)], exclusive=draw.flag(), reverse=draw.flag(), opset=14)


@pytest.mark.parametrize("operator", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("opset", [9, 11, 13])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax_is_onnx_runtimes(operator: str, opset: int, axis: int) -> None:
    x = Draw(0).normal(2, 3, 4)
    if axis >= 0 or opset >= 11:
        assert_same(operator, [x], axis=axis, opset=opset)
        gradient_agrees(operator, [x], axis=axis, opset=opset)


@pytest.mark.parametrize("seed", BY_SEED)
def test_products_are_onnx_runtimes(seed: int) -> None:
    draw = Draw(seed)
    m, n, k = draw.shape(3)
    batch = draw.shape(2)
    assert_same("MatMul", [draw.normal(*batch, m, k), draw.normal(batch[1], k, n)], opset=13)
    assert_same("MatMul", [draw.normal(k), draw.normal(*batch, k, n)], opset=13)
    a_t, b_t = draw.flag(), draw.flag()
    a, b = draw.normal(*((k, m) if a_t else (m, k))), draw.normal(*((n, k) if b_t else (k, n)))
    c = draw.normal(*[(), (n,), (m, 1), (1, n), (m, n)][seed % 5])
    assert_same("Gemm", [a, b, c], transA=a_t, transB=b_t, alpha=0.5, beta=1.5, opset=13)
    assert_same("Einsum", [draw.normal(2, m, k), draw.normal(2, k, n)], equation="bij,bjk->bik", opset=12)


@pytest.mark.parametrize("seed", BY_SEED)
def test_norms_are_onnx_runtimes(seed: int) -> None:
    draw = Draw(seed)
    x = draw.normal(2, 4, 3, 5)
    assert_same(
        "LayerNormalization", [x, draw.normal(3, 5), draw.normal(3, 5)], ["y", "m", "s"], axis=2, opset=17, atol=1e-4
    )
    assert_same("InstanceNormalization", [x, draw.normal(4), draw.normal(4)], opset=6, atol=1e-4)
    assert_same("GroupNormalization", [x, draw.normal(4), draw.normal(4)], num_groups=2, opset=21, atol=1e-4)
    assert_same("LpNormalization", [x], axis=-1, p=1 + seed % 2, opset=1)
    assert_same("LRN", [x], size=3, alpha=0.1, opset=13)
    assert_same("MeanVarianceNormalization", [x], axes=[0, 2, 3], opset=13, atol=1e-4)
    scale = [draw.normal(4), draw.normal(4), draw.normal(4), np.abs(draw.normal(4)) + np.float32(0.5)]
    assert_same("BatchNormalization", [x, *scale], opset=15, atol=1e-4)
