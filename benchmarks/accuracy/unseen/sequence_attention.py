"""Transformers and temporal convolutions on sequences."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .case import (
    both,
    ce,
    learns,
    no_gradient,
    nonfinite,
    strong,
    tokens,
    weak,
)
from .faults import ZeroGrad, bias, freeze, none, scale, zero
from .sequence import case
from .vision_tokens import Layer


class Gpt(nn.Module):
    """A decoder-only transformer."""

    def __init__(self, fault: str = "", depth: int = 3, vocab: int = 20, tied: bool = False) -> None:
        super().__init__()
        self.tok, self.pos = nn.Embedding(vocab, 24), nn.Embedding(12, 24)
        nn.init.normal_(self.tok.weight, std=0.3)
        nn.init.normal_(self.pos.weight, std=0.1)
        self.blocks = nn.ModuleList(Layer(24, causal=True) for _ in range(depth))
        self.ln_f, self.lm_head = nn.LayerNorm(24), nn.Linear(24, vocab, bias=False)
        if tied:
            self.lm_head.weight = self.tok.weight
        self.fault = fault

    def forward(self, ids: Tensor) -> Any:
        """(B, 12) → (B, 12, vocab)."""
        h = self.tok(ids) + self.pos(torch.arange(ids.shape[1]))
        for i, b in enumerate(self.blocks):
            h = b(h)
            if self.fault == "zero" and i == 1:
                h = ZeroGrad.apply(h)  # type: ignore[no-untyped-call]
        h = self.ln_f(h)
        logits = self.lm_head(h)
        if self.fault == "logs":
            return torch.log(torch.relu(logits))
        return logits


case("gpt", "healthy", "GPT-like decoder, pre-norm", learns(), Gpt, data=tokens, loss=ce)
case("gpt-tied", "healthy", "embedding tied to the head", learns(), lambda: Gpt(tied=True), data=tokens, loss=ce)
case(
    "gpt-big-vocab",
    "healthy",
    "most embedding rows are never touched",
    learns(0.1),
    lambda: Gpt(vocab=400),
    data=tokens,
    loss=ce,
)
case("gpt-frozen-emb", "healthy", "embeddings frozen", learns(0.1), Gpt, freeze("tok", "pos"), data=tokens, loss=ce)
case(
    "gpt-zero-proj",
    "healthy",
    "output projections of every block zero (GPT-style zero init): branches open after a step",
    learns(),
    Gpt,
    lambda n: [zero("attn.proj", "mlp.2")(b) for b in n.blocks],
    data=tokens,
    loss=ce,
)
case("gpt-adamw", "healthy", "AdamW at 3e-3", learns(), Gpt, data=tokens, loss=ce, optimizer="adamw", lr=3e-3)
case(
    "gpt-zero-backward",
    "dead",
    "a custom function returns zero gradients behind block 1",
    no_gradient("blocks.0.mlp.0", "blocks.1.mlp.0", "tok", "pos"),
    lambda: Gpt("zero"),
    none,
    (
        "zerograd()",
        "blocks.1.mlp.2",
        "blocks.1",
        "blocks.1.mlp",
        "blocks.2.ln1",
        "blocks.1.attn.proj",
        "blocks.1.mlp.1",
    ),
    {"tok": "dead", "blocks.0.mlp.0": "dead", "blocks.2.mlp.0": "healthy", "lm_head": "healthy"},
    data=tokens,
    loss=ce,
)
case(
    "gpt-log-zero",
    "exploding",
    "log of a ReLU that is zero for half of the logits: -inf outputs, NaN loss",
    nonfinite,
    lambda: Gpt("logs"),
    none,
    (),
    {},
    data=tokens,
    loss=ce,
)
case(
    "gpt-all-zero",
    "dead",
    "both matrices and biases of a block's MLP are zero",
    no_gradient("blocks.1.mlp.0", "blocks.1.mlp.2"),
    Gpt,
    zero("blocks.1.mlp.0", "blocks.1.mlp.2"),
    ("blocks.1.mlp.0", "blocks.1.mlp.2"),
    {"blocks.0.mlp.0": "healthy", "blocks.2.attn.value": "healthy", "lm_head": "healthy", "tok": "healthy"},
    data=tokens,
    loss=ce,
)


class Translate(nn.Module):
    """nn.Transformer encoder and decoder."""

    def __init__(self, fault: str = "") -> None:
        super().__init__()
        self.emb = nn.Embedding(20, 16)
        self.pos = nn.Parameter(0.3 * torch.randn(12, 16))
        self.enc = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(16, 2, 32, 0.0, batch_first=True), 2, enable_nested_tensor=False
        )
        self.dec = nn.TransformerDecoder(nn.TransformerDecoderLayer(16, 2, 32, 0.0, batch_first=True), 2)
        self.out = nn.Linear(16, 20)
        self.fault = fault

    def forward(self, src: Tensor, tgt: Tensor) -> Any:
        """(B, 12), (B, 12) → (B, 12, 20)."""
        m = self.enc(self.emb(src) + self.pos)
        if self.fault == "detach":
            m = m.detach()
        return self.out(self.dec(self.emb(tgt) + self.pos, m))


def pairs() -> tuple[Tensor, Tensor, Tensor]:
    """Tokens, and the same backwards with their targets: (32, 12) each."""
    a, b = tokens()
    return a, a.flip(1).contiguous(), b.flip(1).contiguous()


case(
    "translate", "healthy", "encoder-decoder transformer with two inputs", learns(0.15), Translate, data=pairs, loss=ce
)
case(
    "translate-detach",
    "dead",
    "the memory is detached: the encoder never learns",
    no_gradient("enc"),
    lambda: Translate("detach"),
    none,
    (
        "enc",
        "enc.layers.1",
        "enc.layers.1.norm2",
        "enc.layers.1.linear2",
        "enc.layers.0",
        "dec.layers.0.multihead_attn",
        "dec.layers.0",
    ),
    {
        "enc.layers.0.linear1": "dead",
        "enc.layers.1.linear2": "dead",
        "out": "healthy",
        "dec.layers.1.linear1": "healthy",
    },
    data=pairs,
    loss=ce,
)
case(
    "translate-dead-ffn",
    "dead",
    "bias -1e3 before the ReLU of one feed-forward: the whole layer is silent",
    no_gradient("enc.layers.1.linear1"),
    Translate,
    bias("enc.layers.1.linear1", -1e3),
    ("enc.layers.1.linear1",),
    {
        "enc.layers.1.linear1": "dead",
        "enc.layers.0.linear1": "healthy",
        "out": "healthy",
        "dec.layers.0.linear1": "healthy",
    },
    data=pairs,
    loss=ce,
)


class Tcn(nn.Module):
    """Dilated convolutions, with or without skips."""

    def __init__(self, depth: int, skip: bool, act: str) -> None:
        super().__init__()
        self.inp = nn.Conv1d(3, 16, 1)
        self.convs = nn.ModuleList(
            nn.Conv1d(16, 16, 3, padding=2 ** (i % 4), dilation=2 ** (i % 4)) for i in range(depth)
        )
        self.act = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}[act]()
        self.head = nn.Linear(16, 3)
        self.skip = skip

    def forward(self, x: Tensor) -> Any:
        """(B, 20, 3) → (B, 3)."""
        h = self.inp(x.transpose(1, 2))
        for c in self.convs:
            y = self.act(c(h))
            h = h + y if self.skip else y
        return self.head(h.mean(2))


case("tcn", "healthy", "dilated residual convolutions", learns(0.15), lambda: Tcn(8, True, "relu"))
case(
    "tcn-no-skip",
    "vanishing",
    "22 default convolutions without skips",
    weak("convs.0", 1e-4),
    lambda: Tcn(22, False, "relu"),
    none,
    (),
    {"inp": "vanishing", "convs.0": "vanishing", "convs.1": "vanishing", "head": "healthy"},
)
case(
    "tcn-sigmoid",
    "vanishing",
    "nine default sigmoid convolutions without skips",
    weak("convs.0", 1e-4),
    lambda: Tcn(9, False, "sigmoid"),
    none,
    (),
    {"inp": "vanishing", "convs.0": "vanishing", "head": "healthy"},
)
case(
    "tcn-dead",
    "dead",
    "bias -1e3 in the last convolution without skips",
    both(no_gradient("convs.0", "convs.3", "inp")),
    lambda: Tcn(4, False, "relu"),
    bias("convs.3", -1e3),
    ("convs.3", "act"),
    {"convs.3": "dead", "convs.0": "dead", "inp": "dead"},
)
case(
    "tcn-hot-layer",
    "exploding",
    "one convolution x 1e6 in the trunk",
    strong("convs.0", 1e3),
    lambda: Tcn(4, False, "relu"),
    scale("convs.2", 1e6),
    ("convs.2",),
    {"convs.0": "exploding", "convs.1": "exploding"},
)
