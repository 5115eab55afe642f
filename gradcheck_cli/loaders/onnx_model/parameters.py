"""Which initialisers are parameters, which constants, and what the parameters are called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx
import torch

from gradcheck_cli.loaders.onnx_model.module import Held, Initial


def assign(_graph: onnx.GraphProto, initial: Mapping[str, Any]) -> dict[str, Initial]:
    """Initialiser → what it is in the module."""
    return {
        name: Held(name, value) if isinstance(value, torch.Tensor) and value.is_floating_point() and value.dim() else value
        for name, value in initial.items()
    }
