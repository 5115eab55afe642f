"""What every loaded module must be before it is measured, whatever it came from."""

from __future__ import annotations

from torch import nn
from torch.nn.parameter import is_lazy

from gradcheck_cli.loaders.refusals import Slug, printable, refuse


def require_module(value: object, path: str) -> nn.Module:
    """`value` as a module. Raises a `ModelError` (`not-a-module`) with its type where it is none."""
    if isinstance(value, nn.Module):
        return value
    kind = printable(type(value).__name__)
    hint = "give an object of a class derived from torch.nn.Module"
    raise refuse(Slug.NOT_A_MODULE, path, f"this gives an object of type {kind}, not a torch.nn.Module", hint)


def require_values(module: nn.Module, path: str) -> None:
    """Refuses lazy parameters (`uninitialized-parameters`) and parameters on the meta device (`no-values`)."""
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if is_lazy(tensor):
            message = f"{printable(name)} is a lazy parameter without a shape"
            raise refuse(Slug.UNINITIALIZED, path, message, "run the model once on an input first")
        if tensor.is_meta:
            message = f"{printable(name)} is on the meta device: it has a shape but no values"
            raise refuse(Slug.NO_VALUES, path, message, "create or load the model with its weights")


def require_no_hooks(module: nn.Module, path: str) -> None:
    """Refuses hooks on modules, parameters and buffers (`unsafe-pickle`): only a file can have brought them."""
    for name, part in module.named_modules():
        for attribute, value in vars(part).items():
            if "hook" in attribute and isinstance(value, dict) and value:
                message = f"the module {printable(name or 'itself')} carries hooks, whose code would run"
                raise refuse(Slug.UNSAFE_PICKLE, path, message, "remove the hooks before saving")
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor._backward_hooks:
            message = f"{printable(name)} carries hooks, whose code would run"
            raise refuse(Slug.UNSAFE_PICKLE, path, message, "remove the hooks before saving")
