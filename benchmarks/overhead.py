"""What an instrumented pass costs: its time over that of a bare forward and backward pass, as a ratio in one run.

    python benchmarks/overhead.py [--threads 1] [--repeat 15]

Bare and instrumented passes take turns, and the median of the paired ratios is printed, so that a machine that speeds up or
slows down does not matter. The instrumented pass does everything that `diagnose` does for a batch but the loss's own
backward pass, which is bare: module scopes, the tape, units, values, and the gradient's norm at every operation.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import nn


class Block(nn.Module):
    """ResNet-18's basic block, with in-place ReLU."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = (
            nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
            if stride > 1 or before != after
            else nn.Identity()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) → (B, C', H', W')."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.downsample(x)
        return self.relu(out)  # type: ignore[no-any-return]


def resnet18() -> tuple[nn.Module, torch.Tensor]:
    """A ResNet-18 on 8 images of 3×112×112."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, 64, 7, 2, 3, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
    ]
    width = 64
    for after, stride in ((64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)):
        layers.append(Block(width, after, stride))
        width = after
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000)]
    return nn.Sequential(*layers), torch.randn(8, 3, 112, 112)


class ViT(nn.Module):
    """ViT-tiny: width 192, 12 blocks, 3 heads, patches of 16."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 192, 16, 16)
        self.position = nn.Parameter(torch.randn(1, 197, 192) * 0.02)
        self.token = nn.Parameter(torch.zeros(1, 1, 192))
        block = nn.TransformerEncoderLayer(192, 3, 768, 0.0, "gelu", batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(block, 12, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(192)
        self.head = nn.Linear(192, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3, 224, 224) → (B, 1000)."""
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.position
        return self.head(self.norm(self.blocks(x))[:, 0])  # type: ignore[no-any-return]


def vit_tiny() -> tuple[nn.Module, torch.Tensor]:
    """A ViT-tiny on 4 images of 3×224×224."""
    return ViT(), torch.randn(4, 3, 224, 224)


def mlp50() -> tuple[nn.Module, torch.Tensor]:
    """50 layers of width 256 with ReLU, batch 128."""
    layers = [layer for _ in range(50) for layer in (nn.Linear(256, 256), nn.ReLU())]
    return nn.Sequential(*layers), torch.randn(128, 256)


MODELS: dict[str, tuple[Callable[[], tuple[nn.Module, torch.Tensor]], float]] = {
    "resnet18": (resnet18, 1.10),
    "vit-tiny": (vit_tiny, 1.15),
    "mlp-50x256": (mlp50, 1.25),
}


def bare(module: nn.Module, x: torch.Tensor, cotangent: torch.Tensor) -> None:
    """Forward and backward as a training step does them, without the optimiser."""
    torch.autograd.grad(module(x), list(module.parameters()), cotangent)


def ratios(module: nn.Module, x: torch.Tensor, repeat: int) -> list[float]:
    """Paired ratios of instrumented over bare."""
    from gradcheck_cli.probe.batch import measure, prepare
    from gradcheck_cli.records import Batch

    subject = prepare(module, 0)
    batch = Batch(args=(x,), size=len(x))
    cotangent = torch.ones_like(module(x))
    found = []
    for turn in range(repeat + 2):
        begin = time.perf_counter()
        bare(module, x, cotangent)
        middle = time.perf_counter()
        measure(subject, batch, None, keep=False)
        end = time.perf_counter()
        if turn >= 2:
            found.append((end - middle) / (middle - begin))
    return found


def start_ratio(repeat: int) -> float:
    """`gradcheck --help` over `python -c "import torch"`, whole processes."""
    found = []
    for _ in range(repeat):
        times = []
        for command in (["-m", "gradcheck_cli", "--help"], ["-c", "import torch"]):
            begin = time.perf_counter()
            subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
            times.append(time.perf_counter() - begin)
        found.append(times[0] / times[1])
    return statistics.median(found)


def main() -> None:
    """Print one line a model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {options.threads} threads; instrumented / bare forward and backward")
    for name, (make, aim) in MODELS.items():
        torch.manual_seed(0)
        found = ratios(*make(), options.repeat)
        low, middle, high = min(found), statistics.median(found), max(found)
        print(f"{name:12s} {middle:.3f}  (min {low:.3f}, max {high:.3f}; aim {aim})")
    print(f"gradcheck --help / import torch: {start_ratio(5):.3f}")


if __name__ == "__main__":
    main()
