"""Multilayer perceptrons, graphs, sets, metric learning, hypernetworks and other shapes of net."""
# mypy: disable-error-code="no-any-return"
# (torch types the result of calling a module as Any)

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .zoo import Built, family


def mlp() -> Built:
    net = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 5))
    return net, (torch.randn(16, 20),)


def self_normalising_mlp() -> Built:
    layers: list[nn.Module] = []
    for inside in (20, 32, 32, 32, 32, 32):
        linear = nn.Linear(inside, 32)
        nn.init.kaiming_normal_(linear.weight, nonlinearity="linear")
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.SELU(), nn.AlphaDropout(0.05)]
    return nn.Sequential(*layers, nn.Linear(32, 5)), (torch.randn(16, 20),)


class Highway(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.transform = nn.Linear(width, width)
        self.gate = nn.Linear(width, width)
        nn.init.constant_(self.gate.bias, -2.0)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.gate(x))
        return gate * F.relu(self.transform(x)) + (1 - gate) * x


def highway() -> Built:
    return nn.Sequential(nn.Linear(20, 32), *(Highway(32) for _ in range(8)), nn.Linear(32, 5)), (torch.randn(16, 20),)


class GraphConvolution(nn.Module):
    """Dense message passing: nodes ``(N, features)``, adjacency ``(N, N)``."""

    def __init__(self) -> None:
        super().__init__()
        self.lin1 = nn.Linear(8, 16)
        self.lin2 = nn.Linear(16, 16)
        self.lin3 = nn.Linear(16, 3)

    def forward(self, nodes: Tensor, adjacency: Tensor) -> Tensor:
        loops = adjacency + torch.eye(len(nodes))
        scale = loops.sum(1).rsqrt()
        spread = scale[:, None] * loops * scale
        x = F.relu(spread @ self.lin1(nodes))
        x = F.relu(spread @ self.lin2(x))
        return spread @ self.lin3(x)


class GraphAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(8, 16, bias=False)
        self.source = nn.Parameter(0.3 * torch.randn(16, 1))
        self.target = nn.Parameter(0.3 * torch.randn(16, 1))
        self.out = nn.Linear(16, 3)

    def forward(self, nodes: Tensor, adjacency: Tensor) -> Tensor:
        x = self.lin(nodes)
        score = F.leaky_relu(x @ self.source + (x @ self.target).T, 0.2)
        score = score.masked_fill(adjacency + torch.eye(len(nodes)) == 0, float("-inf"))
        return self.out(F.elu(score.softmax(1) @ x))


def _graph(nodes: int = 24) -> tuple[Tensor, Tensor]:
    edges = torch.triu((torch.rand(nodes, nodes) < 0.2).float(), 1)
    return torch.randn(nodes, 8), edges + edges.T


def graph_convolution() -> Built:
    return GraphConvolution(), _graph()


def graph_attention() -> Built:
    return GraphAttention(), _graph()


class Siamese(nn.Module):
    """One encoder for both inputs; their distance comes out."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 16))

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return F.pairwise_distance(self.encoder(left), self.encoder(right))


def siamese() -> Built:
    return Siamese(), (torch.randn(16, 20), torch.randn(16, 20))


class Hypernetwork(nn.Module):
    """A net that makes the weights of another one from a condition."""

    def __init__(self) -> None:
        super().__init__()
        self.hyper = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 20 * 8 + 8))
        self.out = nn.Linear(8, 3)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        made = self.hyper(condition)
        weight, bias = made[:, :160].view(-1, 8, 20), made[:, 160:]
        hidden = torch.tanh(torch.einsum("boi,bi->bo", weight, x) + bias)
        return self.out(hidden)


def hypernetwork() -> Built:
    return Hypernetwork(), (torch.randn(16, 20), torch.randn(16, 4))


class PointNet(nn.Module):
    """Deep sets: the same net for every element, then a maximum or a mean."""

    def __init__(self, pool: str) -> None:
        super().__init__()
        self.pool = pool
        self.phi = nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())
        self.rho = nn.Sequential(nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 5))

    def forward(self, points: Tensor) -> Tensor:
        features = self.phi(points)
        pooled = features.amax(1) if self.pool == "max" else features.mean(1)
        return self.rho(pooled)


def deep_sets() -> Built:
    return PointNet("mean"), (torch.randn(8, 15, 3),)


def point_net() -> Built:
    return PointNet("max"), (torch.randn(8, 15, 3),)


class Capsules(nn.Module):
    """Two rounds of routing by agreement between capsules of length under 1."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 5, 2)
        self.weight = nn.Parameter(0.3 * torch.randn(72, 5, 8, 6))

    @staticmethod
    def squash(x: Tensor) -> Tensor:
        square = x.pow(2).sum(-1, keepdim=True)
        return square / (1 + square) * x * torch.rsqrt(square + 1e-8)

    def forward(self, x: Tensor) -> Tensor:
        primary = self.squash(F.relu(self.conv(x)).reshape(len(x), 72, 8))
        votes = torch.einsum("bid,icde->bice", primary, self.weight)
        logits = votes.new_zeros(votes.shape[:3])
        for _ in range(2):
            out = self.squash((logits.softmax(2)[..., None] * votes).sum(1))
            logits = logits + (votes * out[:, None]).sum(-1)
        return out.norm(dim=-1)


def capsules() -> Built:
    return Capsules(), (torch.randn(8, 3, 16, 16),)


class FactorisationMachine(nn.Module):
    """A recommender: ids and numbers in, pairwise products and a small net (DLRM-like)."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(rows, width) for rows in (20, 30, 10))
        self.bottom = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, width), nn.ReLU())
        self.top = nn.Sequential(nn.Linear(width + 6, 16), nn.ReLU(), nn.Linear(16, 1), nn.Sigmoid())

    def forward(self, ids: Tensor, numbers: Tensor) -> Tensor:
        dense = self.bottom(numbers)
        vectors = torch.stack([dense, *(table(ids[:, i]) for i, table in enumerate(self.tables))], 1)
        rows, columns = torch.triu_indices(4, 4, 1)
        products = (vectors @ vectors.transpose(1, 2))[:, rows, columns]
        return self.top(torch.cat([dense, products], 1)).squeeze(1)


def recommender() -> Built:
    return FactorisationMachine(), (torch.randint(0, 10, (32, 3)), torch.randn(32, 4))


class RadianceField(nn.Module):
    """NeRF-like: positions as sines, a skip of the input into the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("bands", 2.0 ** torch.arange(4))
        self.first = nn.Sequential(nn.Linear(24, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())
        self.second = nn.Sequential(nn.Linear(56, 32), nn.ReLU(), nn.Linear(32, 4))

    def forward(self, points: Tensor) -> tuple[Tensor, Tensor]:
        angle = (points[..., None] * self.get_buffer("bands")).flatten(-2)
        encoded = torch.cat([angle.sin(), angle.cos()], -1)
        out = self.second(torch.cat([encoded, self.first(encoded)], -1))
        return torch.sigmoid(out[..., :3]), F.softplus(out[..., 3])


def radiance_field() -> Built:
    return RadianceField(), (torch.rand(32, 3),)


class NeuralODE(nn.Module):
    """One small net as the derivative, integrated by Runge-Kutta over four steps."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.inlet = nn.Linear(20, width)
        self.derivative = nn.Sequential(nn.Linear(width, 32), nn.Tanh(), nn.Linear(32, width))
        self.outlet = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        y, h = self.inlet(x), 0.25
        for _ in range(4):
            k1 = self.derivative(y)
            k2 = self.derivative(y + h / 2 * k1)
            k3 = self.derivative(y + h / 2 * k2)
            k4 = self.derivative(y + h * k3)
            y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return self.outlet(y)


def neural_ode() -> Built:
    return NeuralODE(), (torch.randn(16, 20),)


class ActorCritic(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh())
        self.actor = nn.Linear(32, 4)
        self.critic = nn.Linear(32, 1)
        nn.init.orthogonal_(self.actor.weight, 0.01)

    def forward(self, state: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(state)
        return self.actor(features), self.critic(features).squeeze(-1)


def actor_critic() -> Built:
    return ActorCritic(), (torch.randn(16, 8),)


OTHERS = family(
    mlp, self_normalising_mlp, highway, graph_convolution, graph_attention, siamese, hypernetwork, deep_sets,
    point_net, capsules, recommender, radiance_field, neural_ode, actor_critic,
)  # fmt: skip
