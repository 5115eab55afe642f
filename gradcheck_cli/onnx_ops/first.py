"""A first few operators."""

from __future__ import annotations

import torch
from torch import Tensor

from gradcheck_cli.onnx_ops.registry import operator


@operator("Relu")
def relu(x: Tensor) -> Tensor:
    """max(0, x)."""
    return torch.relu(x)
