"""One export of one network, checked altogether."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import onnx
import torch
from comparing_gradients import GradientsResult, compare_gradients
from comparing_values import ValuesResult, compare_values, feed_of, is_faithful
from exporting import Variant, export, used
from huggingface_models import MODELS
from known_losses import LOSSES
from models import ZOO
from models.zoo import Built
from networks import NETWORKS

ALL: dict[str, Callable[[], Built]] = {**MODELS, **NETWORKS, **ZOO}
LIMIT = 1e-3
"""Of values, relative to the tensor's largest."""


@functools.lru_cache(maxsize=1)
def _made(name: str) -> Built:
    return ALL[name]()


def subject(name: str, variant: Variant) -> Built:
    """The network in the state that the variant asks for, in eval mode, and the inputs of one call."""
    module, inputs = _made(name)
    return (module if variant.fresh else used(module)).eval(), inputs


def exported(name: str, variant: Variant) -> tuple[onnx.ModelProto, torch.nn.Module, tuple[Any, ...]]:
    """Raises whatever the exporter raises."""
    module, inputs = subject(name, variant)
    return export(module, inputs, variant), module, inputs


def check(
    name: str, variant: Variant, model: onnx.ModelProto, module: torch.nn.Module, inputs: tuple[Any, ...]
) -> tuple[ValuesResult, GradientsResult]:
    """Assert that values are ONNX Runtime's, and gradients the original's but for what the format lost."""
    computed = compare_values(model, feed_of(model, inputs))
    assert computed.tensors > 0
    assert computed.worst < LIMIT, f"{computed.where}: {computed.worst:.1e}"
    found = compare_gradients(model, module, inputs)
    left = [each.split(" ")[0] for each in (*found.lost, *found.changed, *found.wrong, *found.extra)]
    unexplained = [each for each in left if not any(loss.covers(name, variant, each) for loss in LOSSES)]
    assert not unexplained, {k: v for k, v in vars(found).items() if k in ("lost", "changed", "wrong", "extra") and v}
    return computed, found


def faithful(model: onnx.ModelProto, module: torch.nn.Module, inputs: tuple[Any, ...]) -> bool:
    """Whether ONNX Runtime runs it, and gives what the original gives."""
    try:
        return is_faithful(model, module, inputs)
    except Exception:  # ONNX Runtime has a class of its own for each status
        return False
