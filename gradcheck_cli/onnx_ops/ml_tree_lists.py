"""Trees as the first versions of ``ai.onnx.ml`` write them down: parallel lists, in which (tree, node) names a node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gradcheck_cli.onnx_ops.ml_scores import Values
from gradcheck_cli.onnx_ops.ml_trees import LEAF, MODES, Trees, Votes

Ids = Sequence[int]


class Identities:
    """The nodes of several trees as (tree, node) and as positions in the list of all."""

    def __init__(self, trees: Ids, nodes: Ids) -> None:
        same_length(len(nodes), trees)
        self._tree = torch.tensor(list(trees), dtype=torch.int64)
        self._base = 1 + max(0, *nodes) if nodes else 1
        self._keys, self._order = self._key(self._tree, nodes).sort()

    def __len__(self) -> int:
        return len(self._tree)

    def _key(self, trees: Tensor, nodes: Any) -> Tensor:
        return trees * self._base + torch.as_tensor(nodes, dtype=torch.int64)

    def positions(self, trees: Any, nodes: Ids) -> Tensor:
        """Where the nodes are. Raises ValueError for one that is not there."""
        same_length(len(nodes), trees)
        if nodes and not 0 <= min(nodes) <= max(nodes) < self._base:
            raise ValueError("a tree names a node that it does not have")
        key = self._key(torch.as_tensor(trees, dtype=torch.int64), list(nodes))
        place = torch.searchsorted(self._keys, key).clamp(max=max(len(self._keys) - 1, 0))
        if len(key) and not (len(self._keys) and (self._keys[place] == key).all()):
            raise ValueError("a tree names a node that it does not have")
        return self._order[place]

    def trees(
        self, modes: Sequence[str], features: Ids, splits: Tensor, if_true: Ids, if_false: Ids, missing: Ids
    ) -> Trees:
        """All trees; the root of each is its node that is nobody's child."""
        same_length(len(self), modes, features, splits, if_true, if_false)
        mode = torch.tensor([MODES.index(one_of(name, MODES)) for name in modes], dtype=torch.int64)
        inner = (mode != LEAF).nonzero()[:, 0]
        children = []
        for nodes in (if_true, if_false):
            child = torch.arange(len(self))
            child[inner] = self.positions(self._tree[inner], [nodes[i] for i in inner.tolist()])
            children.append(child)
        root = torch.ones(len(self), dtype=torch.bool)
        root[torch.cat([child[inner] for child in children])] = False
        roots = root.nonzero()[:, 0]
        if len(roots) != len(set(self._tree.tolist())):
            raise ValueError("there is not just one root in each tree")
        feature = torch.tensor(list(features), dtype=torch.int64)
        if_missing = torch.tensor(list(missing) or [0] * len(self)).bool()
        return Trees(roots, mode, feature, splits, children[0], children[1], if_missing)

    def votes(self, trees: Ids, nodes: Ids, targets: Ids, weights: Tensor) -> Votes:
        """One vote for each of the parallel lists."""
        same_length(len(nodes), targets, weights)
        return Votes(self.positions(trees, nodes), torch.tensor(list(targets), dtype=torch.int64), weights)


def either(as_tensor: Values | None, values: Values) -> Values:
    """The one of two attributes that is there: a tensor, or a list."""
    return values if as_tensor is None else as_tensor


def one_of(choice: Any, names: Sequence[str]) -> str:
    """The name that an attribute chooses, by itself or by its number. Raises ValueError for any other."""
    if isinstance(choice, int) and 0 <= choice < len(names):
        return names[choice]
    if choice in names:
        return str(choice)
    raise ValueError(f"{choice!r} is none of {', '.join(names)}")


def same_length(length: int, *lists: Any) -> None:
    """Raises ValueError for a list of another length."""
    if any(len(each) != length for each in lists):
        raise ValueError("the lists that describe the trees are not of one length")
