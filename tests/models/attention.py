"""Small transformers and their kin, as users write them. Tokens ``(B, S)`` of integers, images ``(B, 3, H, W)``."""
# mypy: disable-error-code="no-any-return"
# (torch types the result of calling a module as Any)

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .zoo import Built, family

VOCABULARY = 50


def tokens(length: int = 12, batch: int = 4) -> Tensor:
    return torch.randint(0, VOCABULARY, (batch, length))


class SelfAttention(nn.Module):
    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.heads = heads
        self.causal = causal
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        qkv = self.qkv(x).reshape(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        out = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return self.proj(out.transpose(1, 2).reshape(batch, length, width))


class Block(nn.Module):
    def __init__(self, width: int, heads: int, causal: bool = False) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = SelfAttention(width, heads, causal)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), nn.Dropout(0.1))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class ViT(nn.Module):
    def __init__(self, width: int = 32, depth: int = 3, heads: int = 4) -> None:
        super().__init__()
        self.patch_embed = nn.Conv2d(3, width, 4, 4)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, 17, width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


def vit() -> Built:
    return ViT(), (torch.randn(4, 3, 16, 16),)


class GPT(nn.Module):
    """Input and output embeddings are one parameter."""

    def __init__(self, width: int = 32, depth: int = 3, heads: int = 4, context: int = 16) -> None:
        super().__init__()
        self.wte = nn.Embedding(VOCABULARY, width)
        self.wpe = nn.Embedding(context, width)
        self.drop = nn.Dropout(0.1)
        self.h = nn.ModuleList(Block(width, heads, causal=True) for _ in range(depth))
        self.ln_f = nn.LayerNorm(width)
        self.lm_head = nn.Linear(width, VOCABULARY, bias=False)
        self.lm_head.weight = self.wte.weight
        self.apply(self._init)

    @staticmethod
    def _init(module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.drop(self.wte(ids) + self.wpe(torch.arange(ids.shape[1], device=ids.device)))
        for block in self.h:
            x = block(x)
        return self.lm_head(self.ln_f(x))


def gpt() -> Built:
    return GPT(), (tokens(),)


class Bert(nn.Module):
    """torch's own encoder, post-norm, with a padding mask; a dict comes out."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, width, padding_idx=0)
        self.position = nn.Parameter(0.02 * torch.randn(16, width))
        layer = nn.TransformerEncoderLayer(width, 4, 64, batch_first=True, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.pooler = nn.Linear(width, width)
        self.classifier = nn.Linear(width, 3)

    def forward(self, ids: Tensor) -> dict[str, Tensor]:
        x = self.embed(ids) + self.position[: ids.shape[1]]
        hidden = self.encoder(x, src_key_padding_mask=ids == 0)
        logits = self.classifier(torch.tanh(self.pooler(hidden[:, 0])))
        return {"last_hidden_state": hidden, "logits": logits}


def bert() -> Built:
    ids = tokens().clamp(min=1)
    ids[1:, -3:] = 0
    return Bert(), (ids,)


class Translator(nn.Module):
    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.source = nn.Embedding(VOCABULARY, width)
        self.target = nn.Embedding(VOCABULARY, width)
        self.transformer = nn.Transformer(width, 4, 2, 2, 64, batch_first=True)
        self.generator = nn.Linear(width, VOCABULARY)
        self.register_buffer("positions", self._sinusoids(16, width))

    @staticmethod
    def _sinusoids(length: int, width: int) -> Tensor:
        angle = torch.arange(length)[:, None] * torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
        return torch.stack((angle.sin(), angle.cos()), -1).flatten(1)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        positions = self.get_buffer("positions")
        mask = nn.Transformer.generate_square_subsequent_mask(target.shape[1])
        hidden = self.transformer(
            self.source(source) + positions[: source.shape[1]],
            self.target(target) + positions[: target.shape[1]],
            tgt_mask=mask,
            tgt_is_causal=True,
        )
        return self.generator(hidden)


def encoder_decoder() -> Built:
    return Translator(), (tokens(10), tokens(8))


class MixerBlock(nn.Module):
    def __init__(self, positions: int, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.mix_tokens = nn.Sequential(nn.Linear(positions, 32), nn.GELU(), nn.Linear(32, positions))
        self.norm2 = nn.LayerNorm(width)
        self.mix_channels = nn.Sequential(nn.Linear(width, 64), nn.GELU(), nn.Linear(64, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.mix_tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.mix_channels(self.norm2(x))


class Mixer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 4, 4)
        self.blocks = nn.Sequential(*(MixerBlock(16, 32) for _ in range(3)))
        self.norm = nn.LayerNorm(32)
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).flatten(2).transpose(1, 2)
        return self.head(self.norm(self.blocks(x)).mean(1))


def mlp_mixer() -> Built:
    return Mixer(), (torch.randn(4, 3, 16, 16),)


class Perceiver(nn.Module):
    """A few learned queries look at many inputs through `nn.MultiheadAttention`."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.randn(6, width))
        self.project = nn.Linear(7, width)
        self.cross = nn.MultiheadAttention(width, 4, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.block = Block(width, 4)
        self.head = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        keys = self.project(x)
        queries = self.latents.expand(len(x), -1, -1)
        attended, _ = self.cross(queries, keys, keys, need_weights=False)
        return self.head(self.block(self.norm(queries + attended)).mean(1))


def perceiver() -> Built:
    return Perceiver(), (torch.randn(4, 20, 7),)


ATTENTION = family(vit, gpt, bert, encoder_decoder, mlp_mixer, perceiver)
