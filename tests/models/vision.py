"""Vision beyond the classifier: windows, detection, key points, dense outputs, video. Images ``(B, 3, H, W)``."""
# mypy: disable-error-code="no-any-return"
# (torch types the result of calling a module as Any)

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import Block
from .convolutional import he_, images
from .zoo import Built, family


class WindowAttention(nn.Module):
    """Attention inside windows of 4 × 4 positions, with a learned bias for each relative position."""

    def __init__(self, width: int, heads: int, shift: int) -> None:
        super().__init__()
        self.heads, self.shift = heads, shift
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.bias_table = nn.Parameter(0.02 * torch.randn(49, heads))
        at = torch.stack(torch.meshgrid(torch.arange(4), torch.arange(4), indexing="ij")).flatten(1)
        apart = at[:, :, None] - at[:, None] + 3
        self.register_buffer("index", 7 * apart[0] + apart[1])

    def forward(self, x: Tensor) -> Tensor:
        batch, height, width, channels = x.shape
        y = torch.roll(self.norm(x), (-self.shift, -self.shift), (1, 2))
        y = y.view(batch, height // 4, 4, width // 4, 4, channels).transpose(2, 3).reshape(-1, 16, channels)
        q, k, v = self.qkv(y).view(len(y), 16, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        bias = self.bias_table[self.get_buffer("index")].permute(2, 0, 1)
        score = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5 + bias
        y = self.proj((score.softmax(-1) @ v).transpose(1, 2).reshape(len(y), 16, channels))
        y = y.view(batch, height // 4, width // 4, 4, 4, channels).transpose(2, 3).reshape(x.shape)
        return x + torch.roll(y, (self.shift, self.shift), (1, 2))


class Swin(nn.Module):
    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 2, 2)
        self.stage1 = nn.Sequential(WindowAttention(width, 2, 0), WindowAttention(width, 2, 2))
        self.reduce = nn.Linear(4 * width, 2 * width, bias=False)
        self.stage2 = nn.Sequential(WindowAttention(2 * width, 4, 0), WindowAttention(2 * width, 4, 2))
        self.norm = nn.LayerNorm(2 * width)
        self.head = nn.Linear(2 * width, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stage1(self.patches(x).permute(0, 2, 3, 1))
        x = torch.cat([x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]], -1)
        return self.head(self.norm(self.stage2(self.reduce(x))).mean((1, 2)))


def swin() -> Built:
    return Swin(), images(batch=4)


def resnext() -> Built:
    """Grouped convolutions in a bottleneck."""

    class Bottleneck(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.reduce = nn.Sequential(nn.Conv2d(32, 16, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
            self.split = nn.Sequential(nn.Conv2d(16, 16, 3, 1, 1, groups=4, bias=False), nn.BatchNorm2d(16), nn.ReLU())
            self.expand = nn.Sequential(nn.Conv2d(16, 32, 1, bias=False), nn.BatchNorm2d(32))

        def forward(self, x: Tensor) -> Tensor:
            return F.relu(x + self.expand(self.split(self.reduce(x))))

    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 5))
    net = nn.Sequential(nn.Conv2d(3, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.ReLU(), Bottleneck(), Bottleneck(), *head)
    return he_(net), images()


class Residual(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.fn = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.fn(x) + x


def conv_mixer(width: int = 24) -> Built:
    layers: list[nn.Module] = [nn.Conv2d(3, width, 2, 2), nn.GELU(), nn.BatchNorm2d(width)]
    for _ in range(3):
        spatial = nn.Conv2d(width, width, 5, padding=2, groups=width)
        layers.append(Residual(spatial, nn.GELU(), nn.BatchNorm2d(width)))
        layers += [nn.Conv2d(width, width, 1), nn.GELU(), nn.BatchNorm2d(width)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 5)), images()


class Hourglass(nn.Module):
    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.skip = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        self.low = nn.Sequential(
            nn.MaxPool2d(2), nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Upsample(scale_factor=2),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.skip(x) + self.low(x)


class KeyPoints(nn.Module):
    """Two hourglasses, each with its own heat maps."""

    def __init__(self, width: int = 16, points: int = 4) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 5, 2, 2), nn.BatchNorm2d(width), nn.ReLU())
        self.glasses = nn.ModuleList(Hourglass(width) for _ in range(2))
        self.maps = nn.ModuleList(nn.Conv2d(width, points, 1) for _ in range(2))
        self.merge = nn.Conv2d(points, width, 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        first = self.maps[0](self.glasses[0](x))
        return [first, self.maps[1](self.glasses[1](x + self.merge(first)))]


def key_points() -> Built:
    return KeyPoints(), images()


class AnchorFree(nn.Module):
    """A detector's head: class scores, box sides above zero and centredness, in a dict."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, width, 3, 2, 1), nn.GroupNorm(4, width), nn.ReLU(),
            nn.Conv2d(width, width, 3, 2, 1), nn.GroupNorm(4, width), nn.ReLU(),
        )  # fmt: skip
        self.scores = nn.Conv2d(width, 3, 3, padding=1)
        self.sides = nn.Conv2d(width, 4, 3, padding=1)
        self.centre = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        x = self.body(images)
        return {"scores": self.scores(x), "boxes": self.sides(x).exp(), "centre": self.centre(x)}


def anchor_free_detector() -> Built:
    return AnchorFree(), images()


@dataclass
class Detections:
    logits: Tensor
    boxes: Tensor


class QueryDetector(nn.Module):
    """DETR-like: learned queries look at the image; a dataclass comes out."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.backbone = nn.Conv2d(3, width, 4, 4)
        self.position = nn.Parameter(0.02 * torch.randn(16, width))
        self.queries = nn.Parameter(torch.randn(5, width))
        self.encoder = Block(width, 4)
        self.decoder = nn.TransformerDecoderLayer(width, 4, 64, batch_first=True, norm_first=True)
        self.classes = nn.Linear(width, 4)
        self.boxes = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 4), nn.Sigmoid())

    def forward(self, x: Tensor) -> Detections:
        memory = self.encoder(self.backbone(x).flatten(2).transpose(1, 2) + self.position)
        found = self.decoder(self.queries.expand(len(x), -1, -1), memory)
        return Detections(self.classes(found), self.boxes(found))


def query_detector() -> Built:
    return QueryDetector(), images(batch=4)


class Pyramid(nn.Module):
    """Atrous spatial pyramid pooling; masks of the image's own size come out."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU())
        self.rates = nn.ModuleList(nn.Conv2d(width, 8, 3, padding=rate, dilation=rate) for rate in (1, 2, 3))
        self.pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, 8, 1))
        self.out = nn.Sequential(nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 3, 1))

    def forward(self, image: Tensor) -> Tensor:
        x = self.body(image)
        branches = [rate(x) for rate in self.rates] + [self.pooled(x).expand(-1, -1, *x.shape[2:])]
        return F.interpolate(self.out(torch.cat(branches, 1)), image.shape[2:], mode="bilinear")


def atrous_pyramid() -> Built:
    return Pyramid(), images()


def super_resolution() -> Built:
    """Residual blocks without norms, then a pixel shuffle."""
    blocks = (Residual(nn.Conv2d(16, 16, 3, 1, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, 1, 1)) for _ in range(3))
    upscale = (nn.Conv2d(16, 64, 3, 1, 1), nn.PixelShuffle(2), nn.Conv2d(16, 3, 3, 1, 1))
    return nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1), *blocks, *upscale), images(batch=4)


def style_transfer() -> Built:
    """Reflection padding, instance norms, transposed convolution, tanh."""
    return nn.Sequential(
        nn.ReflectionPad2d(1), nn.Conv2d(3, 16, 3), nn.InstanceNorm2d(16, affine=True), nn.ReLU(),
        nn.Conv2d(16, 16, 3, 2, 1), nn.InstanceNorm2d(16, affine=True), nn.ReLU(),
        Residual(nn.Conv2d(16, 16, 3, 1, 1), nn.InstanceNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, 1, 1)),
        nn.ConvTranspose2d(16, 8, 4, 2, 1), nn.InstanceNorm2d(8, affine=True), nn.ReLU(),
        nn.Conv2d(8, 3, 3, 1, 1), nn.Tanh(),
    ), images(batch=4)  # fmt: skip


class SpatialTransformer(nn.Module):
    """The net turns its own input by six numbers that begin as the identity."""

    def __init__(self) -> None:
        super().__init__()
        self.localise = nn.Sequential(nn.Conv2d(3, 8, 5, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.theta = nn.Linear(32, 6)
        nn.init.normal_(self.theta.weight, std=0.01)
        self.theta.bias.data = torch.tensor([1.0, 0, 0, 0, 1, 0])
        self.classify = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(2),
            nn.Flatten(), nn.Linear(64, 5),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        grid = F.affine_grid(self.theta(self.localise(x)).view(-1, 2, 3), list(x.shape), align_corners=False)
        return self.classify(F.grid_sample(x, grid, align_corners=False))


def spatial_transformer() -> Built:
    return SpatialTransformer(), images()


def video_cnn() -> Built:
    """Three-dimensional convolutions, one in space and one in time: ``(B, 3, frames, H, W)``."""
    net = nn.Sequential(
        nn.Conv3d(3, 16, (1, 3, 3), (1, 2, 2), (0, 1, 1), bias=False), nn.BatchNorm3d(16), nn.ReLU(),
        nn.Conv3d(16, 16, (3, 1, 1), 1, (1, 0, 0), bias=False), nn.BatchNorm3d(16), nn.ReLU(), nn.MaxPool3d(2),
        nn.Conv3d(16, 24, 3, 1, 1), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(24, 5),
    )  # fmt: skip
    return net, (torch.randn(4, 3, 4, 16, 16),)


class LayerScaleBlock(nn.Module):
    """CaiT's: each branch times a vector that starts at 1e-4."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, 4, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.gamma_1 = nn.Parameter(1e-4 * torch.ones(width))
        self.gamma_2 = nn.Parameter(1e-4 * torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        x = x + self.gamma_1 * self.attn(y, y, y, need_weights=False)[0]
        return x + self.gamma_2 * self.mlp(self.norm2(x))


class LayerScaleViT(nn.Module):
    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.position = nn.Parameter(0.02 * torch.randn(16, width))
        self.blocks = nn.Sequential(LayerScaleBlock(width), LayerScaleBlock(width))
        self.head = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2) + self.position
        return self.head(self.blocks(x).mean(1))


def layer_scale_vit() -> Built:
    return LayerScaleViT(), images(batch=4)


VISION = family(
    swin, resnext, conv_mixer, key_points, anchor_free_detector, query_detector, atrous_pyramid, super_resolution,
    style_transfer, spatial_transformer, video_cnn, layer_scale_vit,
)  # fmt: skip
