"""Recurrent nets as entry points: ``gradcheck diagnose sample_models/recurrent_models.py:vanishing_rnn``.

Sequences ``(B, 50, 4)``; the class ``(B,)`` is the sign of the first value of the first step, so that who reads
only the last state has to remember over 49 steps. The data is in ``recurrent_models.npz``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

STEPS, FEATURES, WIDTH = 50, 4, 32


class LastStep(nn.Module):
    """A recurrent layer whose last state alone is classified: ``(B, S, features)`` → ``(B, 2)``."""

    def __init__(self, rnn: nn.RNN | nn.LSTM) -> None:
        super().__init__()
        self.rnn = rnn
        self.fc = nn.Linear(rnn.hidden_size, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores ``(B, 2)``."""
        out, _ = self.rnn(x)
        return self.fc(out[:, -1])  # type: ignore[no-any-return]


def _orthogonal(scale: float, nonlinearity: str) -> LastStep:
    torch.manual_seed(0)
    rnn = nn.RNN(FEATURES, WIDTH, nonlinearity=nonlinearity, batch_first=True)
    nn.init.orthogonal_(rnn.get_parameter("weight_hh_l0"), gain=scale)
    return LastStep(rnn)


def vanishing_rnn() -> LastStep:
    """Vanishing: recurrent weights orthogonal × 0.3, so that at most 0.3⁴⁹ of the gradient reaches the first step."""
    return _orthogonal(0.3, "tanh")


def exploding_rnn() -> LastStep:
    """Exploding: recurrent weights 1.5 × identity with ReLU: 1.5⁴⁹ = 4e8 over the sequence."""
    net = _orthogonal(1.0, "relu")
    with torch.no_grad():
        net.rnn.get_parameter("weight_hh_l0").copy_(1.5 * torch.eye(WIDTH))
    return net


def orthogonal_rnn() -> LastStep:
    """Healthy: orthogonal recurrent weights and small inputs, so that tanh stays nearly linear."""
    net = _orthogonal(1.0, "tanh")
    with torch.no_grad():
        net.rnn.get_parameter("weight_ih_l0").mul_(0.1)
        net.rnn.get_parameter("bias_ih_l0").zero_()
        net.rnn.get_parameter("bias_hh_l0").zero_()
    return net


def write_data(folder: Path) -> None:
    """Write ``recurrent_models.npz`` with the keys ``x`` and ``y``."""
    x = np.random.default_rng(0).normal(size=(128, STEPS, FEATURES)).astype(np.float32)
    np.savez_compressed(folder / "recurrent_models.npz", x=x, y=(x[:, 0, 0] > 0).astype(np.int64))
