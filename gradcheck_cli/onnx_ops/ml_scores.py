"""What the classifiers and regressors of ``ai.onnx.ml`` share: scores after the model, and the labels that go with them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

Values = Sequence[float] | Tensor
"""An attribute of numbers; as a tensor, it may have a gradient."""
Labels = Sequence[int] | Sequence[str]

_WINITZKI = 0.147
_NO_SCORE = 1e-7


def floating(x: Tensor) -> Tensor:
    """`x` in float32, or in float64 if it is that already: the type in which all of these operators compute."""
    return x if x.dtype == torch.float64 else x.float()


def numbers(values: Values, like: Tensor) -> Tensor:
    """An attribute as a tensor of the dtype and device of `like`."""
    return torch.as_tensor(values).to(like)


def matrix(x: Tensor) -> Tensor:
    """One row a sample (B, C): a 1-D input is one sample. Raises ValueError for any other rank."""
    if x.dim() not in (1, 2):
        raise ValueError(f"an input of {x.dim()} axes has no rows of features")
    return floating(x if x.dim() == 2 else x[None])


def transformed(scores: Tensor, transform: str) -> Tensor:
    """Scores (B, C) after the attribute ``post_transform``. Raises ValueError for an unknown one."""
    if transform not in _TRANSFORMS:
        raise ValueError(f"post_transform {transform!r} is none of {', '.join(_TRANSFORMS)}")
    return _TRANSFORMS[transform](scores)


def _softmax_zero(scores: Tensor) -> Tensor:
    """Softmax of all scores but those that are 0, which stay 0; where there is no other, all are even."""
    counts = scores.abs() > _NO_SCORE
    none = ~counts.any(-1, keepdim=True)
    found = scores.masked_fill(~counts & ~none, -math.inf).softmax(-1)
    return torch.where(none, 0.5, found)


def _probit(p: Tensor) -> Tensor:
    """The normal quantile by Winitzki's inverse of the error function, which ONNX Runtime and the reference use."""
    x = 2 * p - 1
    log = torch.log1p(-x * x)
    v = 2 / (math.pi * _WINITZKI) + 0.5 * log
    squared = torch.sqrt(v * v - log / _WINITZKI) - v
    middle = squared <= 0
    root = torch.sqrt(squared.masked_fill(middle, 1.0))
    slope = math.sqrt(math.pi) / 2  # at ½, where the root has no derivative
    return math.sqrt(2) * torch.where(middle, x * slope, root.copysign(x))


_TRANSFORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "NONE": lambda scores: scores,
    "SOFTMAX": lambda scores: scores.softmax(-1),
    "LOGISTIC": torch.sigmoid,
    "SOFTMAX_ZERO": _softmax_zero,
    "PROBIT": _probit,
}


def both_classes(score: Tensor, transform: str, *, probability: bool) -> Tensor:
    """The one score of two classes (B, 1) as one of each (B, 2), as ONNX Runtime does it: no softmax in any form."""
    if transform == "PROBIT":
        score = transformed(score, transform)
        return torch.cat([-score, score], -1)
    if transform == "LOGISTIC":
        return torch.sigmoid(torch.cat([-score, score], -1))
    return torch.cat([1 - score if probability else -score, score], -1)


def labels_of(integers: Sequence[int] | None, strings: Sequence[str] | None) -> Labels:
    """The labels of the classes, of either attribute. Raises ValueError if there are none."""
    found = strings or integers
    if not found:
        raise ValueError("the labels of the classes are missing")
    return found


def chosen(labels: Labels, classes: Tensor) -> Any:
    """The label of each class (B,): an int64 tensor, or an array of strings."""
    if isinstance(labels[0], str):
        return np.array(labels, dtype=object)[classes.cpu().numpy()]
    return torch.tensor(labels, dtype=torch.int64, device=classes.device)[classes]


def yes_or_no(labels: Labels, yes: Tensor) -> Any:
    """The label of one of two classes (B,); 1 and 0 where the file does not name both."""
    if len(labels) != 2:
        labels = ["0", "1"] if isinstance(labels[0], str) else [0, 1]
    return chosen(labels, yes.long())
