"""Dropout in all its versions.

A training run (``call.mode.training``) drops even where the node says inference, so that it sees what training would see.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gradcheck_cli.onnx_ops.registry import Call, operator

Outputs = Tensor | tuple[Tensor, Tensor]


@operator("Dropout")
def dropout_1(
    call: Call, x: Tensor, *, consumed_inputs: object = None, is_test: int = 0, ratio: float = 0.5
) -> Outputs:
    """Versions 1 and 6: drops unless `is_test`; the mask has the type of `x`."""
    del consumed_inputs
    return _dropped(call, x, ratio, not is_test or call.mode.training, None, x.dtype)


@operator("Dropout", since=7)
def dropout_7(call: Call, x: Tensor, *, ratio: float = 0.5) -> Outputs:
    """Versions 7 and 10: inference only; the mask is boolean from 10 on."""
    return _dropped(call, x, ratio, call.mode.training, None, torch.bool if call.opset >= 10 else x.dtype)


@operator("Dropout", since=12)
def dropout_12(
    call: Call,
    x: Tensor,
    ratio: Tensor | None = None,
    training_mode: Tensor | None = None,
    *,
    seed: float | None = None,
) -> Outputs:
    """Versions 12, 13 and 22: ratio (0.5 if absent) and training mode are inputs."""
    share = 0.5 if ratio is None else float(ratio)
    training = training_mode is not None and bool(training_mode)
    return _dropped(call, x, share, training or call.mode.training, int(seed) if seed is not None else None, torch.bool)


def _dropped(call: Call, x: Tensor, ratio: float, training: bool, seed: int | None, mask_type: torch.dtype) -> Outputs:
    """x·mask / (1 - ratio) and the mask; x and all ones where nothing is dropped."""
    if not 0 <= ratio <= 1:
        raise ValueError(f"the ratio of Dropout is {ratio}, but must lie between 0 and 1")
    if not training or ratio == 0:
        return (x, torch.ones_like(x, dtype=mask_type)) if call.wants(1) else x
    if seed is not None:
        mask = _seeded_mask(x, ratio, seed)
        y = x * (mask.to(x.dtype) / (1 - ratio)) if ratio < 1 else x * 0
        return y, mask.to(mask_type)
    if not call.wants(1):
        return F.dropout(x, ratio)
    y, mask = torch.native_dropout(x, ratio, True)
    return y, mask.to(mask_type)


def _seeded_mask(x: Tensor, ratio: float, seed: int) -> Tensor:
    """The mask that the standard's reference implementation draws for a seed: the same in every run."""
    drawn = np.random.RandomState(seed % 2**32).uniform(0, 1.0, tuple(x.shape)) >= ratio
    return torch.from_numpy(np.asarray(drawn)).to(x.device)
