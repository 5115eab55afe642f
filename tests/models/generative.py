"""Generative nets: autoencoders, flows, adversaries, diffusion. Vectors ``(B, 20)`` or images ``(B, 3, H, W)``."""
# mypy: disable-error-code="no-any-return"
# (torch types the result of calling a module as Any)

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from .zoo import Built, family


def autoencoder() -> Built:
    encoder = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 4))
    decoder = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 20), nn.Sigmoid())
    return nn.Sequential(encoder, decoder), (torch.rand(16, 20),)


class VAE(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(20, 32)
        self.mean = nn.Linear(32, 4)
        self.log_variance = nn.Linear(32, 4)
        self.decoder = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 20))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        hidden = F.relu(self.encoder(x))
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        return self.decoder(z), mean, log_variance


def vae() -> Built:
    return VAE(), (torch.randn(16, 20),)


class VectorQuantised(nn.Module):
    """VQ-VAE: the nearest code, with a straight-through gradient and its two auxiliary losses."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 8))
        self.codebook = nn.Embedding(16, 8)
        self.decoder = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 20))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z = self.encoder(x)
        code = self.codebook(torch.cdist(z, self.codebook.weight).argmin(1))
        auxiliary = F.mse_loss(code, z.detach()) + 0.25 * F.mse_loss(z, code.detach())
        return self.decoder(z + (code - z).detach()), auxiliary


def vq_vae() -> Built:
    return VectorQuantised(), (torch.randn(16, 20),)


class Coupling(nn.Module):
    """RealNVP's affine coupling: one half is scaled and shifted by what a net makes of the other."""

    def __init__(self, width: int, flip: bool) -> None:
        super().__init__()
        self.flip = flip
        self.net = nn.Sequential(nn.Linear(width // 2, 32), nn.Tanh(), nn.Linear(32, width))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        left, right = x.chunk(2, 1)
        if self.flip:
            left, right = right, left
        log_scale, shift = self.net(left).chunk(2, 1)
        log_scale = torch.tanh(log_scale)
        return torch.cat([left, right * log_scale.exp() + shift], 1), log_scale.sum(1)


class Flow(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.ModuleList(Coupling(20, flip=bool(i % 2)) for i in range(4))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        log_determinant = x.new_zeros(len(x))
        for step in self.steps:
            x, change = step(x)
            log_determinant = log_determinant + change
        return x, log_determinant


def coupling_flow() -> Built:
    return Flow(), (torch.randn(16, 20),)


def _dcgan_init(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)


def dcgan_generator() -> Built:
    net = nn.Sequential(
        nn.ConvTranspose2d(16, 32, 4, 1, 0, bias=False), nn.BatchNorm2d(32), nn.ReLU(True),
        nn.ConvTranspose2d(32, 16, 4, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(True),
        nn.ConvTranspose2d(16, 3, 4, 2, 1, bias=False), nn.Tanh(),
    )  # fmt: skip
    return net.apply(_dcgan_init), (torch.randn(8, 16, 1, 1),)


def spectral_discriminator() -> Built:
    spectral = parametrizations.spectral_norm
    return nn.Sequential(
        spectral(nn.Conv2d(3, 16, 4, 2, 1)), nn.LeakyReLU(0.2, inplace=True),
        spectral(nn.Conv2d(16, 32, 4, 2, 1)), nn.LeakyReLU(0.2, inplace=True),
        nn.Flatten(), spectral(nn.Linear(512, 1)),
    ), (torch.randn(8, 3, 16, 16),)  # fmt: skip


class TimeBlock(nn.Module):
    """Group norm, SiLU, convolution, the time embedding added; the last convolution starts at zero."""

    def __init__(self, width: int, time: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(4, width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.time = nn.Linear(time, width)
        self.norm2 = nn.GroupNorm(4, width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)
        assert self.conv2.bias is not None
        nn.init.zeros_(self.conv2.bias)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        out = self.conv1(F.silu(self.norm1(x)))
        out = out + self.time(F.silu(emb))[:, :, None, None]
        return x + self.conv2(F.silu(self.norm2(out)))


class Diffusion(nn.Module):
    def __init__(self, width: int = 16, time: int = 32) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(8, time), nn.SiLU(), nn.Linear(time, time))
        self.inlet = nn.Conv2d(3, width, 3, padding=1)
        self.block1 = TimeBlock(width, time)
        self.down = nn.Conv2d(width, width, 3, 2, 1)
        self.block2 = TimeBlock(width, time)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.block3 = TimeBlock(width, time)
        self.outlet = nn.Sequential(nn.GroupNorm(4, width), nn.SiLU(), nn.Conv2d(width, 3, 3, padding=1))

    def forward(self, x: Tensor, step: Tensor) -> Tensor:
        angle = step[:, None] * 10.0 ** -torch.arange(4)
        emb = self.embed(torch.cat([angle.sin(), angle.cos()], 1))
        fine = self.block1(self.inlet(x), emb)
        coarse = self.block2(self.down(fine), emb)
        return self.outlet(self.block3(fine + self.up(coarse), emb))


def diffusion_unet() -> Built:
    return Diffusion(), (torch.randn(4, 3, 16, 16), torch.randint(0, 1000, (4,)))


class MixtureDensity(nn.Module):
    def __init__(self, components: int = 4) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(20, 32), nn.Tanh())
        self.weights = nn.Linear(32, components)
        self.means = nn.Linear(32, components)
        self.scales = nn.Linear(32, components)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        hidden = self.hidden(x)
        return F.log_softmax(self.weights(hidden), 1), self.means(hidden), F.softplus(self.scales(hidden))


def mixture_density() -> Built:
    return MixtureDensity(), (torch.randn(16, 20),)


GENERATIVE = family(
    autoencoder, vae, vq_vae, coupling_flow, dcgan_generator, spectral_discriminator, diffusion_unet, mixture_density
)
