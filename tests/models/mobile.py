"""Convolutional nets with depthwise convolutions, gates, several resolutions. Inputs ``(B, 3, H, W)``."""
# mypy: disable-error-code="no-any-return"
# (torch types the result of calling a module as Any)

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .convolutional import he_, images
from .zoo import Built, family


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int, reduction: int = 4, hard: bool = False) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // reduction, 1)
        self.fc2 = nn.Conv2d(channels // reduction, channels, 1)
        self.scale = nn.Hardsigmoid() if hard else nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        gate = F.adaptive_avg_pool2d(x, 1)
        gate = self.scale(self.fc2(F.relu(self.fc1(gate))))
        return x * gate


class InvertedResidual(nn.Module):
    def __init__(self, inside: int, expand: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.skip = stride == 1 and inside == width
        self.block = nn.Sequential(
            nn.Conv2d(inside, expand, 1, bias=False), nn.BatchNorm2d(expand), nn.Hardswish(inplace=True),
            nn.Conv2d(expand, expand, 3, stride, 1, groups=expand, bias=False), nn.BatchNorm2d(expand),
            nn.Hardswish(inplace=True), SqueezeExcite(expand, hard=True),
            nn.Conv2d(expand, width, 1, bias=False), nn.BatchNorm2d(width),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        out = self.block(x)
        if self.skip:
            out += x
        return out


def mobilenet() -> Built:
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.Hardswish(inplace=True),
        InvertedResidual(16, 32, 16), InvertedResidual(16, 48, 24, 2), InvertedResidual(24, 72, 24),
        InvertedResidual(24, 96, 32, 2), InvertedResidual(32, 96, 32),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 48), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(48, 5),
    )  # fmt: skip
    return he_(net), images()


class SEBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.se = SqueezeExcite(width)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(x + self.se(self.bn2(self.conv2(out))))


def squeeze_excite() -> Built:
    return nn.Sequential(
        nn.Conv2d(3, 24, 3, 2, 1), nn.BatchNorm2d(24), nn.ReLU(), SEBlock(24), SEBlock(24), SEBlock(24),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 5),
    ), images()  # fmt: skip


class ChannelLayerNorm(nn.LayerNorm):
    """Layer norm over the channels of ``(B, C, H, W)``."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNeXtBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.pwconv1 = nn.Linear(width, 4 * width)
        self.pwconv2 = nn.Linear(4 * width, width)
        self.gamma = nn.Parameter(1e-6 * torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        out = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        out = self.gamma * self.pwconv2(F.gelu(self.pwconv1(out)))
        return x + out.permute(0, 3, 1, 2)


def convnext() -> Built:
    """LayerScale starts at 1e-6: the branches are gated, not dead."""
    net = nn.Sequential(
        nn.Conv2d(3, 16, 2, 2), ChannelLayerNorm(16, eps=1e-6), ConvNeXtBlock(16), ConvNeXtBlock(16),
        ChannelLayerNorm(16, eps=1e-6), nn.Conv2d(16, 32, 2, 2), ConvNeXtBlock(32), ConvNeXtBlock(32),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(32), nn.Linear(32, 5),
    )  # fmt: skip
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]  # every layer here has one
    return net, images()


class ShuffleUnit(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.branch = nn.Sequential(
            nn.Conv2d(half, half, 1, bias=False), nn.BatchNorm2d(half), nn.ReLU(inplace=True),
            nn.Conv2d(half, half, 3, 1, 1, groups=half, bias=False), nn.BatchNorm2d(half),
            nn.Conv2d(half, half, 1, bias=False), nn.BatchNorm2d(half), nn.ReLU(inplace=True),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        keep, change = x.chunk(2, dim=1)
        out = torch.cat((keep, self.branch(change)), 1)
        return F.channel_shuffle(out, 2)


def shufflenet() -> Built:
    return nn.Sequential(
        nn.Conv2d(3, 24, 3, 2, 1, bias=False), nn.BatchNorm2d(24), nn.ReLU(inplace=True),
        ShuffleUnit(24), ShuffleUnit(24), nn.MaxPool2d(2), ShuffleUnit(24), ShuffleUnit(24),
        nn.Conv2d(24, 48, 1, bias=False), nn.BatchNorm2d(48), nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 5),
    ), images()  # fmt: skip


def double_conv(inside: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
        nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
    )  # fmt: skip


class UNet(nn.Module):
    """Segmentation: the output is ``(B, 2, H, W)``."""

    def __init__(self) -> None:
        super().__init__()
        self.down1 = double_conv(3, 8)
        self.down2 = double_conv(8, 16)
        self.middle = double_conv(16, 32)
        self.up2 = nn.ConvTranspose2d(32, 16, 2, 2)
        self.merge2 = double_conv(32, 16)
        self.up1 = nn.ConvTranspose2d(16, 8, 2, 2)
        self.merge1 = double_conv(16, 8)
        self.out = nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        skip1 = self.down1(x)
        skip2 = self.down2(F.max_pool2d(skip1, 2))
        x = self.middle(F.max_pool2d(skip2, 2))
        x = self.merge2(torch.cat([skip2, self.up2(x)], 1))
        x = self.merge1(torch.cat([skip1, self.up1(x)], 1))
        return self.out(x)


def unet() -> Built:
    return UNet(), images(batch=4)


class FeaturePyramid(nn.Module):
    """Two resolutions, a list of outputs as detectors have it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.GroupNorm(4, 16), nn.SiLU())
        self.deep = nn.Sequential(nn.Conv2d(16, 32, 3, 2, 1), nn.GroupNorm(4, 32), nn.SiLU())
        self.lateral = nn.ModuleList([nn.Conv2d(16, 16, 1), nn.Conv2d(32, 16, 1)])
        self.head = nn.Conv2d(16, 6, 3, padding=1)  # shared by both resolutions

    def forward(self, x: Tensor) -> list[Tensor]:
        fine = self.stem(x)
        coarse = self.deep(fine)
        top = self.lateral[1](coarse)
        below = self.lateral[0](fine) + F.interpolate(top, scale_factor=2.0, mode="nearest")
        return [self.head(below), self.head(top)]


def feature_pyramid() -> Built:
    return FeaturePyramid(), images()


MOBILE = family(mobilenet, squeeze_excite, convnext, shufflenet, unet, feature_pyramid)
