"""What our ONNX interpreter costs: its forward and backward pass over that of the PyTorch original, as a ratio in one run.

    python benchmarks/onnx_speed.py [--threads 1] [--repeat 15]

A ResNet-18 (with its batch norms, and with them folded into the convolutions on both sides) and a small BERT, exported by both
exporters of torch. The two passes take turns, each with the gradients of all parameters, and the median of the paired ratios
is printed. `empty` is a chain of 200 additions to two numbers: what one node costs by itself.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from overhead import Block, resnet18
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from gradcheck_cli import load

Example = tuple[nn.Module, tuple[torch.Tensor, ...], dict[str, Any]]
"""The original, its inputs, and options of the export."""
AIM = 1.10


class Bert(nn.Module):
    """BERT with 4 layers of width 256 and a head for two classes."""

    def __init__(self, attention: str) -> None:
        from transformers import BertConfig, BertForSequenceClassification

        super().__init__()
        config = BertConfig(
            vocab_size=2000, hidden_size=256, num_hidden_layers=4, num_attention_heads=4, intermediate_size=1024
        )
        config._attn_implementation = attention
        self.bert = BertForSequenceClassification(config)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(B, S), (B, S) → (B, 2)."""
        return self.bert(input_ids=ids, attention_mask=mask).logits  # type: ignore[no-any-return]


class Chain(nn.Module):
    """200 additions to two numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(2,) → (2,)."""
        for _ in range(200):
            x = x + self.weight
        return x


def with_batch_norms() -> Example:
    """ResNet-18 in train mode, exported so."""
    module, x = resnet18()
    options = {"training": torch.onnx.TrainingMode.TRAINING, "do_constant_folding": False, "optimize": False}
    return module.train(), (x,), options


def folded() -> Example:
    """ResNet-18 whose batch norms are part of its convolutions, in the original too."""
    module: Any
    module, x = resnet18()
    module.eval()
    for block in module:
        if isinstance(block, Block):
            for number in ("1", "2"):
                _fold(block, f"conv{number}", f"bn{number}")
            if isinstance(block.downsample, nn.Sequential):
                _fold(block.downsample, "0", "1")
    _fold(module, "0", "1")
    return module.requires_grad_(True), (x,), {}


def _fold(module: nn.Module, convolution: str, norm: str) -> None:
    parts: Any = module._modules
    parts[convolution] = fuse_conv_bn_eval(parts[convolution], parts[norm])
    parts[norm] = nn.Identity()


def bert(attention: str, opset: int) -> Example:
    """BERT in eval mode: its dropout would be random."""
    ids = torch.randint(0, 2000, (8, 128))
    return Bert(attention).eval(), (ids, torch.ones_like(ids)), {"opset_version": opset}


def chain() -> Example:
    """200 nodes without work."""
    return Chain(), (torch.ones(2),), {"optimize": False, "do_constant_folding": False}


MODELS: dict[str, Callable[[], Example]] = {
    "resnet18": with_batch_norms,
    "resnet18 folded": folded,
    "bert": lambda: bert("sdpa", 20),
    "bert, opset 14": lambda: bert("sdpa", 14),
    "bert, eager attention": lambda: bert("eager", 20),
    "empty": chain,
}


def exported(example: Example, folder: Path, *, dynamo: bool) -> nn.Module:
    """The model as we read it back, in the mode of the original."""
    module, inputs, options = example
    only = ("optimize",) if not dynamo else ("do_constant_folding", "training")
    options = {key: value for key, value in options.items() if key not in only}
    path = folder / f"dynamo-{dynamo}.onnx"
    torch.onnx.export(module, inputs, str(path), dynamo=dynamo, verbose=False, **options)
    return load(str(path)).module.train(module.training)


def ratios(one: nn.Module, other: nn.Module, inputs: tuple[torch.Tensor, ...], repeat: int) -> Iterator[float]:
    """Paired ratios of `one` over `other`, forward and backward."""
    cotangent = torch.ones_like(other(*inputs))

    def timed(module: nn.Module) -> float:
        parameters = list(module.parameters())
        begin = time.process_time()
        torch.autograd.grad(module(*inputs), parameters, cotangent, allow_unused=True)
        return time.process_time() - begin

    for turn in range(repeat + 2):
        pair = [timed(module) for module in ((one, other) if turn % 2 else (other, one))]
        if turn >= 2:
            yield pair[0] / pair[1] if turn % 2 else pair[1] / pair[0]


def main() -> None:
    """Print one line a model and exporter."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--only", default="", help="models whose names begin so")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    print(
        f"torch {torch.__version__}, {options.threads} threads; interpreter / original, forward and backward (aim {AIM})"
    )
    for name, make in MODELS.items():
        for dynamo in (False, True):
            if not name.startswith(options.only) or (dynamo and "opset 14" in name):
                continue
            torch.manual_seed(0)
            example = make()
            with tempfile.TemporaryDirectory() as folder:
                module = exported(example, Path(folder), dynamo=dynamo)
                found = list(ratios(module, example[0], example[1], options.repeat))
            low, middle, high = min(found), statistics.median(found), max(found)
            exporter = "dynamo" if dynamo else "older"
            steps = len(module.steps)  # type: ignore[arg-type]
            print(f"{name:22s} {exporter:7s} {middle:.3f}  (min {low:.3f}, max {high:.3f}; {steps} nodes)", flush=True)


if __name__ == "__main__":
    main()
