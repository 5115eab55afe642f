"""NonMaxSuppression: the best boxes of each class, without those that overlap a better one. Integers, hence no gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from gradcheck_cli.onnx_ops.registry import operator


@operator("NonMaxSuppression", since=10)
def non_max_suppression(
    boxes: Tensor,
    scores: Tensor,
    max_output_boxes_per_class: Tensor | None = None,
    iou_threshold: Tensor | None = None,
    score_threshold: Tensor | None = None,
    *,
    center_point_box: int = 0,
) -> Tensor:
    """(image, class, box) of each box kept, (K, 3): boxes (B, N, 4), scores (B, classes, N), by descending score."""
    most = int(max_output_boxes_per_class) if max_output_boxes_per_class is not None else 0
    overlap = float(iou_threshold) if iou_threshold is not None else 0.0
    corners = _corners(boxes.detach(), bool(center_point_box))
    kept = []
    for image in range(scores.shape[0]):
        for kind in range(scores.shape[1]):
            candidates = _candidates(scores[image, kind].detach(), score_threshold)
            chosen = _greedy(corners[image], candidates, most, overlap)
            kept.append(torch.stack([torch.full_like(chosen, image), torch.full_like(chosen, kind), chosen], 1))
    return torch.cat(kept) if kept else torch.zeros(0, 3, dtype=torch.int64)


def _corners(boxes: Tensor, centred: bool) -> Tensor:
    """Boxes as their lower and upper corners, (B, N, 4)."""
    first, second = boxes[..., :2], boxes[..., 2:]
    if centred:
        return torch.cat([first - second / 2, first + second / 2], -1)
    return torch.cat([torch.minimum(first, second), torch.maximum(first, second)], -1)


def _candidates(scores: Tensor, threshold: Tensor | None) -> Tensor:
    """Numbers of the boxes that score above `threshold`, the best first, equal ones in their order."""
    order = scores.argsort(descending=True, stable=True)
    return order if threshold is None else order[scores[order] > float(threshold)]


def _greedy(corners: Tensor, candidates: Tensor, most: int, overlap: float) -> Tensor:
    """Take the best box, drop what overlaps it by more than `overlap`, and again, until `most` are taken."""
    chosen: list[int] = []
    while len(candidates) and len(chosen) < most:
        best = int(candidates[0])
        chosen.append(best)
        rest = candidates[1:]
        candidates = rest[_overlaps(corners[best], corners[rest]) <= overlap]
    return torch.tensor(chosen, dtype=torch.int64, device=corners.device)


def _overlaps(box: Tensor, others: Tensor) -> Tensor:
    """Intersection over union of one box (4) with each of `others` (N, 4); 0 with an empty one."""
    low, high = torch.maximum(box[:2], others[:, :2]), torch.minimum(box[2:], others[:, 2:])
    shared = (high - low).clamp(min=0).prod(1)
    one, each = (box[2:] - box[:2]).clamp(min=0).prod(), (others[:, 2:] - others[:, :2]).clamp(min=0).prod(1)
    union = one + each - shared
    return torch.where((one > 0) & (each > 0), shared / union, 0)
