"""Several inputs or several heads: metric learning, agents, pictures with words, early exits."""
# mypy: disable-error-code="no-any-return"
# (torch types the result of calling a module as Any)

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import VOCABULARY, tokens
from .convolutional import images
from .zoo import Built, family


class Triplet(nn.Module):
    """How much nearer the anchor is to the positive than to the negative."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(16, 16, 3, 2, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(256, 16),
        )

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        a, p, n = (F.normalize(self.encoder(x), dim=1) for x in (anchor, positive, negative))
        return ((a - p) ** 2).sum(1) - ((a - n) ** 2).sum(1)


def triplet() -> Built:
    return Triplet(), (*images(), *images(), *images())


class MarginHead(nn.Module):
    """ArcFace's: cosines, with a margin on the true class."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 16))
        self.weight = nn.Parameter(torch.randn(5, 16))

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        cosine = F.normalize(self.encoder(x)) @ F.normalize(self.weight).T
        return 8.0 * (cosine - 0.3 * F.one_hot(label, 5))


def margin_head() -> Built:
    return MarginHead(), (torch.randn(16, 20), torch.randint(0, 5, (16,)))


class SoftExperts(nn.Module):
    """Every expert runs; a gate mixes their answers."""

    def __init__(self, experts: int = 4) -> None:
        super().__init__()
        self.gate = nn.Linear(20, experts)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(20, 24), nn.ReLU(), nn.Linear(24, 3)) for _ in range(experts)
        )

    def forward(self, x: Tensor) -> Tensor:
        answers = torch.stack([expert(x) for expert in self.experts], 1)
        return (self.gate(x).softmax(-1)[..., None] * answers).sum(1)


def soft_experts() -> Built:
    return SoftExperts(), (torch.randn(16, 20),)


class Dueling(nn.Module):
    """A value and the advantages of four actions, from frames."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(4, 16, 4, 2),
            nn.ReLU(),
            nn.Conv2d(16, 16, 3),
            nn.ReLU(),
            nn.Flatten(),
            nn.LazyLinear(32),
            nn.ReLU(),
        )
        self.value, self.advantage = nn.Linear(32, 1), nn.Linear(32, 4)
        self.features(torch.zeros(1, 4, 16, 16))  # settles the width of the lazy layer

    def forward(self, frames: Tensor) -> Tensor:
        x = self.features(frames)
        advantage = self.advantage(x)
        return self.value(x) + advantage - advantage.mean(1, keepdim=True)


def dueling_dqn() -> Built:
    return Dueling(), (torch.randn(8, 4, 16, 16),)


class Policy(NamedTuple):
    action: Tensor
    log_probability: Tensor


class GaussianPolicy(nn.Module):
    """Soft actor: a squashed Gaussian, drawn in forward."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())
        self.mean, self.log_std = nn.Linear(32, 2), nn.Linear(32, 2)

    def forward(self, obs: Tensor) -> Policy:
        x = self.body(obs)
        mean, log_std = self.mean(x), self.log_std(x).clamp(-5, 2)
        noise = torch.randn_like(mean)
        action = torch.tanh(mean + log_std.exp() * noise)
        density = -0.5 * noise**2 - log_std - torch.log(1 - action**2 + 1e-6)
        return Policy(action, density.sum(1))


def gaussian_policy() -> Built:
    return GaussianPolicy(), (torch.randn(16, 8),)


class QFunction(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q = nn.Sequential(nn.Linear(8 + 2, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, obs: Tensor, action: Tensor) -> Tensor:
        return self.q(torch.cat([obs, action], -1)).squeeze(-1)


def q_function() -> Built:
    return QFunction(), (torch.randn(16, 8), torch.randn(16, 2))


class DecisionTransformer(nn.Module):
    """Returns, states, actions and time steps as one text."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.embed_return, self.embed_state, self.embed_action = (
            nn.Linear(1, width),
            nn.Linear(8, width),
            nn.Linear(2, width),
        )
        self.embed_timestep = nn.Embedding(20, width)
        self.layer = nn.TransformerEncoderLayer(width, 4, 64, 0.0, batch_first=True, norm_first=True)
        self.predict_action = nn.Linear(width, 2)

    def forward(self, states: Tensor, actions: Tensor, returns_to_go: Tensor, timesteps: Tensor) -> Tensor:
        time = self.embed_timestep(timesteps)
        parts = (self.embed_return(returns_to_go), self.embed_state(states), self.embed_action(actions))
        text = torch.stack([part + time for part in parts], 2).flatten(1, 2)
        mask = nn.Transformer.generate_square_subsequent_mask(text.shape[1])
        return torch.tanh(self.predict_action(self.layer(text, mask)[:, 1::3]))


def decision_transformer() -> Built:
    steps = torch.arange(6).expand(4, -1)
    return DecisionTransformer(), (torch.randn(4, 6, 8), torch.randn(4, 6, 2), torch.randn(4, 6, 1), steps)


class QuestionAnswering(nn.Module):
    """An image and a question; their product answers."""

    def __init__(self) -> None:
        super().__init__()
        self.see = nn.Sequential(
            nn.Conv2d(3, 16, 4, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 24)
        )
        self.words = nn.Embedding(VOCABULARY, 16)
        self.read = nn.LSTM(16, 24, batch_first=True)
        self.answer = nn.Linear(24, 6)

    def forward(self, image: Tensor, question: Tensor) -> Tensor:
        _, (hidden, _) = self.read(self.words(question))
        return self.answer(torch.tanh(self.see(image)) * torch.tanh(hidden[-1]))


def visual_question_answering() -> Built:
    return QuestionAnswering(), (*images(), tokens(batch=8))


class Captioner(nn.Module):
    """The image is the first state of a GRU that writes."""

    def __init__(self) -> None:
        super().__init__()
        self.see = nn.Sequential(nn.Conv2d(3, 24, 4, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.words = nn.Embedding(VOCABULARY, 24)
        self.write = nn.GRU(24, 24, batch_first=True)
        self.out = nn.Linear(24, VOCABULARY)

    def forward(self, images: Tensor, captions: Tensor) -> Tensor:
        hidden, _ = self.write(self.words(captions), self.see(images)[None])
        return self.out(hidden)


def captioner() -> Built:
    return Captioner(), (*images(), tokens(batch=8))


class EarlyExits(nn.Module):
    """A classifier behind every stage, all heard at once."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(inside, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU()) for inside in (3, 16, 16)
        )
        self.exits = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5)) for _ in range(3)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        out = []
        for stage, leave in zip(self.stages, self.exits, strict=True):
            x = stage(x)
            out.append(leave(x))
        return out


def early_exits() -> Built:
    return EarlyExits(), images()


AGENTS = family(
    triplet, margin_head, soft_experts, dueling_dqn, gaussian_policy, q_function, decision_transformer,
    visual_question_answering, captioner, early_exits,
)  # fmt: skip
