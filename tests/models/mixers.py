"""Token mixers other than plain attention, each in the same language model. Tokens ``(B, S)``."""
# mypy: disable-error-code="no-any-return"
# (torch types the result of calling a module as Any)

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import VOCABULARY, tokens
from .language import LanguageModel, RMSNorm
from .zoo import Built, family

WIDTH = 32
HEADS = 4


class Mixing(nn.Module):
    """Norm, mixer and residual; norm, feed-forward and residual."""

    def __init__(self, mixer: nn.Module) -> None:
        super().__init__()
        self.norm1, self.norm2 = RMSNorm(WIDTH), RMSNorm(WIDTH)
        self.mixer = mixer
        self.up, self.down = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.mixer(self.norm1(x))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


def _model(mixer: type[nn.Module]) -> Built:
    return LanguageModel(Mixing(mixer()), Mixing(mixer())), (tokens(),)


class Projections(nn.Module):
    """Queries, keys and values, and a way out."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))

    def split(self, x: Tensor) -> list[Tensor]:
        return [layer(x).view(*x.shape[:2], HEADS, -1).transpose(1, 2) for layer in (self.q, self.k, self.v)]

    def merge(self, x: Tensor) -> Tensor:
        return self.o(x.transpose(1, 2).flatten(2))


class RelativeAttention(Projections):
    """T5's: no scaling, a bias for each distance, learned for each head."""

    def __init__(self) -> None:
        super().__init__()
        nn.init.normal_(self.q.weight, std=(WIDTH * WIDTH / HEADS) ** -0.5)
        self.bias = nn.Embedding(32, HEADS)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.split(x)
        at = torch.arange(x.shape[1])
        bias = self.bias((at[:, None] - at).clamp(-16, 15) + 16).permute(2, 0, 1)
        return self.merge((q @ k.transpose(-2, -1) + bias).softmax(-1) @ v)


def t5_relative_bias() -> Built:
    return _model(RelativeAttention)


class SlopedAttention(Projections):
    """ALiBi: a fixed slope of the distance for each head, causal."""

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.split(x)
        at = torch.arange(x.shape[1])
        apart = (at[:, None] - at).to(x.dtype)
        bias = -apart * 2.0 ** -(2.0 * torch.arange(1, HEADS + 1))[:, None, None]
        bias = bias.masked_fill(apart < 0, float("-inf"))
        return self.merge(F.scaled_dot_product_attention(q, k, v, attn_mask=bias))


def alibi() -> Built:
    return _model(SlopedAttention)


class LinearAttention(Projections):
    """Feature map elu + 1, causal sums in place of the softmax."""

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.split(x)
        q, k = F.elu(q) + 1, F.elu(k) + 1
        state = torch.einsum("bhsk,bhsv->bhskv", k, v).cumsum(2)
        scale = torch.einsum("bhsk,bhsk->bhs", q, k.cumsum(2))
        return self.merge(torch.einsum("bhsk,bhskv->bhsv", q, state) / scale[..., None])


def linear_attention() -> Built:
    return _model(LinearAttention)


class RandomFeatures(Projections):
    """Performer's positive random features, drawn once."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("draws", torch.randn(16, WIDTH // HEADS))

    def features(self, x: Tensor) -> Tensor:
        x = x * x.shape[-1] ** -0.25
        return torch.exp(x @ self.get_buffer("draws").T - x.square().sum(-1, keepdim=True) / 2) / 4

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.split(x)
        q, k = self.features(q), self.features(k)
        return self.merge(q @ (k.transpose(-2, -1) @ v) / (q @ k.sum(-2)[..., None]))


def random_feature_attention() -> Built:
    return _model(RandomFeatures)


class Retention(Projections):
    """RetNet's: a decay for each head, a group norm, a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(HEADS, WIDTH)
        self.gate = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.split(x)
        at = torch.arange(x.shape[1])
        apart = (at[:, None] - at).clamp(min=0)
        decay = (1 - 2.0 ** (-3.0 - torch.arange(HEADS)))[:, None, None] ** apart
        y = (q @ k.transpose(-2, -1) * WIDTH**-0.5 * decay.tril()) @ v
        y = self.norm(y.transpose(1, 2).flatten(2).transpose(1, 2)).transpose(1, 2)
        return self.o(F.silu(self.gate(x)) * y)


def retention() -> Built:
    return _model(Retention)


class SelectiveScan(nn.Module):
    """Mamba's: step sizes, inputs and outputs of the state depend on the token; the scan is a loop."""

    def __init__(self, state: int = 8) -> None:
        super().__init__()
        self.inlet = nn.Linear(WIDTH, 2 * WIDTH, bias=False)
        self.conv = nn.Conv1d(WIDTH, WIDTH, 4, groups=WIDTH, padding=3)
        self.select = nn.Linear(WIDTH, 2 + 2 * state, bias=False)
        self.step = nn.Linear(2, WIDTH)
        nn.init.constant_(self.step.bias, -2.0)
        self.log_a = nn.Parameter(torch.log(torch.arange(1.0, state + 1)).repeat(WIDTH, 1))
        self.skip = nn.Parameter(torch.ones(WIDTH))
        self.outlet = nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        u, gate = self.inlet(x).chunk(2, -1)
        u = F.silu(self.conv(u.transpose(1, 2))[..., : x.shape[1]].transpose(1, 2))
        rank, enter, leave = self.select(u).split([2, 8, 8], -1)
        delta = F.softplus(self.step(rank))[..., None]
        keep, add = torch.exp(-delta * self.log_a.exp()), delta * enter[:, :, None] * u[..., None]
        state, out = torch.zeros_like(add[:, 0]), []
        for t in range(x.shape[1]):
            state = keep[:, t] * state + add[:, t]
            out.append((state * leave[:, t, None]).sum(-1))
        return self.outlet((torch.stack(out, 1) + self.skip * u) * F.silu(gate))


def mamba() -> Built:
    return _model(SelectiveScan)


class TimeMix(nn.Module):
    """RWKV's: exponentially decaying weighted sums with a bonus for the present token."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Parameter(torch.rand(3, WIDTH))
        self.decay = nn.Parameter(torch.linspace(-3, 1, WIDTH))
        self.bonus = nn.Parameter(torch.full((WIDTH,), 0.3))
        self.key, self.value, self.receptance, self.out = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        before = F.pad(x, (0, 0, 1, -1))
        k_in, v_in, r_in = (x * mix + before * (1 - mix) for mix in self.mix)
        k, v, r = self.key(k_in), self.value(v_in), torch.sigmoid(self.receptance(r_in))
        above, below, out = torch.zeros_like(x[:, 0]), torch.zeros_like(x[:, 0]), []
        for t in range(x.shape[1]):
            now = torch.exp(self.bonus + k[:, t])
            out.append((above + now * v[:, t]) / (below + now))
            fade = torch.exp(-torch.exp(self.decay))
            above, below = fade * above + k[:, t].exp() * v[:, t], fade * below + k[:, t].exp()
        return self.out(r * torch.stack(out, 1))


def rwkv() -> Built:
    return _model(TimeMix)


class Fourier(nn.Module):
    """FNet's: the real part of a Fourier transform over tokens and features, no weights at all."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.fft2(x, norm="ortho").real


def fourier_mixer() -> Built:
    return _model(Fourier)


class LongConvolution(nn.Module):
    """Hyena's: a filter as long as the text, made by a net from the position, applied by FFT, with gates."""

    def __init__(self) -> None:
        super().__init__()
        self.inlet = nn.Linear(WIDTH, 3 * WIDTH)
        self.filter = nn.Sequential(nn.Linear(5, 16), nn.GELU(), nn.Linear(16, WIDTH))
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        length = x.shape[1]
        gate, u, v = self.inlet(x).chunk(3, -1)
        t = torch.linspace(0, 1, length)[:, None]
        angle = 6.28 * t * torch.tensor([1.0, 2.0])
        filters = self.filter(torch.cat([t, angle.sin(), angle.cos()], 1)) * torch.exp(-3 * t)
        spectrum = torch.fft.rfft(u * v, 2 * length, 1) * torch.fft.rfft(filters, 2 * length, 0)
        return self.out(gate * torch.fft.irfft(spectrum, 2 * length, 1)[:, :length])


def long_convolution() -> Built:
    return _model(LongConvolution)


class MinimalGRU(nn.Module):
    """A gate and a candidate that depend on the token alone, so that time is a product and a sum."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.candidate = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        z, h = torch.sigmoid(self.gate(x)), self.candidate(x)
        state, out = torch.zeros_like(h[:, 0]), []
        for t in range(x.shape[1]):
            state = torch.lerp(state, h[:, t], z[:, t])
            out.append(state)
        return torch.stack(out, 1)


def minimal_gru() -> Built:
    return _model(MinimalGRU)


class Universal(nn.Module):
    """One block run four times: its weights are shared over depth."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.block = nn.TransformerEncoderLayer(WIDTH, HEADS, 64, 0.0, batch_first=True, norm_first=True)
        self.depth = nn.Parameter(0.1 * torch.randn(4, WIDTH))
        self.out = nn.Linear(WIDTH, VOCABULARY)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embedding(ids)
        for step in self.depth:
            x = self.block(x + step)
        return self.out(x)


def universal_transformer() -> Built:
    return Universal(), (tokens(),)


MIXERS = family(
    t5_relative_bias, alibi, linear_attention, random_feature_attention, retention, mamba, rwkv, fourier_mixer,
    long_convolution, minimal_gru, universal_transformer,
)  # fmt: skip
