"""``ai.onnx.ml``: support vector machines.

Source: Chang & Lin, LIBSVM; probabilities of several classes: Wu, Lin & Weng 2004, second approach.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gradcheck_cli.onnx_ops.ml_scores import (
    Values,
    both_classes,
    chosen,
    labels_of,
    matrix,
    numbers,
    transformed,
)
from gradcheck_cli.onnx_ops.registry import MACHINE_LEARNING, operator

_ROUNDS = 100
_CERTAIN = 1e-7


@operator("SVMRegressor", domain=MACHINE_LEARNING)
def svm_regressor(
    x: Tensor,
    *,
    coefficients: Values,
    kernel_params: Sequence[float] = (),
    kernel_type: str = "LINEAR",
    n_supports: int = 0,
    one_class: int = 0,
    post_transform: str = "NONE",  # noqa: ARG001 - neither ONNX Runtime nor the reference applies it
    rho: Values = (0.0,),
    support_vectors: Values = (),
) -> Tensor:
    """(B, features) → (B, 1): Σ coefficient·kernel(x, support vector) + rho; its sign if `one_class`."""
    x = matrix(x)
    weights = numbers(coefficients, x)
    kernels = _kernels(x, _rows(support_vectors, n_supports, x), kernel_type, kernel_params) if n_supports > 0 else x
    if kernels.shape[1] != weights.numel():
        raise ValueError(f"{weights.numel()} coefficients for {kernels.shape[1]} support vectors or features")
    scores = kernels @ weights[:, None] + numbers(rho, x)[0]
    return torch.where(scores > 0, 1.0, -1.0).to(scores) if one_class else scores


@operator("SVMClassifier", domain=MACHINE_LEARNING)
def svm_classifier(
    x: Tensor,
    *,
    classlabels_ints: Sequence[int] | None = None,
    classlabels_strings: Sequence[str] | None = None,
    coefficients: Values,
    kernel_params: Sequence[float] = (),
    kernel_type: str = "LINEAR",
    post_transform: str = "NONE",
    prob_a: Values = (),
    prob_b: Values = (),
    rho: Values,
    support_vectors: Values = (),
    vectors_per_class: Sequence[int] = (),
) -> tuple[Any, Tensor]:
    """(B, features) → labels (B,) and scores: one a class, or one a pair of classes without probabilities.

    Without support vectors the model is linear, one row of coefficients a class.
    """
    x = matrix(x)
    labels = labels_of(classlabels_ints, classlabels_strings)
    classes = len(labels)
    if not sum(vectors_per_class):
        scores = x @ _rows(coefficients, classes, x).T + numbers(rho, x)[0]
        label = chosen(labels, scores.detach().argmax(-1))
        if classes == 2:
            label = _of_two(labels, scores.detach(), coefficients)
        return label, transformed(scores, post_transform) if classes > 1 else scores
    scores, pairs = _pairwise(x, kernel_type, kernel_params, coefficients, rho, support_vectors, vectors_per_class)
    if len(pairs) != classes * (classes - 1) // 2:
        raise ValueError(f"{len(vectors_per_class)} classes have support vectors, and {classes} a label")
    label = chosen(labels, _votes(scores.detach(), pairs, classes).argmax(-1))
    if len(prob_a):
        chances = torch.sigmoid(-(scores * numbers(prob_a, x) + numbers(prob_b, x)))
        found = _coupled(chances.clamp(_CERTAIN, 1 - _CERTAIN), pairs, classes)
        return label, transformed(found, post_transform)
    if classes == 2:
        return label, both_classes(scores, post_transform, probability=post_transform != "NONE")
    return label, transformed(scores, post_transform)


def _of_two(labels: Any, scores: Tensor, coefficients: Values) -> Any:
    """ONNX Runtime's choice between the two classes of a linear model."""
    most, first = scores.max(-1)
    threshold_met = most >= 0.5 if float(numbers(coefficients, scores).min()) >= 0 else most > 0
    return chosen(labels, torch.where(threshold_met, 1, first))


def _rows(values: Values, rows: int, like: Tensor) -> Tensor:
    found = numbers(values, like)
    if found.numel() != rows * like.shape[1]:
        raise ValueError(f"{found.numel()} numbers are not {rows} rows for {like.shape[1]} features")
    return found.reshape(rows, -1)


def _kernels(x: Tensor, vectors: Tensor, kind: str, parameters: Sequence[float]) -> Tensor:
    """Of rows x (B, C) and support vectors (V, C): (B, V)."""
    gamma, shift, degree = parameters if len(parameters) == 3 else (0.0, 0.0, 0.0)
    if kind == "RBF":
        squares = (x.square().sum(-1, keepdim=True) + vectors.square().sum(-1)) - 2 * (x @ vectors.T)
        return torch.exp(-gamma * squares)
    products = x @ vectors.T
    if kind == "LINEAR":
        return products
    if kind == "POLY":
        return (gamma * products + shift) ** degree
    if kind == "SIGMOID":
        return torch.tanh(gamma * products + shift)
    raise ValueError(f"the kernel {kind!r} is none of LINEAR, POLY, RBF and SIGMOID")


def _pairwise(
    x: Tensor, kind: str, parameters: Sequence[float], coefficients: Values, rho: Values, vectors: Values,
    per_class: Sequence[int],
) -> tuple[Tensor, list[tuple[int, int]]]:  # fmt: skip
    """One score for each pair of classes (B, pairs): above 0 for the first. Row c of the coefficients is against class c.

    A class has no row against itself: those after it count one less.
    """
    count, classes = sum(per_class), len(per_class)
    kernels = _kernels(x, _rows(vectors, count, x), kind, parameters)
    weights = numbers(coefficients, x).reshape(-1, count)
    pairs = list(itertools.combinations(range(classes), 2))
    if weights.shape[0] < classes - 1 or len(rho) < len(pairs) or not pairs:
        raise ValueError("there are not as many coefficients and rho as pairs of classes")
    owner = torch.repeat_interleave(torch.arange(classes), torch.tensor(per_class)).to(x.device)
    columns = [torch.where(owner == i, weights[j - 1], torch.where(owner == j, weights[i], 0.0)) for i, j in pairs]
    return kernels @ torch.stack(columns, 1) + numbers(rho, x)[: len(pairs)], pairs


def _votes(scores: Tensor, pairs: Sequence[tuple[int, int]], classes: int) -> Tensor:
    """How many pairs each class wins (B, classes)."""
    won = torch.tensor(pairs, device=scores.device).T
    winners = torch.where(scores > 0, won[0], won[1])
    return torch.zeros(len(scores), classes, device=scores.device).scatter_add(
        1, winners, torch.ones_like(scores).float()
    )


def _coupled(chances: Tensor, pairs: Sequence[tuple[int, int]], classes: int) -> Tensor:
    """Probabilities of the classes (B, classes) that agree best with those of each pair (B, pairs)."""
    first, second = torch.tensor(pairs, device=chances.device).T
    table = chances.new_zeros(len(chances), classes, classes)
    table = table.index_put((torch.arange(len(chances), device=chances.device)[:, None], first, second), chances)
    r = table.index_put((torch.arange(len(chances), device=chances.device)[:, None], second, first), 1 - chances)
    q = torch.diag_embed(r.square().sum(1)) - r * r.transpose(1, 2)
    p = torch.full_like(r[:, 0], 1 / classes)
    going = torch.ones_like(p[:, :1], dtype=torch.bool)
    for _ in range(_ROUNDS):
        qp = (q @ p[..., None])[..., 0]
        error = (qp - (p * qp).sum(-1, keepdim=True)).abs().amax(-1, keepdim=True)
        going = going & (error >= 0.005 / classes)
        if not going.any():
            break
        p = torch.where(going, _improved(p, q, qp), p)
    return p


def _improved(p: Tensor, q: Tensor, qp: Tensor) -> Tensor:
    """One round of Wu, Lin & Weng's algorithm 2: one class after the other."""
    total = (p * qp).sum(-1, keepdim=True)
    for t in range(p.shape[1]):
        own = q[:, t, t, None]
        change = (total - qp[:, t, None]) / own
        total = (total + change * (change * own + 2 * qp[:, t, None])) / (1 + change) ** 2
        qp = (qp + change * q[:, t]) / (1 + change)
        p = (p + change * torch.nn.functional.one_hot(torch.tensor(t), p.shape[1]).to(p)) / (1 + change)
    return p
