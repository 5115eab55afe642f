"""Which outputs the random question is put to, and the question: a Rademacher cotangent v with entries ±1.

It is put to what a training loss would be computed from. Caches, hidden states and attention maps that a model hands out
beside its prediction would give every layer a short cut to the output, and a vanishing signal would look healthy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from gradcheck_cli.tensors import leaves

_BESIDE = ("loss", "past_key_values", "hidden_states", "attentions", "cross_attentions", "encoder_last_hidden_state",
           "encoder_hidden_states", "encoder_attentions", "decoder_hidden_states", "decoder_attentions", "cache",
           "mems", "rnn_state")  # fmt: skip

_PREDICTED = ("boxes", "pred_")
"""Parts of names under which models hand out predictions beside their logits; what else there is beside them is not asked."""


def predictions(output: Any) -> list[torch.Tensor]:
    """The floating tensors of a model's output that a loss would be computed from, each once; several for several heads."""
    named = _named(output)
    if named:
        logits = {key: value for key, value in named.items() if "logits" in key}
        beside = {key: value for key, value in named.items() if any(part in key for part in _PREDICTED)}
        kept = (logits and {**logits, **beside}) or {key: value for key, value in named.items() if key not in _BESIDE}
        output = list((kept or named).values())
    if isinstance(output, (tuple, list)):
        tensors = [item for item in output if isinstance(item, torch.Tensor) and item.is_floating_point()]
        output = tensors or list(output)
    found = {id(t): t for t in leaves(output) if t.is_floating_point() or t.is_complex()}
    connected = [tensor for tensor in found.values() if tensor.grad_fn is not None]
    return connected or list(found.values())


def _named(output: Any) -> dict[str, Any]:
    if isinstance(output, Mapping):
        return {str(key): value for key, value in output.items() if value is not None}
    if dataclasses.is_dataclass(output) and not isinstance(output, type):
        pairs = ((field.name, getattr(output, field.name)) for field in dataclasses.fields(output))
        return {key: value for key, value in pairs if value is not None}
    return {}


def rademacher(tensors: list[torch.Tensor], generator: np.random.Generator) -> list[torch.Tensor]:
    """One cotangent of ±1 for each tensor, of its shape, dtype and device; drawn on the CPU so that devices agree."""
    drawn = []
    for tensor in tensors:
        bits = np.frombuffer(generator.bytes((tensor.numel() + 7) // 8), dtype=np.uint8)
        signs = np.unpackbits(bits, count=tensor.numel()).astype(np.float32)
        signs *= 2
        signs -= 1
        drawn.append(torch.from_numpy(signs).reshape(tensor.shape).to(device=tensor.device, dtype=tensor.dtype))
    return drawn
