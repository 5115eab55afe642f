"""Newer language-model parts: RMS norm, rotary positions, SwiGLU, experts, adapters, state spaces, two towers."""
# mypy: disable-error-code="no-any-return"
# (torch types the result of calling a module as Any)

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import VOCABULARY, Block, tokens
from .zoo import Built, family


class RMSNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)


def rotate(x: Tensor) -> Tensor:
    """Rotary positions on ``(B, heads, S, width)``."""
    half = x.shape[-1] // 2
    angle = torch.arange(x.shape[-2])[:, None] / 10000 ** (torch.arange(half) / half)
    left, right = x[..., :half], x[..., half:]
    return torch.cat((left * angle.cos() - right * angle.sin(), right * angle.cos() + left * angle.sin()), -1)


class LlamaBlock(nn.Module):
    """Four query heads share two key heads."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(width)
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(width, width // 2, bias=False)
        self.v_proj = nn.Linear(width, width // 2, bias=False)
        self.o_proj = nn.Linear(width, width, bias=False)
        self.post_attention_layernorm = RMSNorm(width)
        self.gate_proj = nn.Linear(width, 2 * width, bias=False)
        self.up_proj = nn.Linear(width, 2 * width, bias=False)
        self.down_proj = nn.Linear(2 * width, width, bias=False)

    def attend(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        q, k, v = (
            projection(x).view(batch, length, -1, 8).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        k, v = k.repeat_interleave(2, 1), v.repeat_interleave(2, 1)
        out = F.scaled_dot_product_attention(rotate(q), rotate(k), v, is_causal=True)
        return self.o_proj(out.transpose(1, 2).flatten(2))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attend(self.input_layernorm(x))
        normed = self.post_attention_layernorm(x)
        return x + self.down_proj(F.silu(self.gate_proj(normed)) * self.up_proj(normed))


class LanguageModel(nn.Module):
    def __init__(self, *blocks: nn.Module, width: int = 32) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(VOCABULARY, width)
        self.layers = nn.ModuleList(blocks)
        self.norm = RMSNorm(width)
        self.lm_head = nn.Linear(width, VOCABULARY, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed_tokens(ids)
        for layer in self.layers:
            x = layer(x)
        return self.lm_head(self.norm(x))


def llama() -> Built:
    return LanguageModel(LlamaBlock(), LlamaBlock(), LlamaBlock()), (tokens(),)


class MixtureOfExperts(nn.Module):
    """Top-1 routing: each token goes to one expert, weighted by the router's probability."""

    def __init__(self, width: int = 32, experts: int = 4) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.router = nn.Linear(width, experts, bias=False)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 64), nn.ReLU(), nn.Linear(64, width)) for _ in range(experts)
        )

    def forward(self, x: Tensor) -> Tensor:
        flat = self.norm(x).flatten(0, 1)
        weight, chosen = self.router(flat).softmax(-1).max(-1)
        out = torch.zeros_like(flat)
        for index, expert in enumerate(self.experts):
            rows = (chosen == index).nonzero(as_tuple=True)[0]
            if len(rows):
                out = out.index_add(0, rows, weight[rows, None] * expert(flat[rows]))
        return x + out.view_as(x)


def mixture_of_experts() -> Built:
    return LanguageModel(Block(32, 4, causal=True), MixtureOfExperts(), MixtureOfExperts()), (tokens(batch=8),)


class LoRALinear(nn.Module):
    """A frozen layer with a low-rank update whose second factor starts at zero."""

    def __init__(self, base: nn.Linear, rank: int = 4) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.lora_A = nn.Parameter(torch.randn(rank, base.in_features) / base.in_features**0.5)
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + 2.0 * (x @ self.lora_A.T @ self.lora_B.T)


def lora() -> Built:
    """Everything but the adapters and the head is frozen."""
    net = LanguageModel(Block(32, 4, causal=True), Block(32, 4, causal=True)).requires_grad_(False)
    for block in net.layers:
        assert isinstance(block, Block)
        block.attn.qkv = LoRALinear(block.attn.qkv)  # type: ignore[assignment]  # a stand-in, as adapters are
        block.attn.proj = LoRALinear(block.attn.proj)  # type: ignore[assignment]
    net.lm_head.requires_grad_(True)
    return net, (tokens(),)


class StateSpace(nn.Module):
    """A diagonal linear recurrence written as a causal convolution over time (S4D-like), then a gate."""

    def __init__(self, width: int = 32, state: int = 8) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.log_decay = nn.Parameter(torch.log(torch.linspace(0.05, 1.0, state)).repeat(width, 1))
        self.mix = nn.Parameter(torch.randn(width, state) / state**0.5)
        self.skip = nn.Parameter(torch.ones(width))
        self.gate = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        u = self.norm(x)
        steps = torch.arange(x.shape[1], device=x.device)
        kernel = torch.einsum("cn,cns->cs", self.mix, torch.exp(-self.log_decay.exp()[..., None] * steps))
        padded = F.pad(u.transpose(1, 2), (len(steps) - 1, 0))
        y = F.conv1d(padded, kernel.flip(-1)[:, None], groups=u.shape[-1]).transpose(1, 2)
        return x + self.out((y + self.skip * u) * F.silu(self.gate(u)))


def state_space() -> Built:
    return LanguageModel(StateSpace(), StateSpace(), StateSpace()), (tokens(24),)


class TwoTowers(nn.Module):
    """CLIP-like: images against texts, a learned temperature, the similarity matrix comes out."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.visual = nn.Sequential(nn.Conv2d(3, width, 4, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.text = nn.EmbeddingBag(VOCABULARY, width, mode="mean")
        self.image_projection = nn.Linear(width, width, bias=False)
        self.text_projection = nn.Linear(width, width, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(2.6593))

    def forward(self, image: Tensor, text: Tensor) -> Tensor:
        images = F.normalize(self.image_projection(self.visual(image)), dim=-1)
        texts = F.normalize(self.text_projection(self.text(text)), dim=-1)
        return self.logit_scale.exp() * images @ texts.T


def two_towers() -> Built:
    return TwoTowers(), (torch.randn(8, 3, 16, 16), tokens(batch=8))


LANGUAGE = family(llama, mixture_of_experts, lora, state_space, two_towers)
