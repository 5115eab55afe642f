"""``ai.onnx.ml``: TreeEnsemble, TreeEnsembleRegressor, TreeEnsembleClassifier (see `ml_trees`)."""

from __future__ import annotations

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
    yes_or_no,
)
from gradcheck_cli.onnx_ops.ml_tree_lists import Identities, Ids, either, one_of, same_length
from gradcheck_cli.onnx_ops.ml_trees import LEAF, MEMBER, Trees, Votes
from gradcheck_cli.onnx_ops.registry import MACHINE_LEARNING, operator

_AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")
_TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")


@operator("TreeEnsemble", since=5, domain=MACHINE_LEARNING)
def tree_ensemble(
    x: Tensor,
    *,
    aggregate_function: int = 1,
    leaf_targetids: Ids,
    leaf_weights: Values,
    membership_values: Values | None = None,
    n_targets: int = 1,
    nodes_falseleafs: Ids,
    nodes_falsenodeids: Ids,
    nodes_featureids: Ids,
    nodes_hitrates: Values | None = None,  # noqa: ARG001 - for speed only
    nodes_missing_value_tracks_true: Ids = (),
    nodes_modes: Tensor,
    nodes_splits: Values,
    nodes_trueleafs: Ids,
    nodes_truenodeids: Ids,
    post_transform: int = 0,
    tree_roots: Ids,
) -> Tensor:
    """(B, features) → (B, targets): of each tree the leaf that a sample comes to, put together by target."""
    rows = x if x.dtype == torch.float64 else x.float()
    mode = torch.as_tensor(nodes_modes).long()
    nodes, leaves = len(mode), len(leaf_weights)
    same_length(nodes, nodes_splits, nodes_featureids, nodes_truenodeids, nodes_falsenodeids, nodes_trueleafs)
    same_length(leaves, leaf_targetids)
    how = one_of(aggregate_function, _AGGREGATES)
    trees = Trees(
        roots=torch.tensor(list(tree_roots), dtype=torch.int64),
        mode=torch.cat([mode, torch.full((leaves,), LEAF)]),
        feature=_longer(nodes_featureids, leaves),
        split=torch.cat([numbers(nodes_splits, rows), rows.new_zeros(leaves)]),
        if_true=_longer(
            [i + nodes * bool(leaf) for i, leaf in zip(nodes_truenodeids, nodes_trueleafs, strict=True)], leaves
        ),
        if_false=_longer(
            [i + nodes * bool(leaf) for i, leaf in zip(nodes_falsenodeids, nodes_falseleafs, strict=True)], leaves
        ),
        if_missing=_longer(nodes_missing_value_tracks_true or [0] * nodes, leaves).bool(),
        members=_members(mode, membership_values, rows, leaves),
    )
    votes = Votes(torch.arange(nodes, nodes + leaves), torch.tensor(list(leaf_targetids)), numbers(leaf_weights, rows))
    found, _ = votes.collected(trees.leaves(rows.detach()), nodes + leaves, n_targets, how)
    return _finished(found, one_of(post_transform, _TRANSFORMS)).to(x.dtype if x.is_floating_point() else rows.dtype)


@operator("TreeEnsembleRegressor", domain=MACHINE_LEARNING)
def tree_ensemble_regressor(
    x: Tensor,
    *,
    aggregate_function: str = "SUM",
    base_values: Values = (),
    base_values_as_tensor: Values | None = None,
    n_targets: int = 1,
    nodes_falsenodeids: Ids,
    nodes_featureids: Ids,
    nodes_hitrates: Values = (),  # noqa: ARG001 - for speed only
    nodes_hitrates_as_tensor: Values | None = None,  # noqa: ARG001
    nodes_missing_value_tracks_true: Ids = (),
    nodes_modes: Sequence[str],
    nodes_nodeids: Ids,
    nodes_treeids: Ids,
    nodes_truenodeids: Ids,
    nodes_values: Values = (),
    nodes_values_as_tensor: Values | None = None,
    post_transform: str = "NONE",
    target_ids: Ids,
    target_nodeids: Ids,
    target_treeids: Ids,
    target_weights: Values = (),
    target_weights_as_tensor: Values | None = None,
) -> Tensor:
    """(B, features) → (B, targets): of each tree the leaf's votes, put together by target, and the base values."""
    rows = matrix(x)
    ids = Identities(nodes_treeids, nodes_nodeids)
    trees = ids.trees(
        nodes_modes, nodes_featureids, numbers(either(nodes_values_as_tensor, nodes_values), rows),
        nodes_truenodeids, nodes_falsenodeids, nodes_missing_value_tracks_true,
    )  # fmt: skip
    weights = numbers(either(target_weights_as_tensor, target_weights), rows)
    votes = ids.votes(target_treeids, target_nodeids, target_ids, weights)
    found, _ = votes.collected(trees.leaves(rows.detach()), len(ids), n_targets, aggregate_function)
    base = numbers(either(base_values_as_tensor, base_values), rows)
    if base.numel() not in (0, 1, n_targets):
        raise ValueError(f"{base.numel()} base values for {n_targets} targets")
    return _finished(found + base if base.numel() == n_targets else found, post_transform)


@operator("TreeEnsembleClassifier", domain=MACHINE_LEARNING)
def tree_ensemble_classifier(
    x: Tensor,
    *,
    base_values: Values = (),
    base_values_as_tensor: Values | None = None,
    class_ids: Ids,
    class_nodeids: Ids,
    class_treeids: Ids,
    class_weights: Values = (),
    class_weights_as_tensor: Values | None = None,
    classlabels_int64s: Ids | None = None,
    classlabels_strings: Sequence[str] | None = None,
    nodes_falsenodeids: Ids,
    nodes_featureids: Ids,
    nodes_hitrates: Values = (),  # noqa: ARG001 - for speed only
    nodes_hitrates_as_tensor: Values | None = None,  # noqa: ARG001
    nodes_missing_value_tracks_true: Ids = (),
    nodes_modes: Sequence[str],
    nodes_nodeids: Ids,
    nodes_treeids: Ids,
    nodes_truenodeids: Ids,
    nodes_values: Values = (),
    nodes_values_as_tensor: Values | None = None,
    post_transform: str = "NONE",
) -> tuple[Any, Tensor]:
    """(B, features) → labels (B,) and scores (B, classes): the sum of the leaves' votes, and the base values.

    Where all votes are for one of two classes they are its score, a probability if none is negative.
    """
    rows = matrix(x)
    labels = labels_of(classlabels_int64s, classlabels_strings)
    ids = Identities(nodes_treeids, nodes_nodeids)
    trees = ids.trees(
        nodes_modes, nodes_featureids, numbers(either(nodes_values_as_tensor, nodes_values), rows),
        nodes_truenodeids, nodes_falsenodeids, nodes_missing_value_tracks_true,
    )  # fmt: skip
    weights = numbers(either(class_weights_as_tensor, class_weights), rows)
    votes = ids.votes(class_treeids, class_nodeids, class_ids, weights)
    found, voted = votes.collected(trees.leaves(rows.detach()), len(ids), len(labels), "SUM")
    base = numbers(either(base_values_as_tensor, base_values), rows)
    positive = bool((weights >= 0).all())
    if len(labels) <= 2 and len(set(class_ids)) == 1:
        voted_for = min(class_ids[0], base.numel() - 1)
        score = found.sum(-1, keepdim=True) + (base[voted_for] if base.numel() else 0.0)
        ahead = score.detach()[:, 0] > (0.5 if positive else 0.0)
        return yes_or_no(labels, ahead), both_classes(score, post_transform, probability=positive)
    found = found + base if base.numel() == len(labels) else found
    standing = voted | (base.numel() == len(labels))
    best = found.detach().masked_fill(~standing, -torch.inf).argmax(-1)
    return chosen(labels, best), transformed(found, post_transform)


def _longer(values: Sequence[int], zeros: int) -> Tensor:
    return torch.cat([torch.tensor(list(values), dtype=torch.int64), torch.zeros(zeros, dtype=torch.int64)])


def _members(mode: Tensor, values: Values | None, like: Tensor, leaves: int) -> Tensor | None:
    """For each node what its feature may be: sets in the order of the nodes of that mode, each ended by NaN."""
    if values is None or not (mode == MEMBER).any():
        return None
    found = numbers(values, like)
    ends = found.isnan().nonzero()[:, 0].tolist()
    starts = [0, *(end + 1 for end in ends)]
    sets = [found[start:end] for start, end in zip(starts, ends, strict=False)]
    places = (mode == MEMBER).nonzero()[:, 0]
    if len(sets) != len(places):
        raise ValueError(f"{len(sets)} sets of members for {len(places)} nodes that ask for one")
    table = found.new_full((len(mode) + leaves, max(map(len, sets))), torch.nan)
    for place, members in zip(places.tolist(), sets, strict=True):
        table[place, : len(members)] = members
    return table


def _finished(scores: Tensor, transform: str) -> Tensor:
    """A single target goes without a transform, but for PROBIT."""
    return transformed(scores, transform if scores.shape[1] > 1 or transform == "PROBIT" else "NONE")
