"""Convolutional networks on images, whole and broken."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .case import (
    Built,
    Proof,
    add,
    both,
    diverges,
    images,
    learns,
    no_gradient,
    nonfinite,
    silent,
    strong,
    weak,
)
from .faults import (
    Mutate,
    NoneGrad,
    Shrink,
    Straight,
    bias,
    freeze,
    none,
    poison,
    scales,
    zero,
)


def case(
    name: str,
    label: str,
    why: str,
    proof: Proof,
    make: Callable[[], nn.Module],
    mutate: Mutate = none,
    culprits: tuple[str, ...] = (),
    layers: dict[str, str] | None = None,
    data: Callable[[], Any] = images,
    **options: Any,
) -> None:
    """Register a network of this file."""

    def build() -> Built:
        net = make()
        mutate(net)
        return net, data(), {"loss": "cross-entropy"} | options

    add(f"vision/{name}", label, "injected" if label != "healthy" else "twin", why, proof, build, culprits, layers)


# ---------------------------------------------------------------- residual CNN


class Block(nn.Module):
    """Two convolutions with batch norm, and a skip."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.conv_a, self.norm_a = nn.Conv2d(c, c, 3, padding=1, bias=False), nn.BatchNorm2d(c)
        self.conv_b, self.norm_b = nn.Conv2d(c, c, 3, padding=1, bias=False), nn.BatchNorm2d(c)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Any:
        """(B, c, H, W) → (B, c, H, W)."""
        return self.act(x + self.norm_b(self.conv_b(self.act(self.norm_a(self.conv_a(x))))))


class ResNet(nn.Module):
    """A stem, three blocks, a head."""

    def __init__(self, fault: str = "") -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU())
        self.body = nn.Sequential(Block(12), Block(12), Block(12))
        self.fc = nn.Linear(12, 4)
        self.drop = nn.Dropout(1.0 if fault == "drop1" else 0.1)
        self.fault = fault
        if fault == "forgotten":
            self.aux = nn.Linear(12, 12)
        if fault == "list":
            self.extra = [nn.Linear(12, 12)]

    def forward(self, x: Tensor) -> Any:
        """(B, 3, 12, 12) → (B, 4)."""
        h = self.stem(x)
        if self.fault == "nograd":
            with torch.no_grad():
                h = self.body(h)
        elif self.fault == "data":
            h = self.body(h).data
        elif self.fault == "checkpoint":
            h = checkpoint(self.body, h, use_reentrant=False)
        else:
            h = self.body(h)
        h = h.mean((2, 3))
        if self.fault == "none":
            h = NoneGrad.apply(h)  # type: ignore[no-untyped-call]
        if self.fault == "list":
            h = h + torch.tanh(self.extra[0](h))
        if self.fault == "float64":
            h = torch.as_tensor(h.detach().numpy())
        return self.fc(self.drop(h))


HALF = ("body.0.conv_a", "body.1.conv_a", "body.2.conv_b", "stem.0")
case("resnet", "healthy", "post-activation residual net with batch norm at default initialisation", learns(), ResNet)
case(
    "resnet-checkpoint",
    "healthy",
    "activation checkpointing recomputes, the gradient is the same",
    learns(),
    lambda: ResNet("checkpoint"),
)
case("resnet-frozen-stem", "healthy", "a frozen stem is transfer learning", learns(), ResNet, freeze("stem"))
case(
    "resnet-zero-gamma",
    "healthy",
    "last norm of each branch zero: the usual zero-init residual, opens in a step",
    learns(),
    ResNet,
    lambda n: [nn.init.zeros_(b.norm_b.weight) for b in n.body],
)
case(
    "resnet-in-place",
    "healthy",
    "in-place ReLUs in legal places",
    learns(),
    ResNet,
    lambda n: [b.register_module("act", nn.ReLU(inplace=True)) for b in n.body],
)
case(
    "resnet-no-grad",
    "dead",
    "the body runs under no_grad: nothing reaches body or stem",
    no_gradient(*HALF),
    lambda: ResNet("nograd"),
    none,
    (
        "body",
        "body.0",
        "body.1",
        "body.2",
        "stem",
        "stem.0",
        "stem.1",
        "body.0.conv_a",
        "fc",
        "body.2.act",
        "body.2.conv_b",
        "body.2.norm_b",
        "drop",
    ),
    {**dict.fromkeys(HALF, "dead"), "fc": "healthy"},
)
case(
    "resnet-data",
    "dead",
    "'.data' cuts the tape behind the body",
    no_gradient(*HALF),
    lambda: ResNet("data"),
    none,
    ("body.2.act", "body.2.conv_b", "body.2.norm_b", "body.2", "body", "fc", "drop"),
    {**dict.fromkeys(HALF, "dead"), "fc": "healthy"},
)
case(
    "resnet-numpy",
    "dead",
    "a trip through numpy cuts the tape",
    no_gradient(*HALF),
    lambda: ResNet("float64"),
    none,
    ("body.2.act", "body.2.conv_b", "body.2.norm_b", "body.2", "body", "fc", "drop"),
    {**dict.fromkeys(HALF, "dead"), "fc": "healthy"},
)
case(
    "resnet-none-backward",
    "dead",
    "a custom function whose backward returns None",
    no_gradient(*HALF),
    lambda: ResNet("none"),
    none,
    ("nonegrad()", "body.2.act", "body.2.conv_b", "body.2.norm_b", "body.2", "body", "fc", "drop"),
    {**dict.fromkeys(HALF, "dead"), "fc": "healthy"},
)
case(
    "resnet-forgotten",
    "dead",
    "a linear layer that forward never calls",
    no_gradient("aux"),
    lambda: ResNet("forgotten"),
    none,
    ("aux",),
    {"aux": "dead", "fc": "healthy", "stem.0": "healthy", "body.1.conv_b": "healthy"},
)
case(
    "resnet-dropout-1",
    "dead",
    "dropout with p = 1 before the head: all features are zero",
    no_gradient("fc", *HALF),
    lambda: ResNet("drop1"),
    none,
    ("drop",),
    {"fc": "dead", "stem.0": "dead", "body.0.conv_a": "dead"},
)
case(
    "resnet-nan",
    "exploding",
    "one NaN in a convolution",
    nonfinite,
    ResNet,
    poison("body.1.conv_a", float("nan")),
    ("body.1.conv_a",),
    {"body.1.conv_a": "exploding"},
)
case(
    "resnet-inf",
    "exploding",
    "one infinity in the head",
    nonfinite,
    ResNet,
    poison("fc", float("inf")),
    ("fc",),
    {"fc": "exploding"},
)
case(
    "resnet-zero-weight-stem",
    "dead",
    "conv and norm of the stem all zero, norm weight included: two zero factors in series",
    no_gradient("stem.0"),
    ResNet,
    lambda n: (zero("stem.0")(n), zero("stem.1")(n)),
    ("stem.0", "stem.1", "stem.2", "stem"),
    {"stem.0": "dead"},
)

# ---------------------------------------------------------------- VGG-like


class Vgg(nn.Module):
    """Six convolutions, a hidden layer, a head."""

    def __init__(self, fault: str = "", gain: float = 1.414) -> None:
        super().__init__()
        cs = [3, 12, 12, 20, 20, 24, 24]
        mods: list[nn.Module] = []
        for i, (a, b) in enumerate(pairwise(cs)):
            conv = nn.Conv2d(a, b, 3, padding=1)
            nn.init.normal_(conv.weight, std=gain / (9 * a) ** 0.5)
            nn.init.zeros_(conv.get_parameter("bias"))
            mods += [conv, nn.ReLU()] + ([nn.MaxPool2d(2)] if i in (1, 3) else [])
        self.features = nn.Sequential(*mods)
        self.classifier = nn.Sequential(nn.Linear(24 * 9, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 4))
        self.fault = fault

    def forward(self, x: Tensor) -> Any:
        """(B, 3, 12, 12) → (B, 4)."""
        h = self.features(x)
        if self.fault == "sign":
            h = torch.sign(h - h.mean())
        if self.fault == "straight":
            h = Straight.apply(h - h.mean())  # type: ignore[no-untyped-call]
        if self.fault == "clamp":
            h = h.clamp(min=1e4)
        if self.fault == "round":
            h = h.round()
        if self.fault == "reverse":
            h = Shrink.apply(h, -1.0)  # type: ignore[no-untyped-call]
        if self.fault == "faint":
            h = Shrink.apply(h, 1e-9)  # type: ignore[no-untyped-call]
        if self.fault == "loud":
            h = Shrink.apply(h, 1e7)  # type: ignore[no-untyped-call]
        if self.fault == "mask":
            h = (h > h.mean()).float()
        return self.classifier(h.flatten(1))


FEAT = ("features.0", "features.2", "features.5")
TAIL = ("sign()", "round()", "shrink()", "gt()", "clamp()", "features.12", "features.13", "classifier.0", "features")
case("vgg-he", "healthy", "He initialised VGG without norm", learns(), Vgg)
case("vgg-ste", "healthy", "binary features with a straight-through estimator", learns(), lambda: Vgg("straight"))
case(
    "vgg-sign",
    "dead",
    "sign has no gradient: nothing below it can learn",
    no_gradient(*FEAT),
    lambda: Vgg("sign"),
    none,
    TAIL,
    {**dict.fromkeys(FEAT, "dead"), "classifier.3": "healthy"},
)
case(
    "vgg-round",
    "dead",
    "round has no gradient",
    no_gradient(*FEAT),
    lambda: Vgg("round"),
    none,
    TAIL,
    {**dict.fromkeys(FEAT, "dead"), "classifier.3": "healthy"},
)
case(
    "vgg-mask",
    "dead",
    "a comparison cuts the tape",
    no_gradient(*FEAT),
    lambda: Vgg("mask"),
    none,
    TAIL,
    {**dict.fromkeys(FEAT, "dead"), "classifier.3": "healthy"},
)
case(
    "vgg-clamp",
    "dead",
    "clamped below at 1e4: flat on every sample",
    no_gradient(*FEAT),
    lambda: Vgg("clamp"),
    none,
    TAIL,
    dict.fromkeys(FEAT, "dead"),
    lr=1e-6,
)
case(
    "vgg-dead-relu",
    "dead",
    "bias of -1e3 silences a whole convolution",
    both(silent("features.6"), no_gradient(*FEAT)),
    Vgg,
    bias("features.5", -1e3),
    ("features.5", "features.6"),
    {"features.5": "dead", "features.0": "dead", "classifier.3": "healthy"},
)
case(
    "vgg-dead-fc",
    "dead",
    "bias of -500 silences the hidden classifier layer",
    both(silent("classifier.1"), no_gradient("classifier.0", *FEAT)),
    Vgg,
    bias("classifier.0", -500.0),
    ("classifier.0", "classifier.1"),
    {"classifier.0": "dead", "features.0": "dead", "features.2": "dead"},
)
case(
    "vgg-three-quarters-dead",
    "dead",
    "three quarters of a layer's units have bias -300",
    silent("classifier.1", 0.7),
    Vgg,
    lambda n: n.classifier[0].bias.data[:24].fill_(-300.0),
    ("classifier.0", "classifier.1"),
    {"features.0": "healthy", "features.2": "healthy", "classifier.3": "healthy"},
)
case(
    "vgg-tenth-dead",
    "healthy",
    "three of 32 units dead: partly dead is healthy with a note",
    learns(),
    Vgg,
    lambda n: n.classifier[0].bias.data[:3].fill_(-300.0),
)
case(
    "vgg-faint-backward",
    "vanishing",
    "a custom backward times 1e-9",
    weak("features.2", 1e-6),
    lambda: Vgg("faint"),
    none,
    TAIL,
    {"features.0": "vanishing", "features.2": "vanishing", "classifier.3": "healthy"},
)
case(
    "vgg-loud-backward",
    "exploding",
    "a custom backward times 1e7",
    strong("features.2"),
    lambda: Vgg("loud"),
    none,
    TAIL,
    {"features.0": "exploding", "features.2": "exploding", "classifier.3": "healthy"},
)
case(
    "vgg-hot",
    "exploding",
    "every convolution He x 8: 8^6 of the signal",
    strong("features.0", 100),
    lambda: Vgg(gain=11.3),
    none,
    (),
    {"features.0": "exploding"},
)
case(
    "vgg-two-faint",
    "vanishing",
    "two successive layers x 1e-5: a saddle neither escapes",
    weak("features.0", 1e-4),
    Vgg,
    scales(["features.5", "features.7"], 1e-5),
    ("features.5", "features.7", "features.6", "features.8"),
    {"features.0": "vanishing", "classifier.3": "healthy"},
)
case(
    "vgg-lr-tiny",
    "vanishing",
    "lr 1e-9: nothing moves in thousands of steps",
    lambda m, d, o: learns(-1.0, 60)(m, d, o),
    Vgg,
    lr=1e-9,
)
case("vgg-lr-huge", "exploding", "momentum SGD at lr 50", diverges(), Vgg, lr=50.0, optimizer="momentum")


# ---------------------------------------------------------------- U-Net


class UNet(nn.Module):
    """One level down, one up, with a skip."""

    def __init__(self, fault: str = "") -> None:
        super().__init__()
        self.down1 = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.SiLU())
        self.down2 = nn.Sequential(nn.Conv2d(8, 16, 3, 2, padding=1), nn.GroupNorm(2, 16), nn.SiLU())
        self.middle = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.GroupNorm(2, 16), nn.SiLU())
        self.up = nn.ConvTranspose2d(16, 8, 2, 2)
        self.merge = nn.Sequential(nn.Conv2d(16, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.SiLU())
        self.mask = nn.Conv2d(8, 1, 1)
        self.fault = fault

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, 12, 12) → (B, 1, 12, 12)."""
        a = self.down1(x)
        m = self.middle(self.down2(a))
        if self.fault == "detach":
            m = m.detach()
        u = self.up(m)
        if self.fault == "lost":
            u = torch.zeros_like(u)
        out = self.mask(self.merge(torch.cat([a, u], 1)))
        return torch.sigmoid(50 * out - 4e3) if self.fault == "saturated" else out


def masks() -> tuple[Tensor, Tensor]:
    """Smooth noise and where it is positive: (16, 3, 12, 12), (16, 1, 12, 12)."""
    x = torch.randn(16, 3, 12, 12)
    x = F.avg_pool2d(x, 3, 1, 1) * 3
    return x, (x.sum(1, keepdim=True) > 0).float()


UN = ("down2.0", "middle.0")
case("unet", "healthy", "U-Net with group norm for segmentation", learns(), UNet, data=masks, loss="bce")
case(
    "unet-detach",
    "dead",
    "the deep half is detached behind the bottleneck",
    no_gradient(*UN),
    lambda: UNet("detach"),
    none,
    ("middle.2", "middle.0", "middle.1", "middle", "up", "down2.0"),
    {"down2.0": "dead", "middle.0": "dead", "down1.0": "healthy", "up": "healthy", "mask": "healthy"},
    data=masks,
    loss="bce",
)
case(
    "unet-lost",
    "dead",
    "the upsampled half is replaced by zeros: computed, never used",
    no_gradient("up", *UN),
    lambda: UNet("lost"),
    none,
    ("up", "middle.2", "middle.0", "middle", "down2.0"),
    {"up": "dead", "middle.0": "dead", "down1.0": "healthy", "mask": "healthy"},
    data=masks,
    loss="bce",
)
case(
    "unet-nan",
    "exploding",
    "NaN in the transposed convolution",
    nonfinite,
    UNet,
    poison("up", float("nan")),
    ("up",),
    {"up": "exploding"},
    data=masks,
    loss="bce",
)
