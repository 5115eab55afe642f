"""Networks written as ONNX by both exporters of torch, at several opsets."""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any

import onnx
import torch
from torch import nn


@dataclass(frozen=True)
class Variant:
    """One way of writing a network."""

    dynamo: bool
    opset: int
    folded: bool = True
    """As users export: optimised, batch norms folded. False: ``optimize=False``, ``TrainingMode.PRESERVE``."""
    fresh: bool = False
    """With the initial values, of which many are equal; else with values as after training."""

    @property
    def name(self) -> str:
        """For the tests' names and tables."""
        kept = "" if self.folded else "-kept"
        return f"{'dynamo' if self.dynamo else 'script'}{self.opset}{kept}{'-fresh' if self.fresh else ''}"


VARIANTS = (
    Variant(False, 13),
    Variant(False, 17, fresh=True),
    Variant(False, 20, folded=False),
    Variant(True, 18),
    Variant(True, 20, fresh=True),
    Variant(True, 23, folded=False),
)
"""Both exporters at three opsets each, among them each kind of optimisation."""


def used(module: nn.Module, seed: int = 0) -> nn.Module:
    """A copy whose parameters and running statistics are a little off their initial values, as after some training."""
    worn = copy.deepcopy(module)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in worn.parameters():
            if parameter.is_floating_point():
                spread = float(parameter.std()) if parameter.numel() > 1 else 0.0
                scale = 0.1 * spread if spread > 1e-3 * float(parameter.abs().mean()) else 0.05
                parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
        for path, buffer in worn.named_buffers():
            if path.endswith("running_mean"):
                buffer += 0.1 * torch.randn(buffer.shape, generator=generator)
            elif path.endswith("running_var"):
                buffer *= 0.5 + torch.rand(buffer.shape, generator=generator)
    return worn


def export(module: nn.Module, inputs: tuple[Any, ...], variant: Variant) -> onnx.ModelProto:
    """The file's message. Raises whatever the exporter raises."""
    with _quietly():
        if variant.dynamo:
            program = torch.onnx.export(
                module, inputs, dynamo=True, opset_version=variant.opset, optimize=variant.folded, verbose=False
            )
            assert program is not None
            return program.model_proto
        try:
            return _by_script(module, inputs, variant.opset, folded=variant.folded)
        except torch.onnx.errors.UnsupportedOperatorError:
            return _by_script(module, inputs, variant.opset + 1, folded=variant.folded)  # fused attention came with 14


def _by_script(module: nn.Module, inputs: tuple[Any, ...], opset: int, *, folded: bool) -> onnx.ModelProto:
    buffer: Any = io.BytesIO()  # as good as a path
    mode = torch.onnx.TrainingMode.EVAL if folded else torch.onnx.TrainingMode.PRESERVE
    torch.onnx.export(
        module, inputs, buffer, dynamo=False, opset_version=opset, training=mode, do_constant_folding=folded
    )
    return onnx.load_from_string(buffer.getvalue())


@contextmanager
def _quietly() -> Iterator[None]:
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
