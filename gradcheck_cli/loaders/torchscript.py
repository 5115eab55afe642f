"""TorchScript programs as networks that can be looked into: every module a module again, every operation run one by one.

Hooks on a loaded ScriptModule raise, and the profiling executor fuses operations away. So the methods' graphs are
interpreted here, and a call of a submodule is a call of an `nn.Module`, with its hooks, its mode and its parameters.
Such a file is a program by nature, which may read files and run without end: it is opened only with ``--trust``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from gradcheck_cli.loaders.pickled_module import torch_errors
from gradcheck_cli.loaders.refusals import BUILD_IN_PYTHON, TRUST, Slug, printable, refuse
from gradcheck_cli.loaders.script_graph import Interpreter, uses_mode
from gradcheck_cli.loaders.soundness import require_values
from gradcheck_cli.loaders.source import Source
from gradcheck_cli.records import Subject

FORMAT = "torchscript"
_MODE_FIXED = "nothing in the program asks for train or eval mode: it was baked in if it was traced"


def load(source: Source, *, trust: bool) -> Subject:
    """The program as a differentiable module. Raises a `ModelError` (`unsafe-archive`) without `trust`."""
    if not trust:
        message = "this is a TorchScript program, which can only be measured by running the code in it"
        raise refuse(Slug.UNSAFE_ARCHIVE, source.path, message, f"nothing was run; {TRUST}; or {BUILD_IN_PYTHON}")
    with torch_errors(source.path):
        # As torch.jit.load does, which keeps the unit with the functions in it to itself.
        unit = torch._C.CompilationUnit()
        cpu = torch.device("cpu")
        importer: Any = torch._C.import_ir_module_from_buffer
        wrap: Any = torch.jit._recursive.wrap_cpp_module
        script = wrap(importer(unit, source.data, cpu, {}, False))
        module = _Builder(unit).module(script)
    require_values(module, source.path)
    methods = (part._c._get_method(name) for part in script.modules() for name in part._c._method_names())
    fixed = not any(uses_mode(method.graph) for method in methods)
    return Subject(
        path=source.path,
        format=FORMAT,
        module=module,
        sha256=source.sha256,
        mode_fixed=fixed,
        remarks=(_MODE_FIXED,) if fixed else (),
    )


class ScriptedModule(nn.Module):
    """One module of a TorchScript program; `forward` interprets its graph."""

    _script: Any

    def __init__(self, script: Any, interpreter: Interpreter) -> None:
        super().__init__()
        vars(self)["_script"] = script  # past nn.Module, which would make it a child
        self._interpreter = interpreter
        self._values: dict[str, Any] = {}
        """Plain attributes that the program has set."""
        self._entry = "forward"

    def enter(self, method: str, args: list[Any]) -> Any:
        """Calls one of the methods that forward consists of, as a call of the module, so that its hooks see it."""
        before, self._entry = self._entry, method
        try:
            return self(*args)
        finally:
            self._entry = before

    def run_method(self, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """What the method `name` returns; raises whatever its operations raise."""
        method = self._script._c._get_method(name)
        bound = _bound(method.schema, args, kwargs)
        return self._interpreter.run(method.graph, [self, *bound])

    def read(self, name: str) -> Any:
        """The attribute `name`, as the program sees it."""
        for table in (self._parameters, self._buffers, self._modules, self._values):
            if name in table:
                return table[name]
        return self.training if name == "training" else self._interpreter.own(getattr(self._script, name))

    def write(self, name: str, value: Any) -> None:
        """Sets the attribute `name`; a buffer stays the same tensor where it can."""
        held = self._buffers.get(name)
        if held is not None and isinstance(value, torch.Tensor) and held.shape == value.shape:
            held.detach().copy_(value.detach())
        elif name in self._buffers:
            self._buffers[name] = value
        else:
            self._values[name] = value


def _bound(schema: Any, args: list[Any], kwargs: dict[str, Any]) -> list[Any]:
    """All arguments in order, defaults filled in; raises `TypeError` as a Python function would."""
    parameters = [_parameter(argument) for argument in schema.arguments[1:]]
    bound = inspect.Signature(parameters).bind(*args, **kwargs)
    bound.apply_defaults()
    return list(bound.arguments.values())


def _parameter(argument: Any) -> inspect.Parameter:
    default = argument.default_value if argument.has_default_value() else inspect.Parameter.empty
    return inspect.Parameter(argument.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default)


class _Builder:
    """Rebuilds the tree of modules; parameters in the same memory become one."""

    def __init__(self, unit: Any) -> None:
        self.interpreter = Interpreter(unit)

    def module(self, script: Any) -> ScriptedModule:
        module = _class_of(script)(script, self.interpreter)
        module.training = bool(getattr(script, "training", True))
        for name, tensor in script.named_parameters(recurse=False):
            module.register_parameter(name, self.interpreter.parameter(tensor))
        for name, tensor in script.named_buffers(recurse=False):
            module.register_buffer(name, tensor)
        for name, child in script.named_children():
            module.add_module(name, self.module(child))
        return module


def _class_of(script: Any) -> type[ScriptedModule]:
    """A class of the original's name whose forward has its signature: both are shown, and inputs go by name."""
    name = printable(getattr(script, "original_name", "ScriptModule"), 60)
    forward: Callable[..., Any] = lambda self, *args, **kwargs: self.run_method(self._entry, list(args), kwargs)  # noqa: E731
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if hasattr(script, "forward"):
        parameters = [own, *(_parameter(argument) for argument in script.forward.schema.arguments[1:])]
        forward.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return type(name, (ScriptedModule,), {"forward": forward})
