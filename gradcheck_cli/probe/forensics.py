"""A second forward pass that watches every call: where does a path to the loss end, and where does the first NaN come from?

It is slower than the tape and therefore run only where the tape shows that layers ran and are not heard, or that values are
not finite. It watches PyTorch calls as the user wrote them (`detach`, `argmax`, `round`), below any module.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode, resolve_name

from gradcheck_cli.probe.recording import own_copy, recorded
from gradcheck_cli.probe.restore import set_mode
from gradcheck_cli.probe.scopes import Scopes
from gradcheck_cli.probe.statistics import count_spoilt
from gradcheck_cli.records import Batch
from gradcheck_cli.tensors import leaves


@dataclass
class Cut:
    """One call whose inputs were differentiable and whose outputs are not."""

    operation: str
    scope: int
    """Index of the module call that it runs in."""
    sources: list[Any]
    """Autograd nodes, or leaf tensors, of the differentiable inputs."""


@dataclass
class Forensics:
    """What one watched forward pass shows."""

    scopes: Scopes
    cuts: list[Cut] = field(default_factory=list)
    first_nonfinite: tuple[str, int, int] | None = None
    """(call, scope, module calls begun before it) of the first call that makes NaN or infinity out of finite inputs."""


_NOT_A_CUT = frozenset({"size", "dim", "numel", "shape", "__len__", "stride", "is_floating_point", "is_complex", "type",
                        "requires_grad_", "ndimension", "data_ptr", "__repr__", "__format__", "is_contiguous", "new_zeros",
                        "new_ones", "new_empty", "new_full", "new_tensor", "zeros_like", "ones_like", "empty_like",
                        "full_like", "rand_like", "randn_like", "backward", "register_hook", "get_device",
                        "has_torch_function", "is_same_size", "isfinite", "isnan", "isinf", "all", "any"})  # fmt: skip


def watch(module: nn.Module, batch: Batch) -> Forensics:
    """Run the model once more under watch. Its exceptions pass through."""
    with recorded(module) as (scopes, run):
        result = Forensics(scopes)
        with torch.enable_grad(), _Watcher(result):
            run(own_copy(batch))
    return result


def called_in_evaluation(module: nn.Module, batch: Batch) -> set[str]:
    """Paths of the modules that run in evaluation mode, where no layer is dropped by chance. Exceptions pass through."""
    modes = [(child, child.training) for child in module.modules()]
    set_mode(module, "eval")
    try:
        with recorded(module) as (scopes, run), torch.no_grad():
            run(own_copy(batch))
    finally:
        for child, training in modes:
            child.training = training
    return {scope.path for scope in scopes.calls}


class _Watcher(TorchFunctionMode):
    def __init__(self, result: Forensics) -> None:
        super().__init__()
        self.result = result

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self.result.scopes.busy:
            return func(*args, **kwargs)
        name = _name_of(func)
        before = [tensor for tensor in leaves((args, kwargs)) if isinstance(tensor, torch.Tensor)]
        sources = [tensor.grad_fn or tensor for tensor in before if tensor.requires_grad]
        finite = self.result.first_nonfinite is not None or all(count_spoilt(tensor) == 0 for tensor in before)
        output = func(*args, **kwargs)
        after = [tensor for tensor in leaves(output) if isinstance(tensor, torch.Tensor)]
        scope = self.result.scopes.current()
        if sources and after and name not in _NOT_A_CUT and not any(tensor.requires_grad for tensor in after):
            self.result.cuts.append(Cut(name if torch.is_grad_enabled() else "no_grad", scope, sources))
        if finite and self.result.first_nonfinite is None and any(count_spoilt(t) for t in after):
            self.result.first_nonfinite = (name, scope, len(self.result.scopes.calls))
        return output


def _name_of(func: Callable[..., Any]) -> str:
    name = getattr(func, "__name__", None) or str(func)
    if name == "__get__":  # a property: `.data`, `.T`, `.shape`
        full = resolve_name(func) or ""
        return full.rpartition(".__get__")[0].rpartition(".")[2] or name
    return name


def leaves_behind(sources: list[Any], names: dict[int, str]) -> set[str]:
    """Names of the parameters that the sources of a cut depend on."""
    found: set[str] = set()
    seen: set[Any] = set()
    stack: list[Any] = []
    for source in sources:
        if isinstance(source, torch.Tensor):
            found.update({names[id(source)]} if id(source) in names else ())
        else:
            stack.append(source)
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        variable = getattr(node, "variable", None)
        if variable is not None and id(variable) in names:
            found.add(names[id(variable)])
        stack.extend(source for source, _ in node.next_functions if source is not None)
    return found
