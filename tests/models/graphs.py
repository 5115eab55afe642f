"""Nets on graphs, sets and atoms: nodes ``(N, features)``, edges ``(2, E)`` of node numbers, or a dense adjacency."""
# mypy: disable-error-code="no-any-return"
# (torch types the result of calling a module as Any)

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .zoo import Built, family

NODES = 12


def edges(count: int = 40) -> Tensor:
    return torch.randint(0, NODES, (2, count))


def gather(messages: Tensor, at: Tensor, nodes: int) -> Tensor:
    """Sum the messages ``(E, C)`` at their nodes: ``(N, C)``."""
    return messages.new_zeros(nodes, messages.shape[1]).index_add(0, at, messages)


class SparseConvolution(nn.Module):
    """Kipf and Welling's, over a list of edges."""

    def __init__(self, inside: int, width: int) -> None:
        super().__init__()
        self.lin = nn.Linear(inside, width, bias=False)
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        loops = torch.arange(len(x)).expand(2, -1)
        source, target = torch.cat([edge_index, loops], 1)
        scale = torch.bincount(target, minlength=len(x)).to(x.dtype).clamp(min=1).rsqrt()
        x = self.lin(x)
        return gather(x[source] * (scale[source] * scale[target])[:, None], target, len(x)) + self.bias


class SparseGraphNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = SparseConvolution(8, 16), SparseConvolution(16, 3)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.conv2(F.relu(self.conv1(x, edge_index)), edge_index)


def sparse_graph_convolution() -> Built:
    return SparseGraphNet(), (torch.randn(NODES, 8), edges())


class GraphIsomorphism(nn.Module):
    """GIN: sums of neighbours through a small net; one vector for each graph in the batch."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.nets = nn.ModuleList(
            nn.Sequential(nn.Linear(inside, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width))
            for inside in (8, width)
        )
        self.eps = nn.Parameter(torch.zeros(2))
        self.head = nn.Linear(width, 3)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        for net, eps in zip(self.nets, self.eps, strict=True):
            x = F.relu(net((1 + eps) * x + gather(x[edge_index[0]], edge_index[1], len(x))))
        return self.head(gather(x, batch, int(batch.max()) + 1))


def graph_isomorphism() -> Built:
    return GraphIsomorphism(), (torch.randn(NODES, 8), edges(), torch.arange(NODES) // 4)


class Sage(nn.Module):
    """Means of neighbours beside the node's own features."""

    def __init__(self) -> None:
        super().__init__()
        self.own1, self.near1 = nn.Linear(8, 16), nn.Linear(8, 16, bias=False)
        self.own2, self.near2 = nn.Linear(16, 3), nn.Linear(16, 3, bias=False)

    @staticmethod
    def mean(x: Tensor, edge_index: Tensor) -> Tensor:
        degree = gather(x.new_ones(edge_index.shape[1], 1), edge_index[1], len(x)).clamp(min=1)
        return gather(x[edge_index[0]], edge_index[1], len(x)) / degree

    def forward(self, feats: Tensor, edges: Tensor) -> Tensor:
        x = F.relu(self.own1(feats) + self.near1(self.mean(feats, edges)))
        return self.own2(x) + self.near2(self.mean(x, edges))


def graph_sage() -> Built:
    return Sage(), (torch.randn(NODES, 8), edges())


class EdgeNet(nn.Module):
    """Messages from both ends and the edge's own features."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.node, self.edge = nn.Linear(8, width), nn.Linear(4, width)
        self.message = nn.Sequential(nn.Linear(3 * width, width), nn.ReLU(), nn.Linear(width, width))
        self.update = nn.GRUCell(width, width)
        self.head = nn.Linear(width, 2)

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        h, e = self.node(x), self.edge(edge_attr)
        source, target = edge_index
        for _ in range(2):
            message = self.message(torch.cat([h[source], h[target], e], 1))
            h = self.update(gather(message, target, len(h)), h)
        return self.head(h)


def message_passing() -> Built:
    return EdgeNet(), (torch.randn(NODES, 8), edges(), torch.randn(40, 4))


class Equivariant(nn.Module):
    """EGNN: features and positions of atoms are updated together, by distances alone."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.embed = nn.Linear(5, width)
        self.edge = nn.Sequential(nn.Linear(2 * width + 1, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.node = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, width))
        self.shift = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1, bias=False))
        self.head = nn.Linear(width, 1)

    def forward(self, h: Tensor, pos: Tensor, edge_index: Tensor) -> tuple[Tensor, Tensor]:
        h = self.embed(h)
        source, target = edge_index
        apart = pos[target] - pos[source]
        square = apart.square().sum(1, keepdim=True)
        message = self.edge(torch.cat([h[source], h[target], square], 1))
        pos = pos + gather(apart / (square + 1).sqrt() * self.shift(message), target, len(pos))
        h = h + self.node(torch.cat([h, gather(message, target, len(h))], 1))
        return self.head(h), pos


def equivariant_graph() -> Built:
    return Equivariant(), (torch.randn(NODES, 5), torch.randn(NODES, 3), edges())


class ContinuousFilter(nn.Module):
    """SchNet: atomic numbers and positions; filters are made from distances, the energy is a sum over atoms."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, width, padding_idx=0)
        self.filter = nn.Sequential(nn.Linear(8, width), nn.Softplus(), nn.Linear(width, width))
        self.inlet = nn.Linear(width, width, bias=False)
        self.outlet = nn.Sequential(nn.Linear(width, width), nn.Softplus(), nn.Linear(width, width))
        self.energy = nn.Sequential(nn.Linear(width, 8), nn.Softplus(), nn.Linear(8, 1))

    def forward(self, z: Tensor, pos: Tensor) -> Tensor:
        x = self.embedding(z)
        distance = (torch.cdist(pos, pos) + torch.eye(pos.shape[-2]))[..., None]
        bases = torch.exp(-4.0 * (distance - torch.linspace(0, 4, 8)).square())
        messages = (self.filter(bases) * self.inlet(x)[..., None, :, :]).sum(-2)
        return self.energy(x + self.outlet(messages)).sum(-2)


def continuous_filter() -> Built:
    return ContinuousFilter(), (torch.randint(1, 20, (4, NODES)), torch.randn(4, NODES, 3))


class DenseGraphTransformer(nn.Module):
    """A batch of graphs: nodes ``(B, N, features)``, adjacency ``(B, N, N)`` as a bias of the attention."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.inlet = nn.Linear(8, width)
        self.qkv = nn.Linear(width, 3 * width)
        self.bias = nn.Parameter(torch.ones(()))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 3)

    def forward(self, x: Tensor, adj: Tensor) -> Tensor:
        x = self.inlet(x)
        q, k, v = self.qkv(self.norm(x)).chunk(3, -1)
        score = q @ k.transpose(1, 2) * q.shape[-1] ** -0.5 + self.bias * adj
        return self.head((x + score.softmax(-1) @ v).mean(1))


def dense_graph_transformer() -> Built:
    return DenseGraphTransformer(), (torch.randn(4, NODES, 8), (torch.rand(4, NODES, NODES) < 0.3).float())


class SetAttention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.feed = nn.Linear(width, width)

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        x = self.norm1(queries + self.attention(queries, keys, keys)[0])
        return self.norm2(x + F.relu(self.feed(x)))


class SetTransformer(nn.Module):
    """Induced attention through a few learned points, pooling by a learned seed."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.inlet = nn.Linear(3, width)
        self.points = nn.Parameter(torch.randn(4, width))
        self.seed = nn.Parameter(torch.randn(1, width))
        self.squeeze, self.spread, self.pool = (SetAttention(width) for _ in range(3))
        self.head = nn.Linear(width, 5)

    def forward(self, points: Tensor) -> Tensor:
        x = self.inlet(points)
        x = self.spread(x, self.squeeze(self.points.expand(len(x), -1, -1), x))
        return self.head(self.pool(self.seed.expand(len(x), -1, -1), x).squeeze(1))


def set_transformer() -> Built:
    return SetTransformer(), (torch.randn(4, 10, 3),)


class KnowledgeGraph(nn.Module):
    """A score for each triple of head, relation and tail (DistMult)."""

    def __init__(self) -> None:
        super().__init__()
        self.entities, self.relations = nn.Embedding(30, 16), nn.Embedding(6, 16)

    def forward(self, head: Tensor, relation: Tensor, tail: Tensor) -> Tensor:
        return (self.entities(head) * self.relations(relation) * self.entities(tail)).sum(-1)


def knowledge_graph() -> Built:
    return KnowledgeGraph(), (torch.randint(0, 30, (32,)), torch.randint(0, 6, (32,)), torch.randint(0, 30, (32,)))


GRAPHS = family(
    sparse_graph_convolution, graph_isomorphism, graph_sage, message_passing, equivariant_graph, continuous_filter,
    dense_graph_transformer, set_transformer, knowledge_graph,
)  # fmt: skip
