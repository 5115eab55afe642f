"""Nets over time: fused and hand-written recurrent layers, causal convolutions. Sequences ``(B, S, features)``."""
# mypy: disable-error-code="no-any-return"
# (torch types the result of calling a module as Any)

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, rnn

from .zoo import Built, family


def sequences(length: int = 10, features: int = 6, batch: int = 8) -> Tensor:
    return torch.randn(batch, length, features)


class RNNClassifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.RNN(6, 24, batch_first=True)
        self.fc = nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        out, _ = self.rnn(x)
        return self.fc(out.mean(1))


def rnn_classifier() -> Built:
    return RNNClassifier(), (sequences(),)


class LSTMClassifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 16, num_layers=2, batch_first=True, bidirectional=True, dropout=0.1)
        self.fc = nn.Linear(32, 3)

    def forward(self, x: Tensor) -> Tensor:
        out, _ = self.lstm(x)
        return self.fc(out.mean(1))


def lstm_classifier() -> Built:
    return LSTMClassifier(), (sequences(),)


class GRUClassifier(nn.Module):
    """Sequences of different lengths, packed."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 24, batch_first=True)
        self.fc = nn.Linear(24, 3)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        _, hidden = self.gru(packed)
        return self.fc(hidden[-1])


def gru_classifier() -> Built:
    return GRUClassifier(), (sequences(), torch.tensor([10, 9, 8, 10, 7, 6, 10, 5]))


class CellLoop(nn.Module):
    """`nn.RNNCell` in a Python loop, the last state is read."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.RNNCell(6, 24)
        nn.init.orthogonal_(self.cell.weight_hh)
        self.fc = nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = x.new_zeros(len(x), 24)
        for step in range(x.shape[1]):
            hidden = self.cell(x[:, step], hidden)
        return self.fc(hidden)


def rnn_cell_loop() -> Built:
    return CellLoop(), (sequences(8),)


class CharacterModel(nn.Module):
    """`nn.LSTMCell` in a loop; an output at every step."""

    def __init__(self, vocabulary: int = 30) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, 16)
        self.cell = nn.LSTMCell(16, 24)
        self.out = nn.Linear(24, vocabulary)

    def forward(self, ids: Tensor) -> Tensor:
        hidden = memory = torch.zeros(len(ids), 24)
        outputs = []
        for embedded in self.embedding(ids).unbind(1):
            hidden, memory = self.cell(embedded, (hidden, memory))
            outputs.append(self.out(hidden))
        return torch.stack(outputs, 1)


def lstm_cell_loop() -> Built:
    return CharacterModel(), (torch.randint(0, 30, (4, 10)),)


class HandWrittenGRU(nn.Module):
    """Gates as linear layers, as in a tutorial."""

    def __init__(self, features: int = 6, width: int = 16) -> None:
        super().__init__()
        self.width = width
        self.gates = nn.Linear(features + width, 2 * width)
        self.candidate = nn.Linear(features + width, width)
        self.fc = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(x.size(0), self.width)
        for t in range(x.size(1)):
            update, reset = torch.sigmoid(self.gates(torch.cat([x[:, t], h], 1))).chunk(2, 1)
            new = torch.tanh(self.candidate(torch.cat([x[:, t], reset * h], 1)))
            h = (1 - update) * h + update * new
        return self.fc(h)


def hand_written_gru() -> Built:
    return HandWrittenGRU(), (sequences(8),)


class AttentiveSeq2Seq(nn.Module):
    def __init__(self, vocabulary: int = 30, width: int = 24) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.encoder = nn.GRU(width, width, batch_first=True)
        self.decoder = nn.GRUCell(2 * width, width)
        self.score = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(2 * width, vocabulary)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        memory, last = self.encoder(self.embedding(source))
        hidden, context = last[0], torch.zeros_like(last[0])
        logits = []
        for embedded in self.embedding(target).unbind(1):
            hidden = self.decoder(torch.cat([embedded, context], 1), hidden)
            weights = torch.bmm(self.score(memory), hidden.unsqueeze(2)).softmax(1)
            context = (weights * memory).sum(1)
            logits.append(self.out(torch.cat([hidden, context], 1)))
        return torch.stack(logits, 1)


def seq2seq_attention() -> Built:
    return AttentiveSeq2Seq(), (torch.randint(0, 30, (4, 9)), torch.randint(0, 30, (4, 7)))


class TemporalBlock(nn.Module):
    def __init__(self, inside: int, width: int, dilation: int) -> None:
        super().__init__()
        self.padding = 2 * dilation
        self.conv1 = parametrizations.weight_norm(nn.Conv1d(inside, width, 3, dilation=dilation))
        self.conv2 = parametrizations.weight_norm(nn.Conv1d(width, width, 3, dilation=dilation))
        self.downsample = nn.Conv1d(inside, width, 1) if inside != width else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.conv1(F.pad(x, (self.padding, 0))))
        out = F.relu(self.conv2(F.pad(out, (self.padding, 0))))
        return F.relu(out + self.downsample(x))


class TCN(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(TemporalBlock(6 if i == 0 else 16, 16, 2**i) for i in range(3)))
        self.fc = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.blocks(x.transpose(1, 2))[..., -1])


def tcn() -> Built:
    return TCN(), (sequences(24),)


class WaveNet(nn.Module):
    """Gated units tanh × sigmoid, a residual and a skip path."""

    def __init__(self, width: int = 16, depth: int = 4) -> None:
        super().__init__()
        self.inlet = nn.Conv1d(1, width, 1)
        self.dilated = nn.ModuleList(nn.Conv1d(width, 2 * width, 2, dilation=2**i, padding=2**i) for i in range(depth))
        self.residual = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in range(depth - 1))
        self.skip = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in range(depth))
        self.outlet = nn.Sequential(nn.ReLU(), nn.Conv1d(width, width, 1), nn.ReLU(), nn.Conv1d(width, 8, 1))

    def forward(self, x: Tensor) -> Tensor:
        length = x.shape[-1]
        x = self.inlet(x)
        total: Tensor | Literal[0] = 0
        for i, dilated in enumerate(self.dilated):
            signal, gate = dilated(x)[..., :length].chunk(2, 1)
            z = torch.tanh(signal) * torch.sigmoid(gate)
            total = total + self.skip[i](z)
            if i < len(self.residual):
                x = x + self.residual[i](z)
        return self.outlet(total)


def wavenet() -> Built:
    return WaveNet(), (torch.randn(4, 1, 32),)


RECURRENT = family(
    rnn_classifier, lstm_classifier, gru_classifier, rnn_cell_loop, lstm_cell_loop, hand_written_gru,
    seq2seq_attention, tcn, wavenet,
)  # fmt: skip
