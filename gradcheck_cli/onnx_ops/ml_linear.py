"""``ai.onnx.ml``: linear models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from gradcheck_cli.onnx_ops.ml_scores import (
    Values,
    both_classes,
    chosen,
    labels_of,
    matrix,
    numbers,
    transformed,
    yes_or_no,
)
from gradcheck_cli.onnx_ops.registry import MACHINE_LEARNING, operator


@operator("LinearRegressor", domain=MACHINE_LEARNING)
def linear_regressor(
    x: Tensor,
    *,
    coefficients: Values,
    intercepts: Values | None = None,
    post_transform: str = "NONE",
    targets: int = 1,
) -> Tensor:
    """(B, features) → (B, targets): x Wᵀ + b, then the transform, which a single target goes without but for PROBIT."""
    scores = _scores(matrix(x), coefficients, intercepts, targets)
    return transformed(scores, post_transform if targets > 1 or post_transform == "PROBIT" else "NONE")


@operator("LinearClassifier", domain=MACHINE_LEARNING)
def linear_classifier(
    x: Tensor,
    *,
    classlabels_ints: Sequence[int] | None = None,
    classlabels_strings: Sequence[str] | None = None,
    coefficients: Values,
    intercepts: Values | None = None,
    multi_class: int = 0,  # noqa: ARG001 - the transform says it
    post_transform: str = "NONE",
) -> tuple[Any, Tensor]:
    """(B, features) → labels (B,) and scores (B, classes); of two classes with one row of weights, the second's score."""
    x = matrix(x)
    labels = labels_of(classlabels_ints, classlabels_strings)
    rows = len(intercepts) if intercepts is not None else len(coefficients) // max(x.shape[1], 1)
    scores = _scores(x, coefficients, intercepts, rows)
    if rows > 1:
        if len(labels) < rows:
            raise ValueError(f"{len(labels)} labels are too few for {rows} classes")
        return chosen(labels, scores.detach().argmax(-1)), transformed(scores, post_transform)
    label = yes_or_no(labels, scores.detach()[:, 0] > 0)
    if len(labels) == 2:
        return label, both_classes(scores, post_transform, probability=True)
    return label, transformed(scores, post_transform if post_transform == "PROBIT" else "NONE")


def _scores(x: Tensor, coefficients: Values, intercepts: Values | None, rows: int) -> Tensor:
    if rows < 1 or len(coefficients) != rows * x.shape[1]:
        raise ValueError(f"{len(coefficients)} coefficients are not {rows} rows for {x.shape[1]} features")
    weight = numbers(coefficients, x).reshape(rows, -1)
    return F.linear(x, weight, numbers(intercepts, x) if intercepts is not None and len(intercepts) else None)
