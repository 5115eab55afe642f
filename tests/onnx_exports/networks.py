"""Networks of kinds that the zoo does not have: what exporters write as loops, branches, Fourier transforms and the like."""
# mypy: disable-error-code="no-any-return"
# (torch types the result of calling a module as Any)

from __future__ import annotations

import torch
from models.zoo import Built, family
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import rnn


class Packed(nn.Module):
    """Two layers in both directions over sequences of different lengths, longest first, with states given."""

    def __init__(self, kind: type[nn.LSTM] | type[nn.GRU] | type[nn.RNN]) -> None:
        super().__init__()
        self.embedding = nn.Embedding(30, 8)
        self.rnn = kind(8, 12, num_layers=2, bidirectional=True)
        self.head = nn.Linear(24, 4)

    def forward(self, ids: Tensor, lengths: Tensor, hidden: Tensor) -> Tensor:
        packed = rnn.pack_padded_sequence(self.embedding(ids), lengths)
        state = (hidden, hidden) if isinstance(self.rnn, nn.LSTM) else hidden
        output, _ = self.rnn(packed, state)
        unpacked, _ = rnn.pad_packed_sequence(output)
        return self.head(unpacked.sum(0))


def _packed(kind: type[nn.LSTM] | type[nn.GRU] | type[nn.RNN]) -> Built:
    return Packed(kind), (torch.randint(0, 30, (7, 3)), torch.tensor([7, 5, 2]), 0.1 * torch.randn(4, 3, 12))


def packed_lstm() -> Built:
    return _packed(nn.LSTM)


def packed_gru() -> Built:
    return _packed(nn.GRU)


def packed_rnn() -> Built:
    return _packed(nn.RNN)


class Stacked(nn.Module):
    """Recurrent layers behind each other, each read in its own way."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.LSTM(6, 10, num_layers=2, bidirectional=True)
        self.second = nn.GRU(20, 9, bidirectional=True, bias=False)
        self.third = nn.RNN(18, 8, num_layers=2, nonlinearity="relu")
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, (_, cell) = self.first(x)
        x, hidden = self.second(x)
        x, _ = self.third(x)
        return self.head(x[-1]), cell, hidden


def stacked_recurrent() -> Built:
    return Stacked(), (torch.randn(9, 4, 6),)


class Projected(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(5, 7, num_layers=2, batch_first=True)
        self.norm = nn.LayerNorm(7)
        self.head = nn.Linear(7, 2)

    def forward(self, x: Tensor) -> Tensor:
        hidden, _ = self.gru(x)
        return self.head(self.norm(hidden))


def gru_tagger() -> Built:
    return Projected(), (torch.randn(3, 8, 5),)


@torch.jit.script
def _repeated(x: Tensor, steps: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    for _ in range(int(steps.item())):
        x = x + torch.tanh(torch.matmul(x, weight) + bias)
    return x


class Looped(nn.Module):
    """A loop whose number of steps is known at run time only: scripted, it becomes a Loop."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(0.3 * torch.randn(8, 8))
        self.offset = nn.Parameter(torch.zeros(8))
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor, steps: Tensor) -> Tensor:
        return self.head(_repeated(x, steps, self.kernel, self.offset))


def scripted_loop() -> Built:
    return Looped(), (torch.randn(5, 8), torch.tensor(4))


@torch.jit.script
def _chosen(x: Tensor, left: Tensor, right: Tensor) -> Tensor:
    return torch.matmul(x, left) if bool(x.sum() > 0) else torch.relu(torch.matmul(x, right))


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Parameter(torch.randn(6, 6))
        self.right = nn.Parameter(torch.randn(6, 6))
        self.head = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(_chosen(x, self.left, self.right))


def scripted_branch() -> Built:
    return Branching(), (torch.randn(5, 6).abs(),)


class Spectrogram(nn.Module):
    """A short-time Fourier transform before a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(16))
        self.gain = nn.Parameter(torch.ones(1, 64))
        self.conv = nn.Conv1d(9, 6, 3)
        self.head = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        spectrum = torch.stft(
            x * self.gain, 16, 8, window=self.get_buffer("window"), center=False, return_complex=False
        )
        power = spectrum.square().sum(-1)
        return self.head(F.relu(self.conv(torch.log1p(power))).mean(-1))


def stft_net() -> Built:
    return Spectrogram(), (torch.randn(3, 64),)


class FourierMixer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inlet = nn.Linear(5, 8)
        self.filter = nn.Parameter(torch.randn(7, 8, 2))
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        spectrum = torch.fft.rfft(self.inlet(x), dim=1) * torch.view_as_complex(self.filter)
        return self.head(F.gelu(torch.fft.irfft(spectrum, n=12, dim=1)).mean(1))


def fourier_filter() -> Built:
    return FourierMixer(), (torch.randn(4, 12, 5),)


class Einsums(nn.Module):
    """Attention written with einsum, its projections too."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Parameter(0.3 * torch.randn(12, 3, 4))
        self.key = nn.Parameter(0.3 * torch.randn(12, 3, 4))
        self.value = nn.Parameter(0.3 * torch.randn(12, 3, 4))
        self.out = nn.Parameter(0.3 * torch.randn(3, 4, 12))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (torch.einsum("bsw,whd->bhsd", x, weight) for weight in (self.query, self.key, self.value))
        scores = torch.einsum("bhqd,bhkd->bhqk", q, k).div(2).softmax(-1)
        return torch.einsum("bhqk,bhkd,hdw->bqw", scores, v, self.out)


def einsum_attention() -> Built:
    return Einsums(), (torch.randn(2, 6, 12),)


class Graph(nn.Module):
    """Messages along edges, summed at the nodes by scatter."""

    def __init__(self) -> None:
        super().__init__()
        self.message = nn.Linear(10, 8)
        self.update = nn.GRUCell(8, 5)
        self.head = nn.Linear(5, 2)

    def forward(self, nodes: Tensor, edges: Tensor) -> Tensor:
        for _ in range(2):
            sent = F.silu(self.message(torch.cat([nodes[edges[0]], nodes[edges[1]]], 1)))
            place = edges[1].unsqueeze(1).expand_as(sent)
            nodes = self.update(torch.zeros(len(nodes), 8).scatter_add(0, place, sent), nodes)
        return self.head(nodes)


def scatter_graph() -> Built:
    return Graph(), (torch.randn(6, 5), torch.randint(0, 6, (2, 15)))


class Detector(nn.Module):
    """Boxes and scores from two levels, decoded and the best of them chosen."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.LeakyReLU(0.1), nn.Conv2d(8, 12, 3, 2, 1), nn.Hardswish()
        )
        self.down = nn.Conv2d(12, 12, 3, 2, 1)
        self.lateral = nn.Conv2d(12, 12, 1)
        self.heads = nn.ModuleList(nn.Conv2d(12, 2 * 6, 1) for _ in range(2))
        self.register_buffer("anchors", torch.tensor([[8.0, 8.0], [16.0, 12.0]]))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.body(x)
        coarse = F.relu6(self.down(fine))
        fine = self.lateral(fine) + F.interpolate(coarse, size=fine.shape[-2:], mode="bilinear", align_corners=False)
        found = [
            self._decoded(head(level), 4 * 2**i)
            for i, (head, level) in enumerate(zip(self.heads, (fine, coarse), strict=True))
        ]
        boxes = torch.cat(found, 1)
        scores = boxes[..., 4:].sigmoid()
        best = scores.amax(-1).topk(7, 1).indices
        return boxes[..., :4].gather(1, best.unsqueeze(-1).expand(-1, -1, 4)), scores

    def _decoded(self, raw: Tensor, stride: int) -> Tensor:
        batch, _, height, width = raw.shape
        raw = raw.view(batch, 2, 6, height, width).permute(0, 1, 3, 4, 2)
        ys, xs = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        grid = torch.stack((xs, ys), -1).to(raw.dtype)
        centre = (raw[..., :2].sigmoid() * 2 - 0.5 + grid) * stride
        size = raw[..., 2:4].clamp(-4, 4).exp() * self.get_buffer("anchors")[:, None, None]
        return torch.cat((centre, size, raw[..., 4:]), -1).flatten(1, 3)


def detector() -> Built:
    return Detector(), (torch.randn(2, 3, 32, 32),)


class Conditioned(nn.Module):
    """A denoiser's block: scale and shift from an embedding of time, by group norm, with attention over pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.time = nn.Sequential(nn.Linear(8, 16), nn.SiLU(), nn.Linear(16, 24))
        self.inlet = nn.Conv2d(2, 12, 3, padding=1)
        self.norm = nn.GroupNorm(3, 12)
        self.attention = nn.MultiheadAttention(12, 2, batch_first=True)
        self.up = nn.ConvTranspose2d(12, 6, 4, 2, 1, bias=False)
        self.last = nn.InstanceNorm2d(6, affine=True)
        self.outlet = nn.Conv2d(6, 2, 3, padding=1, padding_mode="reflect")

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        angles = t[:, None] * torch.exp(-torch.arange(4) / 2.0)
        scale, shift = self.time(torch.cat((angles.sin(), angles.cos()), 1))[:, :, None, None].chunk(2, 1)
        h = self.norm(self.inlet(x)) * (1 + scale) + shift
        pixels = h.flatten(2).transpose(1, 2)
        h = h + self.attention(pixels, pixels, pixels, need_weights=False)[0].transpose(1, 2).reshape(h.shape)
        return self.outlet(F.gelu(self.last(self.up(h)), approximate="tanh"))


def conditioned_denoiser() -> Built:
    return Conditioned(), (torch.randn(2, 2, 8, 8), torch.rand(2))


class Activations(nn.Module):
    """One layer behind each activation that torch has."""

    KINDS = (
        nn.ELU, nn.SELU, nn.CELU, nn.Softplus, nn.Softsign, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish, nn.Mish, nn.GELU,
        nn.LogSigmoid, nn.PReLU, nn.ReLU6, nn.SiLU, nn.Tanhshrink, nn.Softshrink, nn.Hardshrink, nn.LeakyReLU, nn.GLU,
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(6, 12 if kind is nn.GLU else 6) for kind in self.KINDS)
        self.activations = nn.ModuleList(kind() for kind in self.KINDS)

    def forward(self, x: Tensor) -> Tensor:
        for layer, activation in zip(self.layers, self.activations, strict=True):
            x = x + activation(layer(x))
        return x.log_softmax(-1)


def all_activations() -> Built:
    return Activations(), (torch.randn(5, 6),)


class Pools(nn.Module):
    """Poolings, paddings and resizings, each in a form that exporters write differently."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(2, 6, 3, padding="same", padding_mode="circular")
        self.b = nn.Conv2d(6, 6, 3, dilation=2, padding=2, groups=3)
        self.c = nn.Conv2d(6, 8, (3, 1), stride=(2, 1), padding=(1, 0), bias=False)
        self.slope = nn.PReLU(8)
        self.lrn = nn.LocalResponseNorm(3)
        self.line = nn.Conv1d(8, 5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.avg_pool2d(self.a(x), 3, 2, 1, ceil_mode=True, count_include_pad=False)
        x = F.max_pool2d(self.b(x), 3, 1, 1, dilation=1)
        x = F.interpolate(x, scale_factor=1.5, mode="bicubic", align_corners=True)
        x = self.slope(self.c(F.pad(x, (1, 1, 0, 0), mode="replicate")))
        x = self.lrn(F.pixel_shuffle(x.repeat_interleave(4, 1), 2)).amax(2)
        return F.adaptive_avg_pool1d(self.line(F.pad(x, (2, -1))), 1).flatten(1)


def pools_and_pads() -> Built:
    return Pools(), (torch.randn(2, 2, 12, 12),)


class Normalised(nn.Module):
    """Norms that have no operator of their own in old opsets."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(6, 8)
        self.unbiased = nn.LayerNorm(8, bias=False)
        self.b = nn.Linear(8, 8)
        self.layer = nn.LayerNorm((4, 8))
        self.c = nn.Linear(8, 8)
        self.batch = nn.BatchNorm1d(4)
        self.plain = nn.LayerNorm(8, elementwise_affine=False)
        self.scale = nn.Parameter(torch.tensor(0.7))
        self.d = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer(self.b(self.unbiased(self.a(x))))
        x = self.plain(self.batch(self.c(x)) * self.scale)
        return self.d(F.normalize(x, dim=-1)).cumsum(1)


def norms() -> Built:
    return Normalised(), (torch.randn(3, 4, 6),)


class Sparse(nn.Module):
    """The two best of four experts, chosen per token: routed by masks."""

    def __init__(self) -> None:
        super().__init__()
        self.router = nn.Linear(8, 4, bias=False)
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8)) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        scores, chosen = self.router(x).softmax(-1).topk(2, -1)
        weights = torch.zeros(len(x), 4).scatter(1, chosen, scores / scores.sum(-1, keepdim=True))
        return torch.stack([expert(x) * weights[:, i : i + 1] for i, expert in enumerate(self.experts)]).sum(0)


def masked_experts() -> Built:
    return Sparse(), (torch.randn(7, 8),)


class Spline(nn.Module):
    """A normalising flow of monotonic pieces, with its log determinant."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 3 * 10))
        self.log_scale = nn.Parameter(torch.zeros(6))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x * self.log_scale.exp()
        kept, moved = x.chunk(2, -1)
        widths, heights = self.net(kept).view(-1, 3, 10).chunk(2, -1)
        widths, heights = widths.softmax(-1), heights.softmax(-1)
        edges = F.pad(widths.cumsum(-1), (1, 0))
        place = moved.sigmoid()
        at = (place.unsqueeze(-1) >= edges[..., 1:-1]).sum(-1, keepdim=True)
        width, height = widths.gather(-1, at).squeeze(-1), heights.gather(-1, at).squeeze(-1)
        left = edges.gather(-1, at).squeeze(-1)
        low = F.pad(heights.cumsum(-1), (1, 0)).gather(-1, at).squeeze(-1)
        out = low + (place - left) / width * height
        return torch.cat((kept, out), -1), (height / width).log().sum(-1) + self.log_scale.sum()


def spline_flow() -> Built:
    return Spline(), (torch.randn(8, 6),)


NETWORKS = family(
    packed_lstm, packed_gru, packed_rnn, stacked_recurrent, gru_tagger, scripted_loop, scripted_branch, stft_net,
    fourier_filter, einsum_attention, scatter_graph, detector, conditioned_denoiser, all_activations, pools_and_pads,
    norms, masked_experts, spline_flow,
)  # fmt: skip
