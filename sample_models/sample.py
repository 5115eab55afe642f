"""What one sample model is, and how it is written to disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class SampleModel:
    """A network and the data to diagnose it on: ``x`` (B, ...), ``y`` (B, ...)."""

    module: nn.Module
    x: Tensor
    y: Tensor
    exported: bool = False
    """True: written as ``.pt2`` (torch.export, dynamic batch), because torch.nn alone cannot express it."""
    onnx: bool = False
    """True: written as ``.onnx`` too (free batch size)."""

    def write(self, name: str, folder: Path) -> Path:
        """Write ``NAME.pt`` or ``NAME.pt2``, and ``NAME.npz`` with the keys ``x`` and ``y``; gives the model's path."""
        np.savez_compressed(folder / f"{name}.npz", x=self.x.numpy(), y=self.y.numpy())
        if self.onnx:
            self._write_onnx(folder / f"{name}.onnx")
        if not self.exported:
            path = folder / f"{name}.pt"
            torch.save(self.module, path)
            return path
        path = folder / f"{name}.pt2"
        batch = torch.export.Dim("batch", min=1, max=4096)
        program = torch.export.export(self.module, (self.x[:4],), dynamic_shapes=({0: batch},))
        for node in program.graph.nodes:
            node.meta.pop("stack_trace", None)  # paths of the machine that it was built on
        torch.export.save(program, path)
        return path

    def _write_onnx(self, path: Path) -> None:
        free = {"x": {0: "batch"}, "y": {0: "batch"}}
        torch.onnx.export(
            self.module, (self.x[:4],), path, dynamo=False, opset_version=17, input_names=["x"], output_names=["y"],
            dynamic_axes=free,
        )  # fmt: skip
