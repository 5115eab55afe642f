"""Speech, text classifiers and time series. Signals ``(B, C, S)`` or ``(B, S, C)``, tokens ``(B, S)``."""
# mypy: disable-error-code="no-any-return"
# (torch types the result of calling a module as Any)

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import VOCABULARY, tokens
from .zoo import Built, family


class Recogniser(nn.Module):
    """Mel frames, convolutions, a bidirectional GRU, log probabilities for CTC, time first."""

    def __init__(self, bins: int = 16, symbols: int = 12) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(1, 8, 3, (2, 1), 1), nn.BatchNorm2d(8), nn.Hardtanh(0, 20, inplace=True))
        self.rnn = nn.GRU(8 * bins // 2, 24, batch_first=True, bidirectional=True)
        self.out = nn.Linear(48, symbols)

    def forward(self, mel: Tensor) -> Tensor:
        x = self.conv(mel.unsqueeze(1)).flatten(1, 2).transpose(1, 2)
        return self.out(self.rnn(x)[0]).log_softmax(-1).transpose(0, 1)


def speech_ctc() -> Built:
    return Recogniser(), (torch.randn(4, 16, 20),)


class Conformer(nn.Module):
    """Half-step feed-forward, attention, gated convolution, half-step feed-forward."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.inlet = nn.Linear(16, width)
        self.feed1, self.feed2 = (
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 64), nn.SiLU(), nn.Linear(64, width)) for _ in range(2)
        )
        self.norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)
        self.point1, self.point2 = nn.Conv1d(width, 2 * width, 1), nn.Conv1d(width, width, 1)
        self.depth = nn.Conv1d(width, width, 7, padding=3, groups=width)
        self.batch = nn.BatchNorm1d(width)
        self.out = nn.Linear(width, 12)

    def forward(self, frames: Tensor) -> Tensor:
        x = self.inlet(frames)
        x = x + 0.5 * self.feed1(x)
        y = self.norm(x)
        x = x + self.attention(y, y, y)[0]
        y = self.depth(F.glu(self.point1(x.transpose(1, 2)), 1))
        x = x + self.point2(F.silu(self.batch(y))).transpose(1, 2)
        return self.out(x + 0.5 * self.feed2(x))


def conformer() -> Built:
    return Conformer(), (torch.randn(4, 20, 16),)


class Separator(nn.Module):
    """Conv-TasNet's shape: a learned filter bank, a mask for each of two speakers, and back to a waveform."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.encoder = nn.Conv1d(1, width, 8, 4, bias=False)
        self.norm = nn.GroupNorm(1, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv1d(width, width, 3, padding=2**i, dilation=2**i), nn.PReLU(), nn.GroupNorm(1, width))
            for i in range(3)
        )
        self.mask = nn.Conv1d(width, 2 * width, 1)
        self.decoder = nn.ConvTranspose1d(width, 1, 8, 4, bias=False)

    def forward(self, mixture: Tensor) -> Tensor:
        w = self.encoder(mixture)
        x = self.norm(w)
        for block in self.blocks:
            x = x + block(x)
        masked = torch.sigmoid(self.mask(x).reshape(len(w), 2, *w.shape[1:])) * w[:, None]
        return self.decoder(masked.flatten(0, 1)).reshape(len(w), 2, -1)


def speech_separation() -> Built:
    return Separator(), (torch.randn(4, 1, 128),)


class TextCNN(nn.Module):
    """Kim's: filters of three widths, the maximum over time."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 16)
        self.filters = nn.ModuleList(nn.Conv1d(16, 12, size) for size in (3, 4, 5))
        self.fc = nn.Linear(36, 3)

    def forward(self, text: Tensor) -> Tensor:
        x = self.embedding(text).transpose(1, 2)
        return self.fc(torch.cat([F.relu(conv(x)).amax(2) for conv in self.filters], 1))


def text_cnn() -> Built:
    return TextCNN(), (tokens(),)


def bag_of_words() -> Built:
    return nn.Sequential(nn.EmbeddingBag(VOCABULARY, 16), nn.Linear(16, 3)), (tokens(),)


class Tagger(nn.Module):
    """A bidirectional LSTM with a score for each tag and, as a CRF has it, for each pair of tags."""

    def __init__(self, tags: int = 5) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 16)
        self.lstm = nn.LSTM(16, 16, batch_first=True, bidirectional=True)
        self.emit = nn.Linear(32, tags)
        self.transitions = nn.Parameter(0.1 * torch.randn(tags, tags))

    def forward(self, words: Tensor) -> Tensor:
        scores = self.emit(self.lstm(self.embedding(words))[0])
        alpha, out = scores[:, 0], [scores[:, 0]]
        for step in range(1, words.shape[1]):
            alpha = torch.logsumexp(alpha[:, :, None] + self.transitions, 1) + scores[:, step]
            out.append(alpha)
        return torch.stack(out, 1)


def tagger() -> Built:
    return Tagger(), (tokens(),)


class Pointer(nn.Module):
    """A pointer network: the output at each step scores the inputs."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.encoder = nn.LSTM(2, width, batch_first=True)
        self.decoder = nn.LSTMCell(width, width)
        self.key, self.query = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.score = nn.Linear(width, 1, bias=False)

    def forward(self, points: Tensor) -> Tensor:
        memory, (h, c) = self.encoder(points)
        state, context, out = (h[0], c[0]), memory.mean(1), []
        for _ in range(points.shape[1]):
            state = self.decoder(context, state)
            score = self.score(torch.tanh(self.key(memory) + self.query(state[0])[:, None]))
            context = (score.softmax(1) * memory).sum(1)
            out.append(score.squeeze(-1))
        return torch.stack(out, 1)


def pointer_network() -> Built:
    return Pointer(), (torch.rand(4, 6, 2),)


class NBeats(nn.Module):
    """Each block explains a part of the past, takes it away, and adds to the forecast."""

    def __init__(self, past: int = 16, future: int = 4) -> None:
        super().__init__()
        self.future = future
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(past, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, past + future))
            for _ in range(3)
        )

    def forward(self, past: Tensor) -> Tensor:
        forecast = torch.zeros(len(past), self.future)
        for block in self.blocks:
            out = block(past)
            past, forecast = past - out[:, self.future :], forecast + out[:, : self.future]
        return torch.cat([forecast, past], 1)


def n_beats() -> Built:
    return NBeats(), (torch.randn(16, 16),)


class PatchForecaster(nn.Module):
    """PatchTST's: every channel alone, its past cut into patches, normalised and put back."""

    def __init__(self, past: int = 32, patch: int = 8, width: int = 32) -> None:
        super().__init__()
        self.patch = patch
        self.embed = nn.Linear(patch, width)
        self.position = nn.Parameter(0.02 * torch.randn(past // patch, width))
        self.layer = nn.TransformerEncoderLayer(width, 4, 64, 0.0, batch_first=True, norm_first=True)
        self.head = nn.Linear(width * past // patch, 6)

    def forward(self, x: Tensor) -> Tensor:
        mean, scale = x.mean(1, keepdim=True), x.std(1, keepdim=True) + 1e-5
        series = ((x - mean) / scale).transpose(1, 2)
        tokens = self.embed(series.unfold(-1, self.patch, self.patch)) + self.position
        out = self.head(self.layer(tokens.flatten(0, 1)).flatten(1)).unflatten(0, series.shape[:2])
        return out.transpose(1, 2) * scale + mean


def patch_forecaster() -> Built:
    return PatchForecaster(), (torch.randn(4, 32, 3),)


class ProbabilisticForecaster(nn.Module):
    """DeepAR's: an LSTM over past values and covariates, a mean and a scale at every step."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(1 + 3, 24, 2, batch_first=True)
        self.mean, self.scale = nn.Linear(24, 1), nn.Linear(24, 1)

    def forward(self, values: Tensor, covariates: Tensor) -> tuple[Tensor, Tensor]:
        hidden, _ = self.lstm(torch.cat([values, covariates], -1))
        return self.mean(hidden), F.softplus(self.scale(hidden))


def probabilistic_forecaster() -> Built:
    return ProbabilisticForecaster(), (torch.randn(4, 12, 1), torch.randn(4, 12, 3))


class ConvLSTM(nn.Module):
    """Frames ``(B, S, 1, H, W)``; the gates are convolutions."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.width = width
        self.gates = nn.Conv2d(1 + width, 4 * width, 3, padding=1)
        self.out = nn.Conv2d(width, 1, 1)

    def forward(self, frames: Tensor) -> Tensor:
        h = c = frames.new_zeros(len(frames), self.width, *frames.shape[-2:])
        for frame in frames.unbind(1):
            i, f, o, g = self.gates(torch.cat([frame, h], 1)).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        return self.out(h)


def conv_lstm() -> Built:
    return ConvLSTM(), (torch.randn(4, 5, 1, 8, 8),)


class MemoryNetwork(nn.Module):
    """A story of sentences and a question: two hops over the sentences' bags of words."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.words_in, self.words_out = nn.Embedding(VOCABULARY, width), nn.Embedding(VOCABULARY, width)
        self.question = nn.Embedding(VOCABULARY, width)
        self.answer = nn.Linear(width, VOCABULARY)

    def forward(self, story: Tensor, question: Tensor) -> Tensor:
        keys, values = self.words_in(story).mean(2), self.words_out(story).mean(2)
        u = self.question(question).mean(1)
        for _ in range(2):
            weights = (keys @ u[..., None]).softmax(1)
            u = u + (weights * values).sum(1)
        return self.answer(u)


def memory_network() -> Built:
    return MemoryNetwork(), (torch.randint(0, VOCABULARY, (4, 5, 6)), tokens(6))


SIGNALS = family(
    speech_ctc, conformer, speech_separation, text_cnn, bag_of_words, tagger, pointer_network, n_beats,
    patch_forecaster, probabilistic_forecaster, conv_lstm, memory_network,
)  # fmt: skip
