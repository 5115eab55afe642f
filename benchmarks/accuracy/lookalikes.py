"""Healthy networks that look ill: every row of the method's list, several ways each.

Two thirds of these need no argument (the state is what practice starts or ends with); the rest state the algebra.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .cases import HEALTHY, Case, Problem, problem
from .injected_paths import LowRank
from .nets import data, plain, scaled, untouched
from .surgery import Fault, bias, broken, fill, times, zoo

Build = Callable[[], Problem]


def _healthy(name: str, build: Build, why: str, truth: str = "practice") -> Case:
    return Case(f"lookalikes/{name}", truth, build, HEALTHY, why)


# ------------------------------------------------------------------------------------------------------- loss and data


def _with_loss(
    scale: float = 1.0, target: float = 1.0, inputs: float = 1.0, dtype: torch.dtype = torch.float32
) -> Build:
    """A tanh net, so that even huge inputs silence nothing, with a scaled squared error."""

    def build() -> Problem:
        net = plain(3, activation=nn.ReLU).to(dtype)
        x = (inputs * data()).to(dtype)
        goal = (target * torch.randn(64, 5)).to(dtype)
        return problem(net, x, targets=[goal], loss=lambda out, y: scale * F.mse_loss(out, y), loss_name="mse")

    return build


def _converged(
    activation: Callable[[], nn.Module], depth: int, norm: Callable[[int], nn.Module] | None = None
) -> Build:
    def build() -> Problem:
        net = plain(depth, 32, activation, norm=norm)
        x, goal = data(32), torch.randint(0, 5, (32,))
        optimizer = torch.optim.Adam(net.parameters(), 5e-3)
        for _ in range(400):
            optimizer.zero_grad()
            F.cross_entropy(net(x), goal).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        net.zero_grad(set_to_none=True)
        return problem(net, x, targets=[goal], loss=F.cross_entropy, loss_name="cross-entropy")

    return build


def _fitted_exactly() -> Problem:
    """The target is what the net says: the loss and all its gradients are 0."""
    net = plain(3)
    x = data()
    return problem(net, x, targets=[net(x).detach()], loss=F.mse_loss, loss_name="mse")


def _losses() -> list[Case]:
    only_ratios = "a factor on the loss changes no ratio"
    found = [
        _healthy(f"loss-times{scale:g}", _with_loss(scale), only_ratios, "theory")
        for scale in (1e-8, 1e-4, 65536.0, 1e10)
    ]
    found += [
        _healthy(f"targets-times{size:g}", _with_loss(target=size), only_ratios, "theory") for size in (1e4, 1e-4)
    ]
    found += [
        _healthy(
            f"inputs-times{size:g}",
            _with_loss(inputs=size),
            "a bias-free start is linear in its inputs' size",
            "theory",
        )
        for size in (1e-3, 1e3)
    ]
    found.append(_healthy("float64", _with_loss(dtype=torch.float64), "only the precision differs", "theory"))
    found += [
        _healthy("converged-relu", _converged(nn.ReLU, 3), "learned its sample"),
        _healthy("converged-tanh", _converged(nn.Tanh, 2), "learned its sample"),
        _healthy("converged-gelu-norm", _converged(nn.GELU, 4, nn.LayerNorm), "learned its sample"),
        _healthy("converged-batch-norm", _converged(nn.ReLU, 4, nn.BatchNorm1d), "learned its sample"),
        _healthy("fitted-exactly", _fitted_exactly, "the loss is 0, and so are all its gradients", "construction"),
    ]
    return found


# --------------------------------------------------------------------------------------------------------- zeros, gates


class ReZero(nn.Module):
    """x + α·f(x) with α = 0 (Bachlechner 2020), or a LayerScale vector."""

    def __init__(self, depth: int, start: float, vector: bool) -> None:
        super().__init__()
        self.stem = nn.Linear(20, 32)
        self.branches = nn.ModuleList(
            nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32)) for _ in range(depth)
        )
        self.alphas = nn.ParameterList(torch.full((32,) if vector else (1,), start) for _ in range(depth))
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 20) → (B, 5)."""
        x = self.stem(x)
        for branch, alpha in zip(self.branches, self.alphas, strict=True):
            x = x + alpha * branch(x)
        out: Tensor = self.head(x)
        return out


def _frozen(name: str, *prefixes: str) -> Build:
    def freeze(net: nn.Module) -> None:
        for path, parameter in net.named_parameters():
            if path.startswith(prefixes):
                parameter.requires_grad_(False)

    return broken(name, freeze)


def _all_frozen(net: nn.Module) -> None:
    net.requires_grad_(False)


def _zero_blocks(*paths: str) -> Fault:
    def fault(net: nn.Module) -> None:
        for path, parameter in net.named_parameters():
            if any(path.endswith(end) for end in paths):
                nn.init.zeros_(parameter)

    return fault


def _rezero(depth: int, start: float, vector: bool) -> Build:
    return lambda: problem(ReZero(depth, start, vector), data())


def _gates() -> list[Case]:
    opens = "the shutting parameter hears the output and opens in a step or two"
    zero_head = broken("vit", fill("head", 0.0), fill("head.bias", 0.0))
    found = [_healthy(f"rezero-depth{depth}", _rezero(depth, 0.0, False), opens) for depth in (4, 24)]
    found += [_healthy(f"layer-scale{start:g}", _rezero(12, start, True), opens) for start in (1e-6, 1e-5, 1e-4)]
    found += [
        _healthy("zero-head-vit", zero_head, opens),
        _healthy("zero-head-mlp", lambda: _zeroed(plain(4), "head"), opens, "theory"),
        _healthy("zero-head-cnn", broken("plain_cnn", fill("fc2", 0.0), fill("fc2.bias", 0.0)), opens),
        _healthy("zero-branches-gpt", broken("gpt", _zero_blocks("proj.weight", "mlp.2.weight")), opens),
        _healthy("zero-branches-llama", broken("llama", _zero_blocks("o_proj.weight", "down_proj.weight")), opens),
        _healthy("zero-last-gamma", broken("resnet", _zero_blocks("bn2.weight")), opens),
        _healthy("lora-b-zero", lambda: problem(LowRank(False), data()), opens, "theory"),
        _healthy(
            "head-gain-0.01",
            broken("actor_critic", times("actor", 0.01)),
            "policy heads start at gain 0.01 (PPO practice)",
        ),
        _healthy("head-gain-0.01-mlp", lambda: _scaled_head(0.01), "policy heads start at gain 0.01 (PPO practice)"),
        _healthy("frozen-backbone", _frozen("resnet", "conv1", "bn1", "layer1", "layer2"), "frozen on purpose"),
        _healthy("frozen-transformer", _frozen("gpt", "wte", "wpe", "h.0", "h.1"), "frozen on purpose"),
        _healthy("frozen-middle", _frozen("vit", "blocks.1"), "frozen on purpose"),
        _healthy("all-frozen", broken("resnet", _all_frozen), "saved for inference"),
        _healthy("head-only", _frozen("mlp", "0.", "2."), "linear probing: all but the head is frozen"),
    ]
    return found


def _zeroed(net: nn.Sequential, name: str) -> Problem:
    for parameter in net.get_submodule(name).parameters():
        nn.init.zeros_(parameter)
    return problem(net, data())


def _scaled_head(gain: float) -> Problem:
    net = plain(2, 64, nn.Tanh, initialise=lambda layer: nn.init.orthogonal_(layer.weight, math.sqrt(2)))
    net.get_submodule("head").get_parameter("weight").data.mul_(gain / math.sqrt(2))
    return problem(net, data())


# --------------------------------------------------------------------------------------------------- parts not reached


class TopK(nn.Module):
    """k-winners-take-all (Makhzani 2013)."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C) → (B, C), all but the 10 % largest of each sample set to 0."""
        edge = x.topk(max(1, x.shape[1] // 10), 1).values[:, -1:]
        return torch.where(x >= edge, x, torch.zeros_like(x))


class Tagger(nn.Module):
    """An embedding of many words of which a sample shows few, padding, and a tied head if asked."""

    def __init__(self, words: int, std: float, tied: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, 32, padding_idx=0)
        nn.init.normal_(self.embedding.weight, std=std)
        self.hidden = nn.Linear(32, 32)
        self.norm = nn.LayerNorm(32)
        self.head = nn.Linear(32, words, bias=False)
        if tied:
            self.head.weight = self.embedding.weight

    def forward(self, ids: Tensor) -> Tensor:
        """(B, S) → (B, S, words)."""
        out: Tensor = self.head(self.norm(torch.relu(self.hidden(self.embedding(ids)))))
        return out


def _tagger(words: int = 1000, std: float = 1.0, tied: bool = False) -> Build:
    def build() -> Problem:
        ids = torch.randint(1, 40, (8, 12))
        ids[:, -4:] = 0
        return problem(Tagger(words, std, tied), ids)

    return build


def _parts() -> list[Case]:
    rows = "only rows that a token touched can get a gradient"
    found = [
        _healthy("untouched-rows", _tagger(), rows, "construction"),
        _healthy("untouched-rows-huge", _tagger(20000), rows, "construction"),
        _healthy("tied-embedding", _tagger(tied=True, std=0.02), rows),
        _healthy("embedding-std0.001", _tagger(std=1e-3), "small embeddings are usual"),
        _healthy("embedding-std0.02", _tagger(std=0.02), "BERT's and GPT's initialisation"),
        _healthy(
            "k-winners",
            lambda: problem(plain(3, 100, TopK), data(256)),
            "dead is per unit over all samples, not a share of zeros",
            "construction",
        ),
        _healthy(
            "k-winners-deep",
            lambda: problem(plain(5, 100, TopK, initialise=lambda layer: scaled(layer, 2.0)), data(256)),
            "dead is per unit, not a share of zeros",
            "construction",
        ),
    ]
    for share in (0.5, 0.9):
        drop = lambda p=share: problem(plain(3, 128, lambda: nn.Sequential(nn.ReLU(), nn.Dropout(p))), data(256))  # noqa: E731
        found.append(_healthy(f"dropout{share}", drop, "dropped units come back in the next step"))
    found += [
        _healthy(f"experts-batch{batch}", _experts(batch), "an expert that got no token is not ill")
        for batch in (1, 2, 8)
    ]
    return found


def _experts(batch: int) -> Build:
    def build() -> Problem:
        net, (ids,) = zoo("mixture_of_experts")
        return problem(net, ids[:batch])

    return build


# ------------------------------------------------------------------------------------------------- few, narrow, rescaled


def _pair(first: float, second: float, activation: Callable[[], nn.Module] = nn.ReLU) -> Build:
    def build() -> Problem:
        net = plain(5, activation=activation)
        for name, factor in (("linear2", first), ("linear3", second)):
            net.get_submodule(name).get_parameter("weight").data.mul_(factor)
        return problem(net, data())

    return build


def _sizes() -> list[Case]:
    undone = "ReLU is homogeneous and the biases are zero: the two factors cancel exactly in values and in T·‖y‖"
    found = [
        _healthy(f"times{a:g}-then-times{b:g}", _pair(a, b), undone, "theory")
        for a, b in ((1e3, 1e-3), (1e-3, 1e3), (1e5, 1e-5), (1e-5, 1e5))
    ]
    found += [
        _healthy(
            f"samples{count}-{name}", _few(name, count), "a unit silent on so few samples proves nothing", "theory"
        )
        for count in (1, 2, 4)
        for name in ("mlp", "gpt", "plain_cnn")
    ]
    for width, depth in ((8, 3), (4, 3), (8, 6), (3, 2), (6, 4)):
        for seed in range(2):
            found.append(
                _healthy(
                    f"narrow-width{width}-depth{depth}-seed{seed}",
                    _narrow(width, depth),
                    "narrow nets scatter; tanh cannot be born dead",
                    "theory",
                )
            )
    for depth, width in ((20, 64), (30, 64), (50, 64), (20, 256), (50, 128)):
        for seed in range(2):
            build = lambda d=depth, w=width: problem(plain(d, w, inputs=64), data(64, 64))  # noqa: E731
            found.append(
                _healthy(
                    f"he-relu-depth{depth}-width{width}-seed{seed}",
                    build,
                    "He: χ = 1 at any depth; chance silences units whose input hardly varies",
                    "theory",
                )
            )
    for depth in (2, 3):
        found.append(
            _healthy(
                f"sigmoid-depth{depth}",
                _sigmoid(depth),
                "two or three sigmoid layers have been trained since 1986",
            )
        )
    return found


def _sigmoid(depth: int) -> Build:
    return lambda: problem(plain(depth, 32, nn.Sigmoid, initialise=untouched), data())


def _few(name: str, count: int) -> Build:
    def build() -> Problem:
        net, (x,) = zoo(name)
        return problem(net, x[:count])

    return build


def _narrow(width: int, depth: int) -> Build:
    def build() -> Problem:
        return problem(plain(depth, width, nn.Tanh, inputs=4, outputs=2, initialise=untouched_xavier), data(64, 4))

    return build


def untouched_xavier(layer: nn.Linear) -> None:
    """Xavier's uniform, zero bias."""
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)


# ---------------------------------------------------------------------------------------------------------- ends, norms


def _ended(
    end: Callable[[], nn.Module],
    outputs: int,
    size: float = 1.0,
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Build:
    def build() -> Problem:
        net = plain(3, outputs=outputs)
        net.get_submodule("head").get_parameter("weight").data.mul_(size)
        layers = OrderedDict(net.named_children())
        layers["end"] = end()
        if loss is None:
            return problem(nn.Sequential(layers), data())
        goal = torch.randint(0, 2, (64, outputs)).float()
        return problem(nn.Sequential(layers), data(), targets=[goal], loss=loss, loss_name="bce")

    return build


def _norm_gpt(depth: int) -> Build:
    """GPT-2's own initialisation, deep."""

    def build() -> Problem:
        from models.attention import GPT

        return problem(GPT(width=48, depth=depth, heads=4), torch.randint(0, 50, (4, 16)))

    return build


class Bottleneck(nn.Module):
    """A small ResNet of many blocks, batch norm and skips."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(16, 16, 3, padding=1, bias=False),
                nn.BatchNorm2d(16),
                nn.ReLU(),
                nn.Conv2d(16, 16, 3, padding=1, bias=False),
                nn.BatchNorm2d(16),
            )
            for _ in range(blocks)
        )
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, 5)."""
        x = self.stem(x)
        for block in self.blocks:
            x = torch.relu(x + block(x))
        out: Tensor = self.head(x.mean((2, 3)))
        return out


def _resnet(blocks: int) -> Build:
    return lambda: problem(Bottleneck(blocks), torch.randn(4, 3, 8, 8))


def _others() -> list[Case]:
    ends = "the loss's logarithm undoes the slope of the last activation"
    found = [
        _healthy("ends-in-softmax", _ended(lambda: nn.Softmax(1), 10), ends, "theory"),
        _healthy("ends-in-softmax-sure", _ended(lambda: nn.Softmax(1), 10, 20.0), ends, "theory"),
        _healthy("ends-in-softmax-1000", _ended(lambda: nn.Softmax(1), 1000), ends, "theory"),
        _healthy("ends-in-sigmoid", _ended(nn.Sigmoid, 1, 1.0, F.binary_cross_entropy), ends, "theory"),
        _healthy("ends-in-sigmoid-sure", _ended(nn.Sigmoid, 1, 10.0), ends, "theory"),
        _healthy("ends-in-log-softmax", _ended(lambda: nn.LogSoftmax(1), 10), ends, "theory"),
        _healthy("ends-in-tanh", _ended(nn.Tanh, 3), "a bounded policy head"),
        _healthy(
            "structural-zero-biases",
            lambda: problem(plain(4, norm=nn.BatchNorm1d), data()),
            "the norm subtracts the bias again",
            "theory",
        ),
        _healthy("structural-zero-key-bias", broken("bert"), "softmax ignores what all keys share", "theory"),
        _healthy("bias-before-norm-large", lambda: _biased(30.0), "the norm subtracts the bias again", "theory"),
    ]
    found += [
        _healthy(f"gpt2-depth{depth}", _norm_gpt(depth), "GPT-2's published initialisation") for depth in (12, 24)
    ]
    found += [
        _healthy(
            f"resnet-blocks{blocks}",
            _resnet(blocks),
            "depth with skips and norms is what ResNets are",
        )
        for blocks in (12, 24)
    ]
    found += [
        _healthy(
            f"partly-dead{share}", partial(_partly, share), "fewer than half of the units never fire", "construction"
        )
        for share in (0.1, 0.25, 0.4)
    ]
    return found


def _biased(value: float) -> Problem:
    net = plain(4, norm=nn.BatchNorm1d)
    bias("linear2", value)(net)
    return problem(net, data())


def _partly(share: float) -> Problem:
    net = plain(4, 100)
    bias("linear1", -60.0, share)(net)
    return problem(net, data(256))


def cases() -> list[Case]:
    """All of the family."""
    return [*_losses(), *_gates(), *_parts(), *_sizes(), *_others()]
