"""Tables and recommenders: categories as integers, numbers as floats, mostly both at once."""
# mypy: disable-error-code="no-any-return"
# (torch types the result of calling a module as Any)

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .zoo import Built, family

ROWS = (20, 30, 10)


def categories(batch: int = 32) -> Tensor:
    return torch.stack([torch.randint(0, rows, (batch,)) for rows in ROWS], 1)


class NeuralFiltering(nn.Module):
    """NCF: a product and a net over the vectors of a user and an item."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.user_product, self.item_product = nn.Embedding(30, width), nn.Embedding(40, width)
        self.user_net, self.item_net = nn.Embedding(30, width), nn.Embedding(40, width)
        self.net = nn.Sequential(nn.Linear(2 * width, 16), nn.ReLU(), nn.Linear(16, width), nn.ReLU())
        self.out = nn.Linear(2 * width, 1)

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        product = self.user_product(user) * self.item_product(item)
        deep = self.net(torch.cat([self.user_net(user), self.item_net(item)], 1))
        return self.out(torch.cat([product, deep], 1)).squeeze(1)


def neural_filtering() -> Built:
    return NeuralFiltering(), (torch.randint(0, 30, (32,)), torch.randint(0, 40, (32,)))


class DeepFM(nn.Module):
    """One table for all fields, first and second order, and a deep part."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.register_buffer("offsets", torch.tensor([0, 20, 50]))
        self.vectors, self.linear = nn.Embedding(sum(ROWS), width), nn.Embedding(sum(ROWS), 1)
        self.deep = nn.Sequential(nn.Linear(3 * width, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, x: Tensor) -> Tensor:
        ids = x + self.get_buffer("offsets")
        v = self.vectors(ids)
        second = (v.sum(1).square() - v.square().sum(1)).sum(1, keepdim=True) / 2
        return torch.sigmoid(self.linear(ids).sum(1) + second + self.deep(v.flatten(1))).squeeze(1)


def deep_fm() -> Built:
    return DeepFM(), (categories(),)


class DeepAndCross(nn.Module):
    """Explicit crosses of the features beside a deep net."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.crosses = nn.ModuleList(nn.Linear(width, width) for _ in range(3))
        self.deep = nn.Sequential(nn.Linear(width, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU())
        self.out = nn.Linear(width + 16, 1)

    def forward(self, features: Tensor) -> Tensor:
        x = features
        for cross in self.crosses:
            x = features * cross(x) + x
        return self.out(torch.cat([x, self.deep(features)], 1))


def deep_and_cross() -> Built:
    return DeepAndCross(), (torch.randn(32, 16),)


class Interest(nn.Module):
    """DIN: the history of a user, weighted by how well each item fits the candidate."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.items = nn.Embedding(40, width, padding_idx=0)
        self.fit = nn.Sequential(nn.Linear(4 * width, 16), nn.PReLU(), nn.Linear(16, 1))
        self.out = nn.Sequential(nn.Linear(2 * width, 16), nn.PReLU(), nn.Linear(16, 1))

    def forward(self, history: Tensor, candidate: Tensor) -> Tensor:
        past, new = self.items(history), self.items(candidate)
        near = new[:, None].expand_as(past)
        weights = self.fit(torch.cat([past, near, past - near, past * near], -1))
        return self.out(torch.cat([(weights * past).sum(1), new], 1)).squeeze(1)


def interest_network() -> Built:
    return Interest(), (torch.randint(1, 40, (16, 6)), torch.randint(1, 40, (16,)))


class TabTransformer(nn.Module):
    """Categories attend to each other; numbers join at the head."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(rows, width) for rows in ROWS)
        self.layer = nn.TransformerEncoderLayer(width, 4, 32, 0.0, batch_first=True)
        self.norm = nn.LayerNorm(4)
        self.head = nn.Sequential(nn.Linear(3 * width + 4, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, x_categ: Tensor, x_cont: Tensor) -> Tensor:
        tokens = torch.stack([table(x_categ[:, i]) for i, table in enumerate(self.tables)], 1)
        return self.head(torch.cat([self.layer(tokens).flatten(1), self.norm(x_cont)], 1))


def tab_transformer() -> Built:
    return TabTransformer(), (categories(), torch.randn(32, 4))


class FeatureTokens(nn.Module):
    """FT-Transformer on numbers: each its own vector, a class token reads."""

    def __init__(self, features: int = 6, width: int = 16) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(features, width) * width**-0.5)
        self.bias = nn.Parameter(torch.randn(features, width) * width**-0.5)
        self.cls = nn.Parameter(torch.randn(1, 1, width) * width**-0.5)
        self.layer = nn.TransformerEncoderLayer(width, 4, 32, 0.0, batch_first=True, norm_first=True)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, x_num: Tensor) -> Tensor:
        tokens = x_num[..., None] * self.weight + self.bias
        tokens = self.layer(torch.cat([self.cls.expand(len(x_num), -1, -1), tokens], 1))
        return self.head(tokens[:, 0])


def ft_transformer() -> Built:
    return FeatureTokens(), (torch.randn(32, 6),)


class TableBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width)
        self.lin1, self.lin2 = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.lin2(F.relu(self.lin1(self.norm(x))))


def tabular_resnet() -> Built:
    blocks = (TableBlock(24) for _ in range(4))
    return nn.Sequential(nn.Linear(10, 24), *blocks, nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 1)), (
        torch.randn(32, 10),
    )


class SoftTrees(nn.Module):
    """Neural oblivious trees: soft choices of features and thresholds, a response for each leaf."""

    def __init__(self, features: int = 10, trees: int = 8, depth: int = 3) -> None:
        super().__init__()
        self.choice = nn.Parameter(torch.rand(features, trees, depth))
        self.threshold = nn.Parameter(0.1 * torch.randn(trees, depth))
        self.response = nn.Parameter(torch.randn(trees, 2**depth))
        codes = torch.arange(2**depth)[:, None] >> torch.arange(depth) & 1
        self.register_buffer("codes", codes.float())

    def forward(self, x: Tensor) -> Tensor:
        value = torch.einsum("bf,ftd->btd", x, self.choice.softmax(0)) - self.threshold
        right = torch.sigmoid(value)[:, :, None]
        codes = self.get_buffer("codes")
        leaf = (codes * right + (1 - codes) * (1 - right)).prod(-1)
        return (leaf * self.response).sum(-1).mean(1)


def soft_trees() -> Built:
    return SoftTrees(), (torch.randn(32, 10),)


class WideAndDeep(nn.Module):
    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(rows, width) for rows in ROWS)
        self.wide = nn.Linear(4, 1)
        self.deep = nn.Sequential(nn.Linear(3 * width + 4, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        vectors = [table(categories[:, i]) for i, table in enumerate(self.tables)]
        return self.wide(numbers) + self.deep(torch.cat([numbers, *vectors], 1))


def wide_and_deep() -> Built:
    return WideAndDeep(), (torch.randn(32, 4), categories())


TABULAR = family(
    neural_filtering, deep_fm, deep_and_cross, interest_network, tab_transformer, ft_transformer, tabular_resnet,
    soft_trees, wide_and_deep,
)  # fmt: skip
