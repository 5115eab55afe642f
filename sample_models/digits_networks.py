"""Nets trained here on scikit-learn's digits (1797 images of 8 × 8), some of them then broken in a known layer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from sample import SampleModel
from sklearn.datasets import load_digits
from torch import Tensor, nn

TRAINING = 1297
"""Samples to train on; the other 500 are the test."""


def digits() -> tuple[Tensor, Tensor]:
    """Images ``(1797, 1, 8, 8)`` with zero mean and unit variance, and the digit ``(1797,)``, shuffled."""
    data = load_digits()
    order = torch.randperm(len(data.target), generator=torch.Generator().manual_seed(0))
    images = torch.from_numpy(data.data).float().view(-1, 1, 8, 8)
    return ((images - images.mean()) / images.std())[order], torch.from_numpy(data.target).long()[order]


def train(net: nn.Module, epochs: int, lr: float = 3e-3) -> str:
    """Adam on the training part, in place; gives the final figures in words."""
    x, y = digits()
    optimizer = torch.optim.Adam(net.parameters(), lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    generator = torch.Generator().manual_seed(0)
    net.train()
    for _ in range(epochs):
        for rows in torch.split(torch.randperm(TRAINING, generator=generator), 64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        schedule.step()
    net.eval()
    with torch.no_grad():
        output = net(x)
    right = (output.argmax(1) == y).float()
    loss = nn.functional.cross_entropy(output[:TRAINING], y[:TRAINING])
    return (
        f"training accuracy {right[:TRAINING].mean():.4f}, test accuracy {right[TRAINING:].mean():.4f}, "
        f"training loss {loss:.1e}"
    )


def _sample(net: nn.Module, exported: bool = False, onnx: bool = False) -> SampleModel:
    """With 256 of the images that it was trained on."""
    x, y = digits()
    return SampleModel(net, x[:256].clone(), y[:256].clone(), exported, onnx)


def _named(**layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(layers))


def digits_cnn() -> SampleModel:
    """Healthy: converged, so that all loss gradients are tiny."""
    torch.manual_seed(0)
    net = _named(
        conv1=nn.Conv2d(1, 16, 3, padding=1), bn1=nn.BatchNorm2d(16), relu1=nn.ReLU(),
        conv2=nn.Conv2d(16, 32, 3, padding=1), bn2=nn.BatchNorm2d(32), relu2=nn.ReLU(), pool=nn.MaxPool2d(2),
        conv3=nn.Conv2d(32, 32, 3, padding=1), bn3=nn.BatchNorm2d(32), relu3=nn.ReLU(), pool3=nn.MaxPool2d(2),
        flatten=nn.Flatten(), fc=nn.Linear(128, 10),
    )  # fmt: skip
    print(f"digits_cnn: {train(net, epochs=60)}")
    return _sample(net)


def digits_broken() -> SampleModel:
    """Dead: trained well, then the bias of ``conv2`` set to -50, so that its ReLU never fires."""
    torch.manual_seed(0)
    conv2 = nn.Conv2d(16, 32, 3, padding=1)
    net = _named(
        conv1=nn.Conv2d(1, 16, 3, padding=1), bn1=nn.BatchNorm2d(16), relu1=nn.ReLU(),
        conv2=conv2, relu2=nn.ReLU(), pool=nn.MaxPool2d(2),
        conv3=nn.Conv2d(32, 32, 3, padding=1), bn3=nn.BatchNorm2d(32), relu3=nn.ReLU(), pool3=nn.MaxPool2d(2),
        flatten=nn.Flatten(), fc=nn.Linear(128, 10),
    )  # fmt: skip
    print(f"digits_broken, before: {train(net, epochs=8)}")
    assert conv2.bias is not None
    nn.init.constant_(conv2.bias, -50.0)
    return _sample(net)


def digits_saturated() -> SampleModel:
    """Vanishing: trained well, then ``hidden2`` made a thousand times larger: its sigmoid is flat everywhere."""
    torch.manual_seed(0)
    hidden2 = nn.Linear(48, 48)
    net = _named(
        flatten=nn.Flatten(), hidden1=nn.Linear(64, 48), relu1=nn.ReLU(), hidden2=hidden2, sigmoid2=nn.Sigmoid(),
        out=nn.Linear(48, 10),
    )  # fmt: skip
    print(f"digits_saturated, before: {train(net, epochs=40)}")
    with torch.no_grad():
        hidden2.weight *= 1000.0
    return _sample(net)


class ResidualBlock(nn.Module):
    """Two convolutions with batch norm beside the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` in and out."""
        out = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(x + self.bn2(self.conv2(out)))


def residual_cnn() -> SampleModel:
    """Healthy: three residual blocks, a few epochs of training, exported in eval mode."""
    torch.manual_seed(0)
    net = _named(
        stem=nn.Conv2d(1, 16, 3, padding=1), block1=ResidualBlock(16), block2=ResidualBlock(16), pool=nn.MaxPool2d(2),
        block3=ResidualBlock(16), average=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), fc=nn.Linear(16, 10),
    )  # fmt: skip
    print(f"residual_cnn: {train(net, epochs=5)}")
    return _sample(net, exported=True, onnx=True)


DIGITS_NETWORKS: dict[str, Callable[[], SampleModel]] = {
    build.__name__: build for build in (digits_cnn, digits_broken, digits_saturated, residual_cnn)
}
