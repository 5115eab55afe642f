"""What a measurement must leave alone, of a model and of the process: read it before and after, and compare."""
# mypy: disable-error-code="no-any-return,no-untyped-call,operator,union-attr"
# (torch types what modules return as Any, and their attributes as a tensor or a module)

from __future__ import annotations

import os
import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks", "_state_dict_hooks",
         "_forward_hooks_always_called", "_forward_hooks_with_kwargs", "_load_state_dict_pre_hooks")  # fmt: skip
GLOBAL_HOOKS = ("_global_forward_hooks", "_global_forward_pre_hooks", "_global_backward_hooks", "_global_backward_pre_hooks",
                "_global_forward_hooks_always_called", "_global_forward_hooks_with_kwargs")  # fmt: skip


def state_of(module: nn.Module) -> dict[str, Any]:
    """Everything that a look must leave alone, values copied, identities kept."""
    state: dict[str, Any] = {}
    for path, child in module.named_modules(remove_duplicate=False):
        state[f"{path} mode"] = child.training
        state[f"{path} hooks"] = [len(getattr(child, name)) for name in HOOKS]
        state[f"{path} attributes"] = sorted(vars(child))
        state[f"{path} buffer names"] = sorted(child._buffers)
    for name, parameter in module.named_parameters(remove_duplicate=False):
        state[f"{name} value"] = bits(parameter)
        state[f"{name} identity"] = (id(parameter), parameter.data_ptr(), parameter.requires_grad, id(parameter.grad))
        state[f"{name} grad"] = None if parameter.grad is None else bits(parameter.grad)
        state[f"{name} hooks"] = len(parameter._backward_hooks or ())
    for name, buffer in module.named_buffers(remove_duplicate=False):
        state[f"{name} value"] = bits(buffer)
        state[f"{name} identity"] = (id(buffer), buffer.data_ptr(), buffer.requires_grad)
    return state


def bits(tensor: Tensor) -> bytes:
    """Compared bit by bit: NaN equals itself, and −0 is not 0."""
    tensor = tensor.detach().to_dense() if tensor.is_sparse else tensor.detach()
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""


def _numpy_state() -> tuple[Any, ...]:
    name, keys, *rest = np.random.get_state(legacy=True)
    return (name, np.asarray(keys).tobytes(), *rest)


def process_state() -> dict[str, Any]:
    return {
        "torch": bits(torch.get_rng_state()),
        "numpy": _numpy_state(),
        "python": random.getstate(),
        "global hooks": [len(getattr(torch_module, name)) for name in GLOBAL_HOOKS],
        "grad mode": torch.is_grad_enabled(),
        "mkldnn": torch.backends.mkldnn.enabled,
        "cudnn": (torch.backends.cudnn.enabled, torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
        "dtype": torch.get_default_dtype(),
        "errors": np.geterr(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "anomaly": torch.is_anomaly_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "device": torch.get_default_device(),
        "precision": torch.get_float32_matmul_precision(),
        "saved tensors": torch._C._autograd._saved_tensors_hooks_is_enabled(),  # type: ignore[attr-defined]
        "modes": torch._C._len_torch_function_stack(),
        "warnings": list(warnings.filters),
        "folder": os.getcwd(),  # noqa: PTH109 (a path object would be made anew)
    }


def assert_untouched(module: nn.Module, look: Callable[[], Any]) -> None:
    random.random(), np.random.rand(), torch.rand(1)
    before, process = state_of(module), process_state()
    look()
    after, process_after = state_of(module), process_state()
    assert process_after == process
    assert [key for key in before if after.get(key) != before[key]] == []
    assert after.keys() == before.keys()
