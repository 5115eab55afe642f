"""Which tensor of a model's output a target is compared with, and whether the output carries the model's own loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from gradcheck_cli.tensors import floating_leaves


def primary(output: Any) -> torch.Tensor | None:
    """Return the output itself if it is a tensor, else its ``logits``, else its first floating one; None without any.

    A tensor with dimensions goes before a single number, which is a loss beside the outputs.
    """
    if isinstance(output, torch.Tensor):
        return output
    logits = _member(output, "logits")
    if isinstance(logits, torch.Tensor):
        return logits
    found = floating_leaves(output)
    return next((tensor for tensor in found if tensor.dim()), found[0] if found else None)


def own_loss(output: Any) -> torch.Tensor | None:
    """Return the scalar ``loss`` that the output carries, None where it has none."""
    loss = _member(output, "loss")
    if isinstance(loss, torch.Tensor) and loss.numel() == 1 and loss.is_floating_point():
        return loss.reshape(())
    return None


def _member(output: Any, name: str) -> Any:
    if isinstance(output, Mapping):
        return output.get(name)
    return None if isinstance(output, torch.Tensor) else getattr(output, name, None)
