"""Unusual nets: fixed points, splines, spikes, complex numbers, functional weights, physics."""
# mypy: disable-error-code="no-any-return"
# (torch types the result of calling a module as Any)

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from .zoo import Built, family


class Equilibrium(nn.Module):
    """The fixed point of a contraction: found without gradients, then one step of it with them."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.inlet = nn.Linear(20, width)
        self.cell = parametrizations.spectral_norm(nn.Linear(width, width))
        self.out = nn.Linear(width, 3)

    def step(self, z: Tensor, x: Tensor) -> Tensor:
        return torch.tanh(0.8 * self.cell(z) + x)

    def forward(self, x: Tensor) -> Tensor:
        x = self.inlet(x)
        z = torch.zeros_like(x)
        with torch.no_grad():
            for _ in range(15):
                z = self.step(z, x)
        return self.out(self.step(z, x))


def equilibrium() -> Built:
    return Equilibrium(), (torch.randn(16, 20),)


class Splines(nn.Module):
    """Kolmogorov-Arnold: a sum of bumps on every edge, beside a plain path."""

    def __init__(self, inside: int, outside: int, bumps: int = 6) -> None:
        super().__init__()
        self.register_buffer("centres", torch.linspace(-2, 2, bumps))
        self.base = nn.Linear(inside, outside, bias=False)
        self.coefficients = nn.Parameter(0.1 * torch.randn(outside, inside, bumps))

    def forward(self, x: Tensor) -> Tensor:
        bumps = torch.exp(-(((x[..., None] - self.get_buffer("centres")) / 0.8) ** 2))
        return self.base(F.silu(x)) + torch.einsum("bik,oik->bo", bumps, self.coefficients)


def kolmogorov_arnold() -> Built:
    return nn.Sequential(Splines(8, 12), Splines(12, 12), Splines(12, 2)), (torch.randn(16, 8),)


class Spike(torch.autograd.Function):
    """A step forwards, a fast sigmoid's slope backwards."""

    @staticmethod
    def forward(ctx: Any, potential: Tensor) -> Tensor:
        ctx.save_for_backward(potential)
        return (potential > 0).to(potential.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (potential,) = ctx.saved_tensors
        return gradient / (1 + 2 * potential.abs()) ** 2


class Spiking(nn.Module):
    """Leaky integrate-and-fire neurons over eight steps; the mean rate is read."""

    def __init__(self) -> None:
        super().__init__()
        self.inlet, self.out = nn.Linear(20, 32), nn.Linear(32, 3)

    def forward(self, x: Tensor) -> Tensor:
        current = self.inlet(x)
        potential, total = torch.zeros_like(current), torch.zeros(len(x), 3)
        for _ in range(8):
            potential = 0.8 * potential + current
            spikes = Spike.apply(potential - 0.5)  # type: ignore[no-untyped-call]
            potential = potential - 0.5 * spikes
            total = total + self.out(spikes)
        return total / 8


def spiking() -> Built:
    return Spiking(), (torch.randn(16, 20),)


class ComplexNet(nn.Module):
    """Complex weights between a Fourier transform and an absolute value."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn(9, 16, dtype=torch.cfloat) / 3)
        self.second = nn.Parameter(torch.randn(16, 8, dtype=torch.cfloat) / 4)
        self.out = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        z = torch.fft.rfft(x, norm="ortho") @ self.first
        z = torch.complex(F.relu(z.real), F.relu(z.imag)) @ self.second
        return self.out(z.abs())


def complex_valued() -> Built:
    return ComplexNet(), (torch.randn(16, 16),)


def weight_normed() -> Built:
    weight = parametrizations.weight_norm
    return nn.Sequential(
        weight(nn.Linear(20, 32)), nn.ReLU(), weight(nn.Linear(32, 32)), nn.ReLU(), weight(nn.Linear(32, 3))
    ), (torch.randn(16, 20),)


class FastWeights(nn.Module):
    """MAML: one gradient step on the support set inside forward, then the adapted net on the query set."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 1))

    def forward(self, support: Tensor, answers: Tensor, query: Tensor) -> Tensor:
        weights: dict[str, Tensor] = dict(self.net.named_parameters())
        error = F.mse_loss(torch.func.functional_call(self.net, weights, (support,)), answers)
        slopes = torch.autograd.grad(error, list(weights.values()), create_graph=True)
        adapted = {name: w - 0.1 * s for (name, w), s in zip(weights.items(), slopes, strict=True)}
        return torch.func.functional_call(self.net, adapted, (query,))


def fast_weights() -> Built:
    return FastWeights(), (torch.randn(8, 6), torch.randn(8, 1), torch.randn(8, 6))


class PhysicsInformed(nn.Module):
    """u(x, t) and the residual of the heat equation, from derivatives taken inside forward."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 1))

    def forward(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        x, t = x.detach().requires_grad_(), t.detach().requires_grad_()
        u = self.net(torch.cat([x, t], 1))
        u_x, u_t = torch.autograd.grad(u.sum(), (x, t), create_graph=True)
        (u_xx,) = torch.autograd.grad(u_x.sum(), x, create_graph=True)
        return u, u_t - u_xx


def physics_informed() -> Built:
    return PhysicsInformed(), (torch.rand(16, 1), torch.rand(16, 1))


class OperatorNet(nn.Module):
    """DeepONet: a function by its values at sensors, and the points where its image is asked for."""

    def __init__(self, sensors: int = 16) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.Linear(sensors, 32), nn.Tanh(), nn.Linear(32, 16))
        self.trunk = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 16))
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, u: Tensor, y: Tensor) -> Tensor:
        return (self.branch(u) * self.trunk(y)).sum(-1) + self.bias


def operator_net() -> Built:
    return OperatorNet(), (torch.randn(16, 16), torch.rand(16, 2))


class FourierLayer(nn.Module):
    def __init__(self, width: int, modes: int = 6) -> None:
        super().__init__()
        self.modes = modes
        self.weight = nn.Parameter(torch.randn(modes, width, width, dtype=torch.cfloat) / width)
        self.local = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        spectrum = torch.einsum("bcm,mco->bom", torch.fft.rfft(x)[..., : self.modes], self.weight)
        return F.gelu(torch.fft.irfft(spectrum, x.shape[-1]) + self.local(x))


def fourier_operator(width: int = 12) -> Built:
    """FNO: products in the frequency domain."""
    layers = (FourierLayer(width), FourierLayer(width))
    return nn.Sequential(nn.Conv1d(2, width, 1), *layers, nn.Conv1d(width, 1, 1)), (torch.randn(4, 2, 32),)


class Sine(nn.Module):
    def __init__(self, inside: int, outside: int, bound: float) -> None:
        super().__init__()
        self.linear = nn.Linear(inside, outside)
        nn.init.uniform_(self.linear.weight, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(30 * self.linear(x))


def sine_representation() -> Built:
    """SIREN with its own initialisation."""
    bound = (6 / 32) ** 0.5 / 30
    out = nn.Linear(32, 3)
    nn.init.uniform_(out.weight, -30 * bound / 6, 30 * bound / 6)
    return nn.Sequential(Sine(2, 32, 0.5), Sine(32, 32, bound), Sine(32, 32, bound), out), (torch.rand(64, 2) * 2 - 1,)


class Hamiltonian(nn.Module):
    """The motion that a learned energy gives to places and momenta."""

    def __init__(self) -> None:
        super().__init__()
        self.energy = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 1))

    def forward(self, q: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        q, p = q.detach().requires_grad_(), p.detach().requires_grad_()
        dq, dp = torch.autograd.grad(self.energy(torch.cat([q, p], -1)).sum(), (q, p), create_graph=True)
        return dp, -dq


def hamiltonian() -> Built:
    return Hamiltonian(), (torch.randn(16, 2), torch.randn(16, 2))


UNUSUAL = family(
    equilibrium, kolmogorov_arnold, spiking, complex_valued, weight_normed, fast_weights, physics_informed,
    operator_net, fourier_operator, sine_representation, hamiltonian,
)  # fmt: skip
