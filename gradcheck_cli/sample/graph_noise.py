"""Made-up graphs: the samples are the nodes, so that each of B has features, and edges run between them."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from gradcheck_cli.sample.noise import Noise

EDGES = 64
"""E, edges of a made-up graph."""


@dataclass(frozen=True)
class EdgeList(Noise):
    """Pairs of nodes ``(2, E)``: a ring, so that no node is alone, then random ones."""

    shape: tuple[int, ...] = (2, EDGES)
    batch_dim: int | None = None

    def _values(self, size: int, generator: torch.Generator) -> torch.Tensor:
        ring = torch.arange(self.shape[1]) % size
        edges = torch.stack([ring, (ring + 1) % size])
        edges[:, size:] = torch.randint(size, self.shape, generator=generator)[:, size:]
        return edges

    def __str__(self) -> str:
        return f"a ring and random edges of shape {self.shape}"


@dataclass(frozen=True)
class Adjacency(Noise):
    """Which nodes are neighbours, 0 or 1, symmetric, without loops: ``(B, B)``, or ``(B, N, N)`` where `shape` says N."""

    def _values(self, size: int, generator: torch.Generator) -> torch.Tensor:
        shape = (size, *self.shape) if self.shape else (size, size)
        nodes = shape[-1]
        edges = (torch.rand(shape, generator=generator) < 2 / max(nodes, 4)).triu(1)
        edges |= torch.eye(nodes, dtype=torch.bool).roll(1, -1).triu(1)
        return (edges | edges.transpose(-2, -1)).float()

    def __str__(self) -> str:
        return f"a random symmetric adjacency of shape ({', '.join(['B', *map(str, self.shape or ('B',))])})"
