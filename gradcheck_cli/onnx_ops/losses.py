"""Losses that a file may contain."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from gradcheck_cli.onnx_ops.element_types import promoted
from gradcheck_cli.onnx_ops.registry import operator

_NONE_IGNORED = torch.iinfo(torch.int64).min
"""A label that no sample has: torch ignores −100 unless told otherwise."""


@operator("NegativeLogLikelihoodLoss", since=12)
def negative_log_likelihood_loss(
    scores: Tensor,
    labels: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int | None = None,
    reduction: str = "mean",
) -> Tensor:
    """−scores[b, labels[b, s], s] · weight[labels[b, s]], of (B, C, S…) and (B, S…); the mean is over the weights' sum."""
    if reduction not in ("none", "sum", "mean"):
        raise ValueError(f"the reduction of a loss is {reduction!r}, not none, sum or mean")
    ignored = _NONE_IGNORED if ignore_index is None else ignore_index
    labels = labels.to(torch.int64)
    scores = scores.contiguous()  # torch's gradient asks for it, over spatial axes
    if weight is None:
        return F.nll_loss(scores, labels, ignore_index=ignored, reduction=reduction)
    scores, weight = promoted(scores, weight)
    if weight.requires_grad:  # torch's own has no gradient for it
        return _weighted(scores, labels, weight, ignored, reduction)
    return F.nll_loss(scores, labels, weight, ignore_index=ignored, reduction=reduction)


def _weighted(scores: Tensor, labels: Tensor, weight: Tensor, ignored: int, reduction: str) -> Tensor:
    kept = labels != ignored
    safe = labels.masked_fill(~kept, 0)
    weights = weight[safe] * kept
    loss = -scores.gather(1, safe.unsqueeze(1)).squeeze(1) * weights
    if reduction == "none":
        return loss
    return loss.sum() if reduction == "sum" else loss.sum() / weights.sum()


@operator("SoftmaxCrossEntropyLoss", since=12)
def softmax_cross_entropy_loss(
    scores: Tensor,
    labels: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int | None = None,
    reduction: str = "mean",
) -> tuple[Tensor, Tensor]:
    """The same of log softmax(scores) over the classes, and that logarithm."""
    log_prob = F.log_softmax(scores, 1)
    loss = negative_log_likelihood_loss(log_prob, labels, weight, ignore_index=ignore_index, reduction=reduction)
    return loss, log_prob
