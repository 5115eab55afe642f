"""More generative nets: flows, conditions, styles, scores, Bayes. Vectors ``(B, 20)`` or images ``(B, 3, H, W)``."""
# mypy: disable-error-code="no-any-return"
# (torch types the result of calling a module as Any)

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .convolutional import images
from .zoo import Built, family


class GlowStep(nn.Module):
    """Activation norm, an invertible 1 × 1 convolution, an affine coupling whose last layer is zero."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.shift = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.turn = nn.Parameter(nn.init.orthogonal_(torch.empty(channels, channels)))
        self.net = nn.Sequential(
            nn.Conv2d(channels // 2, 16, 3, 1, 1), nn.ReLU(), nn.Conv2d(16, 16, 1), nn.ReLU(),
            nn.Conv2d(16, channels, 3, 1, 1),
        )  # fmt: skip
        for parameter in self.net[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = F.conv2d(x * self.log_scale.exp() + self.shift, self.turn[:, :, None, None])
        left, right = x.chunk(2, 1)
        log_scale, shift = self.net(left).chunk(2, 1)
        scale = torch.sigmoid(log_scale + 2)
        pixels = x.shape[2] * x.shape[3]
        change = pixels * (self.log_scale.sum() + torch.linalg.slogdet(self.turn)[1])
        return torch.cat([left, right * scale + shift], 1), scale.log().flatten(1).sum(1) + change


class Glow(nn.Module):
    """Squeezed pixels through three steps; what comes out is the code and the mean log determinant of a value."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.ModuleList(GlowStep(12) for _ in range(3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = F.pixel_unshuffle(x, 2)
        total = x.new_zeros(len(x))
        for step in self.steps:
            x, change = step(x)
            total = total + change
        return x, total / x[0].numel()


def glow() -> Built:
    return Glow(), images(size=8)


class MaskedLinear(nn.Linear):
    def __init__(self, inside: Tensor, outside: Tensor, *, strict: bool = False) -> None:
        super().__init__(len(inside), len(outside))
        mask = outside[:, None] > inside if strict else outside[:, None] >= inside
        self.register_buffer("mask", mask.float())

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight * self.get_buffer("mask"), self.bias)


def autoregressive_flow(width: int = 10) -> Built:
    """MADE: weights are masked so that no output sees an input at or behind its own place."""
    places, hidden = torch.arange(width), torch.arange(32) % (width - 1)
    net = nn.Sequential(
        MaskedLinear(places, hidden), nn.ReLU(), MaskedLinear(hidden, hidden), nn.ReLU(),
        MaskedLinear(hidden, places.repeat(2), strict=True),
    )  # fmt: skip
    return net, (torch.randn(16, width),)


class ConditionalGenerator(nn.Module):
    """Noise and a class in, an image out."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, 8)
        self.inlet = nn.Linear(16 + 8, 32 * 4 * 4)
        self.body = nn.Sequential(
            nn.BatchNorm2d(32), nn.ReLU(), nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.ConvTranspose2d(16, 3, 4, 2, 1), nn.Tanh(),
        )  # fmt: skip

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        x = self.inlet(torch.cat([z, self.embedding(labels)], 1))
        return self.body(x.view(-1, 32, 4, 4))


def conditional_generator() -> Built:
    return ConditionalGenerator(), (torch.randn(8, 16), torch.randint(0, 10, (8,)))


class StyleGenerator(nn.Module):
    """A mapping net; the style scales and shifts instance-normed features; a learned constant is the start."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.mapping = nn.Sequential(nn.Linear(width, width), nn.LeakyReLU(0.2), nn.Linear(width, width))
        self.constant = nn.Parameter(torch.randn(1, width, 4, 4))
        self.styles = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(2))
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.to_rgb = nn.Conv2d(width, 3, 1)

    def forward(self, z: Tensor) -> Tensor:
        w = self.mapping(F.normalize(z, dim=1) * z.shape[1] ** 0.5)
        x = self.constant.expand(len(z), -1, -1, -1)
        for style, conv in zip(self.styles, self.convs, strict=True):
            scale, shift = style(w)[:, :, None, None].chunk(2, 1)
            x = F.leaky_relu(conv(F.interpolate(x, scale_factor=2.0)), 0.2)
            x = F.instance_norm(x) * (1 + scale) + shift
        return self.to_rgb(x)


def style_generator() -> Built:
    return StyleGenerator(), (torch.randn(8, 16),)


class ConvVAE(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 8)
        )
        self.decoder = nn.Sequential(
            nn.Linear(4, 512), nn.Unflatten(1, (32, 4, 4)), nn.ReLU(), nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.ReLU(),
            nn.ConvTranspose2d(16, 3, 4, 2, 1), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        mean, log_variance = self.encoder(x).chunk(2, 1)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        return {"reconstruction": self.decoder(z), "mean": mean, "log_variance": log_variance}


def conv_vae() -> Built:
    return ConvVAE(), images()


class AdaptiveBlock(nn.Module):
    """DiT's: the condition gives shift, scale and gate of each branch, from a layer of zeros."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        for parameter in self.modulation[1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(condition)[:, None].chunk(6, -1)
        y = self.norm(x) * (1 + scale1) + shift1
        x = x + gate1 * self.attention(y, y, y)[0]
        return x + gate2 * self.mlp(self.norm(x) * (1 + scale2) + shift2)


class DiffusionTransformer(nn.Module):
    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.position = nn.Parameter(0.02 * torch.randn(16, width))
        self.time = nn.Linear(8, width)
        self.label = nn.Embedding(10, width)
        self.blocks = nn.ModuleList(AdaptiveBlock(width) for _ in range(2))
        self.out = nn.Linear(width, 48)

    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        angle = t[:, None] * 10.0 ** -torch.arange(4)
        condition = self.time(torch.cat([angle.sin(), angle.cos()], 1)) + self.label(y)
        x = self.patches(x).flatten(2).transpose(1, 2) + self.position
        for block in self.blocks:
            x = block(x, condition)
        return F.fold(self.out(x).transpose(1, 2), (16, 16), 4, stride=4)


def diffusion_transformer() -> Built:
    return DiffusionTransformer(), (*images(batch=4), torch.randint(0, 1000, (4,)), torch.randint(0, 10, (4,)))


class ScoreNet(nn.Module):
    """The score of an energy: the gradient of a net with regard to its input, taken inside forward."""

    def __init__(self) -> None:
        super().__init__()
        self.energy = nn.Sequential(nn.Linear(6, 32), nn.Softplus(), nn.Linear(32, 32), nn.Softplus(), nn.Linear(32, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        return torch.autograd.grad(self.energy(x).sum(), x, create_graph=True)[0]


def energy_score() -> Built:
    return ScoreNet(), (torch.randn(16, 6),)


class MaskedConv(nn.Conv2d):
    """PixelCNN's: only pixels above and to the left."""

    def __init__(self, inside: int, outside: int, *, own: bool) -> None:
        super().__init__(inside, outside, 3, padding=1)
        mask = torch.ones(3, 3)
        mask[1, 1 + own :] = 0
        mask[2] = 0
        self.register_buffer("mask", mask)

    def forward(self, input: Tensor) -> Tensor:
        return F.conv2d(input, self.weight * self.get_buffer("mask"), self.bias, padding=1)


def pixel_cnn() -> Built:
    return nn.Sequential(
        MaskedConv(3, 16, own=False), nn.ReLU(), MaskedConv(16, 16, own=True), nn.ReLU(), nn.Conv2d(16, 12, 1)
    ), images(size=8)


class BayesianLinear(nn.Module):
    """Weights drawn anew in every pass, around a mean with a learned spread."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.randn(outside, inside) * inside**-0.5)
        self.spread = nn.Parameter(torch.full((outside, inside), -3.0))
        self.bias = nn.Parameter(torch.zeros(outside))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.mean + F.softplus(self.spread) * torch.randn_like(self.mean)
        return F.linear(x, weight, self.bias)


def bayesian() -> Built:
    return nn.Sequential(BayesianLinear(20, 32), nn.ReLU(), BayesianLinear(32, 3)), (torch.randn(16, 20),)


PROBABILISTIC = family(
    glow, autoregressive_flow, conditional_generator, style_generator, conv_vae, diffusion_transformer, energy_score,
    pixel_cnn, bayesian,
)  # fmt: skip
