"""Decision trees, all of an ensemble at once: from samples to leaves, and from the votes of leaves to targets.

A tree is a step function of its inputs, so they get no gradient; the votes of its leaves pass theirs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

LEQ, LT, GTE, GT, EQ, NEQ, MEMBER, LEAF = range(8)
MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER", "LEAF")


@dataclass(frozen=True)
class Trees:
    """Nodes of all trees in one list (N); a child is a position in it. Leaves are nodes too."""

    roots: Tensor
    """(T)."""
    mode: Tensor
    """(N): one of the constants above."""
    feature: Tensor
    split: Tensor
    """(N): what the feature is compared with."""
    if_true: Tensor
    if_false: Tensor
    if_missing: Tensor
    """(N) bool: whether NaN counts as true."""
    members: Tensor | None = None
    """(N, M): for nodes of the mode MEMBER, what the feature may be, filled up with NaN."""

    def leaves(self, x: Tensor) -> Tensor:
        """The leaf of each tree (B, T) for samples (B, features). Raises ValueError for what is no tree."""
        self._check(x.shape[1])
        node = self.roots.expand(len(x), -1)
        for _ in range(len(self.mode)):
            leaf = self.mode[node] == LEAF
            if leaf.all():
                return node
            node = torch.where(leaf, node, torch.where(self._holds(x, node), self.if_true[node], self.if_false[node]))
        if not (self.mode[node] == LEAF).all():
            raise ValueError("a path through a tree comes to no leaf")
        return node

    def _check(self, features: int) -> None:
        inner = self.mode != LEAF
        for name, index, size in (
            ("child", torch.cat([self.if_true[inner], self.if_false[inner], self.roots]), len(self.mode)),
            ("feature", self.feature[inner], features),
        ):
            if index.numel() and (int(index.min()) < 0 or int(index.max()) >= size):
                raise ValueError(f"a node of a tree has a {name} that does not exist")

    def _holds(self, x: Tensor, node: Tensor) -> Tensor:
        """Whether the condition of each node (B, T) holds."""
        feature = torch.where(self.mode[node] == LEAF, 0, self.feature[node])
        value = x.gather(1, feature)
        split, mode = self.split[node], self.mode[node]
        holds = value <= split
        for number, found in ((LT, value < split), (GTE, value >= split), (GT, value > split)):
            holds = torch.where(mode == number, found, holds)
        for number, found in ((EQ, value == split), (NEQ, value != split)):
            holds = torch.where(mode == number, found, holds)
        if self.members is not None:
            holds = torch.where(mode == MEMBER, (self.members[node] == value[..., None]).any(-1), holds)
        return torch.where(value.isnan(), self.if_missing[node] | (holds & (mode == NEQ)), holds)


@dataclass(frozen=True)
class Votes:
    """What leaves say: (V) votes, each a node's for a target."""

    node: Tensor
    target: Tensor
    weight: Tensor

    def collected(self, leaves: Tensor, nodes: int, targets: int, how: str) -> tuple[Tensor, Tensor]:
        """The votes of the leaves (B, T) by target (B, targets), and whether there was one.

        Args:
            leaves: of each tree for each sample.
            nodes: how many nodes there are.
            targets: how many targets.
            how: ``SUM``, ``AVERAGE`` over trees, ``MIN`` or ``MAX``; 0 where there is no vote.

        Raises:
            ValueError: a vote is for no target, or of no node; `how` is none of these.
        """
        if how not in ("SUM", "AVERAGE", "MIN", "MAX"):
            raise ValueError(f"aggregate_function {how!r} is none of SUM, AVERAGE, MIN and MAX")
        for name, index, size in (("target", self.target, targets), ("node", self.node, nodes)):
            if index.numel() and (int(index.min()) < 0 or int(index.max()) >= size):
                raise ValueError(f"a vote of a tree's leaf has a {name} that does not exist")
        batch, trees = leaves.shape
        vote, place = self._cast(leaves, nodes)
        place = torch.div(place, max(trees, 1), rounding_mode="floor") * targets + self.target[vote]
        weight = self.weight[vote]
        size = batch * targets
        voted = torch.zeros(size, dtype=torch.bool, device=leaves.device).index_fill(0, place, True)
        total = weight.new_zeros(size)
        if how in ("SUM", "AVERAGE"):
            total = total.index_add(0, place, weight)
            total = total / trees if how == "AVERAGE" else total
        else:
            reduction = "amin" if how == "MIN" else "amax"
            total = total.scatter_reduce(0, place, weight, reduction, include_self=False)
        return total.reshape(batch, targets), voted.reshape(batch, targets)

    def _cast(self, leaves: Tensor, nodes: int) -> tuple[Tensor, Tensor]:
        """Which votes are cast, and by which of the B·T leaves."""
        order = self.node.argsort(stable=True)
        count = torch.bincount(self.node, minlength=nodes)
        start = count.cumsum(0) - count
        flat = leaves.reshape(-1)
        repeats = count[flat]
        place = torch.repeat_interleave(torch.arange(len(flat), device=flat.device), repeats)
        within = torch.arange(len(place), device=flat.device) - (repeats.cumsum(0) - repeats)[place]
        return order[start[flat][place] + within], place
