"""What a model's forward takes: the names of its parameters, and which of them it needs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

TARGET_NAMES = ("y", "target", "targets", "label", "labels")
"""Names of the contract: a key of one of these names is the target, not an input."""


@dataclass(frozen=True)
class Signature:
    """The parameters of forward, in order, without ``self``."""

    required: tuple[str, ...]
    """Positional ones without a default."""
    optional: tuple[str, ...]
    """Positional ones with a default."""
    keywords: tuple[str, ...]
    """Keyword-only ones; needed or not."""
    needed_keywords: tuple[str, ...]
    """Keyword-only ones without a default."""
    any_positional: bool
    """Takes ``*args``."""
    any_keyword: bool
    """Takes ``**kwargs``."""
    absent: tuple[str, ...] = ()
    """Parameters of either kind that are None where they are not given."""
    by_order: tuple[str, ...] | None = None
    """Of an exported program: those that must be given by order, all others by name; None where either will do."""
    scalars: tuple[tuple[str, str], ...] = ()
    """Name and type of the parameters that are annotated as a plain ``bool``, ``int`` or ``float``."""

    @property
    def positional(self) -> tuple[str, ...]:
        """All that can be given by order."""
        return self.required + self.optional

    @property
    def needed(self) -> tuple[str, ...]:
        """All that must be given."""
        return self.required + self.needed_keywords

    def names(self, name: str) -> bool:
        """Tell whether `name` is a parameter of forward's own (``**kwargs`` does not count)."""
        return name in self.positional or name in self.keywords

    def __str__(self) -> str:
        parts = [*self.required, *(f"{name}=…" for name in self.optional)]
        parts += ["*args"] if self.any_positional else []
        parts += [name if name in self.needed_keywords else f"{name}=…" for name in self.keywords]
        parts += ["**kwargs"] if self.any_keyword else []
        shown = parts if len(parts) <= 8 else [*parts[:7], f"… {len(parts) - 7} more"]
        return f"forward({', '.join(shown)})"


def signature_of(module: torch.nn.Module) -> Signature:
    """Return the signature of the module's forward, seen through wrappers (DataParallel, torch.compile)."""
    inner = _unwrapped(module)
    if isinstance(inner, torch.fx.GraphModule):
        names = tuple(str(node.target) for node in inner.graph.nodes if node.op == "placeholder")
        inspected = _inspected(inner)
        if not (inspected and inspected.needed):
            return Signature(names, (), (), (), False, False)
        return replace(inspected, by_order=_exported_by_order(inner, inspected))
    return _inspected(inner) or Signature((), (), (), (), True, True)


def _exported_by_order(module: torch.fx.GraphModule, signature: Signature) -> tuple[str, ...] | None:
    """Programs take their inputs only in the way in which they were exported: its tree of arguments tells which."""
    tree = getattr(getattr(module.graph._codegen, "pytree_info", None), "in_spec", None)
    if tree is None or tree.num_children != 2:
        return None
    return signature.positional[: tree.child(0).num_children]


def signature_of_call(function: Callable[..., object]) -> Signature | None:
    """Return the signature of any callable; None where it cannot be told."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    kind = inspect.Parameter
    positional = [p for p in parameters if p.kind in (kind.POSITIONAL_ONLY, kind.POSITIONAL_OR_KEYWORD)]
    keywords = [p for p in parameters if p.kind is kind.KEYWORD_ONLY]
    return Signature(
        required=tuple(p.name for p in positional if p.default is kind.empty),
        optional=tuple(p.name for p in positional if p.default is not kind.empty),
        keywords=tuple(p.name for p in keywords),
        needed_keywords=tuple(p.name for p in keywords if p.default is kind.empty),
        any_positional=any(p.kind is kind.VAR_POSITIONAL for p in parameters),
        any_keyword=any(p.kind is kind.VAR_KEYWORD for p in parameters),
        absent=tuple(p.name for p in (*positional, *keywords) if p.default is None),
        scalars=tuple((p.name, said) for p in parameters if (said := _annotation(p)) in ("bool", "int", "float")),
    )


def _annotation(parameter: inspect.Parameter) -> str:
    """Return the annotation as text, whether it was written as a string or not."""
    said = parameter.annotation
    return said if isinstance(said, str) else str(getattr(said, "__name__", ""))


def _unwrapped(module: torch.nn.Module) -> torch.nn.Module:
    for attribute in ("_orig_mod", "module"):
        inner = dict(module.named_children()).get(attribute)
        if isinstance(inner, torch.nn.Module) and _takes_anything(module):
            return _unwrapped(inner)
    return module


def _takes_anything(module: torch.nn.Module) -> bool:
    found = _inspected(module)
    return found is None or (found.any_positional and not found.positional)


def _inspected(module: torch.nn.Module) -> Signature | None:
    return signature_of_call(module.forward)
