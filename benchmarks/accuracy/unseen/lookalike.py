"""Healthy networks that look ill, in settings of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations

from .case import (
    Built,
    Proof,
    add,
    blobs,
    ce,
    images,
    learns,
    regress,
    series,
    tokens,
)
from .faults import Mutate, Straight, none
from .lookalike_nets import (
    ClipLike,
    Cosine,
    Deep,
    Densely,
    DetachedBranch,
    DropPath,
    FrozenBackbone,
    Highway,
    Implicit,
    LinearAttention,
    Ode,
    Packed,
    Pruned,
    Rbf,
    ScaledHead,
    SimSiam,
    SkipInit,
    Skips,
    TiedAuto,
    Triplet,
    Two,
    Vq,
    WaveNet,
    WithIds,
    plain,
    seq,
    triplets,
)
from .other import contrastive, picture, same, twins
from .other_structures import sets
from .vision import ResNet
from .vision_tokens import ViT


def case(
    name: str,
    why: str,
    make: Callable[[], nn.Module],
    data: Callable[[], Any] = blobs,
    proof: Proof | None = None,
    mutate: Mutate = none,
    **options: Any,
) -> None:
    """Register a healthy network."""

    def build() -> Built:
        net = make()
        mutate(net)
        return net, data(), {"loss": "cross-entropy"} | options

    add(f"lookalike/{name}", "healthy", "look-alike", why, proof or learns(0.15, 100), build)


case(
    "loss-tiny",
    "loss times 1e-7: only the scale, adam undoes it",
    plain,
    loss=lambda o, y: 1e-7 * F.cross_entropy(o, y),
    proof=learns(0.15, 100, "adam", 3e-3),
)
case(
    "loss-huge",
    "an AMP-like factor of 65536 on the loss, adam undoes it",
    plain,
    loss=lambda o, y: 65536.0 * F.cross_entropy(o, y),
    optimizer="adam",
    lr=1e-3,
)
case(
    "loss-sum",
    "sum reduction, a suitably small lr",
    plain,
    loss=lambda o, y: F.cross_entropy(o, y, reduction="sum"),
    lr=1e-3,
)
case(
    "sigmoid-output-bce",
    "sigmoid output with plain binary cross-entropy",
    lambda: seq(nn.Linear(8, 24), nn.ReLU(), nn.Linear(24, 1), nn.Sigmoid()),
    lambda: (regress()[0], (regress()[0][:, :1] > 0).float()),
    learns(0.02, 100),
    loss=F.binary_cross_entropy,
)
case("log-softmax-nll", "log-softmax and nll", lambda: seq(plain(), nn.LogSoftmax(-1)), loss="nll")
case(
    "bias-before-bn",
    "biases in front of batch norm have gradient zero",
    lambda: seq(
        nn.Linear(16, 32),
        nn.BatchNorm1d(32),
        nn.ReLU(),
        nn.Linear(32, 24),
        nn.BatchNorm1d(24),
        nn.Tanh(),
        nn.Linear(24, 4),
    ),
)
case(
    "dropout-90",
    "dropout of 90 % on a wide layer",
    lambda: seq(nn.Linear(16, 256), nn.ReLU(), nn.Dropout(0.9), nn.Linear(256, 4)),
    proof=learns(0.1, 150),
)
case(
    "one-hot-input",
    "sparse one-hot inputs, some columns never on",
    lambda: plain(40),
    lambda: (F.one_hot(torch.arange(64) % 28, 40).float(), torch.arange(64) % 4),
)
case(
    "constant-columns",
    "six of 16 input columns are always zero",
    plain,
    lambda: (blobs()[0] * (torch.arange(16) < 10), blobs()[1]),
)
case("few-samples", "six samples only", plain, lambda: blobs(6, 16, 2))
case(
    "k-winners",
    "only the eight largest of 64 units pass",
    lambda: seq(nn.Linear(16, 64), lambda h: h * (h >= h.topk(8, -1)[0][:, -1:]), nn.Linear(64, 4)),
)
case("pruned-90", "90 % of weights pruned to zero by a fixed mask", lambda: Pruned())
case("float64", "double precision throughout", lambda: plain().double(), lambda: (blobs()[0].double(), blobs()[1]))
case(
    "gumbel-hard",
    "hard Gumbel-softmax, straight-through",
    lambda: seq(
        nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8), lambda h: F.gumbel_softmax(h, hard=True), nn.Linear(8, 4)
    ),
    proof=learns(0.1, 300, lr=1e-2),
)
case(
    "binary-weights",
    "binary activations by a straight-through estimator",
    lambda: seq(nn.Linear(16, 48), Straight.apply, nn.Linear(48, 4)),
)
case(
    "fake-quant",
    "x + (round(x) - x).detach(): quantisation-aware training",
    lambda: seq(nn.Linear(16, 32), lambda h: h + ((h * 8).round() / 8 - h).detach(), nn.ReLU(), nn.Linear(32, 4)),
)
case(
    "simsiam",
    "one side is detached on purpose",
    lambda: SimSiam(),
    lambda: (blobs()[0], blobs()[0] + 0.3 * torch.randn(64, 16), blobs()[1]),
    learns(0.2, 100),
    loss=lambda o, _y: -0.5 * (F.cosine_similarity(o[0], o[3]).mean() + F.cosine_similarity(o[1], o[2]).mean()) + 1,
)
case(
    "vq-vae",
    "vector quantisation with a straight-through copy and a codebook loss",
    lambda: Vq(),
    same,
    learns(0.1, 150),
    loss=lambda o, y: F.mse_loss(o[0], y) + F.mse_loss(o[1], o[2].detach()) + 0.25 * F.mse_loss(o[1].detach(), o[2]),
)
case("stochastic-depth", "residual branches dropped at random, 30 %", lambda: DropPath())
case("tied-autoencoder", "decoder uses the encoder's weight transposed", lambda: TiedAuto(), same, loss="mse")
case("implicit", "fixed point found under no_grad, one differentiable step at the end", lambda: Implicit())
case("ode", "neural ODE, 20 Euler steps", lambda: Ode(), proof=learns(0.15, 60))
case(
    "int-output",
    "an integer prediction (argmax) beside the logits",
    lambda: WithIds(),
    loss=lambda o, y: F.cross_entropy(o["logits"], y),
)
case(
    "padding-row",
    "embedding with padding_idx, half of the tokens are padding",
    lambda: seq(
        nn.Embedding(20, 16, padding_idx=0), lambda h: h.mean(1), nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)
    ),
    lambda: (
        (torch.arange(64)[:, None] % 4 * 4 + torch.randint(1, 5, (64, 8))) * (torch.arange(8) < 4),
        torch.arange(64) % 4,
    ),
    learns(0.15, 150, lr=1e-2),
)
case(
    "packed",
    "packed sequences of unequal length",
    lambda: Packed(),
    lambda: (*series(24, 15)[:1], torch.randint(5, 16, (24,)), torch.arange(24) % 3),
    learns(0.05, 150, lr=1e-2),
)
case(
    "prenorm-60",
    "sixty pre-norm residual blocks, 1/sqrt(2L) branches",
    lambda: Deep(60),
    proof=learns(0.15, 40, lr=1e-3),
)
case("highway", "highway net of 20 layers, carry bias -2", lambda: Highway(20), proof=learns(0.15, 60))
case("densely-connected", "dense connections with batch norm", lambda: Densely(), proof=learns(0.15, 60))
case("deep-sigmoid-skips", "12 sigmoid layers on a residual stream", lambda: Skips(12))
case(
    "mdn",
    "mixture density head, logsumexp loss",
    lambda: plain(8, 32, 9),
    regress,
    learns(0.1, 150),
    loss=lambda o, y: (
        -torch.logsumexp(
            F.log_softmax(o[:, :3], -1) - 0.5 * ((y - o[:, 3:6]) / o[:, 6:].exp()) ** 2 - o[:, 6:], -1
        ).mean()
    ),
)
case(
    "fft",
    "mixing by a real FFT",
    lambda: seq(
        nn.Linear(3, 24),
        lambda h: torch.fft.fft2(h).real / 8,
        nn.LayerNorm(24),
        nn.Linear(24, 24),
        nn.GELU(),
        lambda h: h.mean(1),
        nn.Linear(24, 1),
    ),
    sets,
    loss="mse",
)
case("rbf", "radial basis functions by cdist", lambda: Rbf())
case(
    "orthogonal",
    "orthogonally parametrised layers",
    lambda: seq(
        nn.Linear(16, 32), nn.Tanh(), parametrizations.orthogonal(nn.Linear(32, 32)), nn.Tanh(), nn.Linear(32, 4)
    ),
)
case(
    "clip-like",
    "two towers, normalised, learned temperature",
    lambda: ClipLike(),
    lambda: (blobs(32, 16, 32, 0.2)[0], torch.randn(32, 8), torch.arange(32)),
    learns(0.15, 100),
    loss=lambda o, y: 0.5 * (F.cross_entropy(o, y) + F.cross_entropy(o.T, y)),
)
case(
    "input-scaled-bn",
    "raw inputs of 1e3 through batch norm first",
    lambda: seq(nn.BatchNorm1d(16), plain()),
    lambda: (blobs()[0] * 1e3 + 500, blobs()[1]),
)
case(
    "one-unit-bottleneck",
    "a linear bottleneck of one unit",
    lambda: seq(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1), nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1)),
    lambda: (lambda x: (x, torch.tanh(x[:, :1] + x[:, 1:2])))(torch.randn(64, 8)),
    loss="mse",
    proof=learns(0.15, 200, lr=1e-2),
)
case(
    "maxout",
    "maxout of three pieces",
    lambda: seq(nn.Linear(16, 72), lambda h: h.view(-1, 24, 3).amax(-1), nn.Linear(24, 4)),
)
case(
    "crelu",
    "concatenated ReLU",
    lambda: seq(nn.Linear(16, 24), lambda h: torch.cat([h.relu(), (-h).relu()], -1), nn.Linear(48, 4)),
)
case("bilinear", "bilinear layer of two inputs", lambda: Two(), lambda: (blobs()[0], blobs()[0], blobs()[1]))
case("frozen-backbone-detached", "frozen backbone under no_grad, only the head learns", lambda: FrozenBackbone())
case(
    "triplet",
    "one tower, three views, triplet loss",
    lambda: Triplet(),
    lambda: triplets(),
    learns(0.2, 100),
    loss=lambda o, _y: F.triplet_margin_loss(o[0], o[1], o[2], margin=1.0),
)
case(
    "shift-invariant-head",
    "softmax head: the sum of bias gradients is zero",
    lambda: seq(nn.Linear(16, 2)),
    lambda: blobs(64, 16, 2),
)
case("skip-weak-start", "residual branch scaled by a learned 1e-4 (SkipInit)", lambda: SkipInit())
case("returns-loss-scale", "output multiplied by a learned scalar 0 (ReZero head)", lambda: ScaledHead())
case("resnet-adamw", "AdamW at 1e-3", ResNet, images, optimizer="adamw", lr=1e-3, proof=learns(0.1, 60))
case("vit-adam", "Adam at 3e-3", ViT, images, optimizer="adam", lr=3e-3)
case("warm-low-lr", "adam at 1e-4: slow but steady", plain, optimizer="adam", lr=1e-4, proof=learns(0.05, 200))
case(
    "cyclic-sine",
    "sine activations of order one",
    lambda: seq(nn.Linear(16, 32), torch.sin, nn.Linear(32, 32), torch.sin, nn.Linear(32, 4)),
)
case(
    "softplus-variance",
    "Gaussian likelihood with a softplus variance",
    lambda: plain(8, 32, 2),
    regress,
    learns(0.05, 150),
    loss=lambda o, y: F.gaussian_nll_loss(o[:, :1], y, F.softplus(o[:, 1:]) + 1e-3) + 1,
)
case(
    "in-place",
    "in-place operations in legal places",
    lambda: seq(
        nn.Linear(16, 32),
        nn.ReLU(True),
        nn.Linear(32, 32),
        lambda h: h.mul_(1.5).add_(0.1),
        nn.LeakyReLU(0.1, True),
        nn.Linear(32, 4),
    ),
)
case(
    "detached-statistics",
    "divided by a detached norm",
    lambda: seq(
        nn.Linear(16, 32), lambda h: h / h.detach().norm(dim=-1, keepdim=True) * 5, nn.ReLU(), nn.Linear(32, 4)
    ),
)
case("skip-of-detached", "h + f(h.detach()): the way back is open through the skip", lambda: DetachedBranch())
case(
    "causal-conv",
    "causal 1-D convolutions with gated tanh (WaveNet)",
    lambda: WaveNet(),
    lambda: series(24, 20),
    proof=learns(0.15, 80),
)
case("linear-attention", "attention without softmax, normalised", lambda: LinearAttention(), sets, loss="mse")
case(
    "mask-loss",
    "most targets are ignored (-100)",
    lambda: seq(nn.Embedding(20, 24), nn.Linear(24, 48), nn.GELU(), nn.Linear(48, 20)),
    lambda: (tokens()[0], torch.where(torch.rand(32, 12) < 0.2, tokens()[1], -100)),
    learns(0.02, 100),
    loss=ce,
)
case("siamese-norm", "cosine siamese", lambda: Cosine(), twins, learns(0.1, 100), loss=contrastive)
case(
    "weights-tiny-norm",
    "weights x 1e-3 in front of layer norm: scale invariant",
    lambda: seq(nn.Linear(16, 32), nn.LayerNorm(32), nn.ReLU(), nn.Linear(32, 4)),
    mutate=lambda n: (n[0].weight.data.mul_(1e-1), n[0].bias.data.zero_()),
)
case(
    "weights-huge-norm",
    "weights x 1e3 in front of batch norm: scale invariant, Adam moves them slowly, the rest learns",
    lambda: seq(
        nn.Linear(16, 32, bias=False), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4)
    ),
    mutate=lambda n: n[0].weight.data.mul_(100),
)
case(
    "hopper-value",
    "actor and critic on one trunk, critic output large",
    lambda: plain(16, 32, 5),
    loss=lambda o, y: F.cross_entropy(o[:, :4], y) + 0.5 * F.mse_loss(o[:, 4], y.float()),
)
case(
    "picture-relu-coords",
    "a ReLU net on coordinates",
    lambda: seq(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3)),
    picture,
    loss="mse",
)
