"""A model from Python: ``package.module:attribute`` or ``path/to/file.py:attribute``."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from torch import nn

from gradcheck_cli.errors import GradcheckError, NotCompleted
from gradcheck_cli.loaders.import_path import put_working_directory_on_path
from gradcheck_cli.loaders.refusals import Slug, printable, refuse, some
from gradcheck_cli.loaders.soundness import require_module, require_values
from gradcheck_cli.loaders.source import missing
from gradcheck_cli.records import Subject

FORMAT = "entry-point"
_SPEC = re.compile(r"(?P<module>.+):(?P<attribute>[^\W\d]\w*(\.[^\W\d]\w*)*)")
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


def is_entry_point(spec: str) -> bool:
    """Whether `spec` reads as ``module:attribute`` or ``file.py:attribute``; existing files come first, elsewhere."""
    match = _SPEC.fullmatch(spec)
    return bool(match) and (match["module"].endswith(".py") or bool(_MODULE.fullmatch(match["module"])))  # type: ignore[index]


def load(spec: str) -> Subject:
    """What `build` gives, as a `Subject`; raises as that does, and where parameters have no values."""
    module = build(spec)
    require_values(module, spec)
    return Subject(path=spec, format=FORMAT, module=module)


def build(spec: str) -> nn.Module:
    """The module that an entry point names: a module, a module class, or a callable without arguments that gives one.

    Raises:
        ModelError: it cannot be found, needs arguments, or gives something else.
        NotCompleted: `entry-point-failed`, its own code raised.
    """
    module_name, _, attribute = spec.rpartition(":")
    put_working_directory_on_path()
    value = _attribute(_module(module_name, spec), attribute, spec)
    return require_module(_called(value, spec), spec)


def _module(name: str, spec: str) -> ModuleType:
    if name.endswith(".py"):
        return _module_of_file(Path(name), spec)
    with _users_code(spec, name):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise _not_found(error, name, spec) from error


def _module_of_file(path: Path, spec: str) -> ModuleType:
    if not path.is_file():
        raise missing(str(path))
    name = path.stem
    loader_spec = importlib.util.spec_from_file_location(name, path)
    assert loader_spec is not None  # a .py file always has a loader
    assert loader_spec.loader is not None
    module = importlib.util.module_from_spec(loader_spec)
    with _users_code(spec, str(path)):
        sys.modules.setdefault(name, module)  # dataclasses and pickling look their module up
        loader_spec.loader.exec_module(module)
    return module


def _not_found(error: ModuleNotFoundError, name: str, spec: str) -> GradcheckError:
    wanted = error.name or name
    if name == wanted or name.startswith(wanted + "."):
        message = f"there is no Python module {printable(wanted)}"
        return refuse(Slug.NO_SUCH_MODULE, spec, message, "check the name, and run where it can be imported")
    message = f"importing {printable(name)} needs the module {printable(wanted)}, which is not installed"
    return refuse(Slug.NO_SUCH_MODULE, spec, message, "install it in the environment that gradcheck runs in")


def _attribute(module: ModuleType, dotted: str, spec: str) -> object:
    value: object = module
    for name in dotted.split("."):
        if not hasattr(value, name):
            near = difflib.get_close_matches(name, [entry for entry in dir(value) if not entry.startswith("__")], n=3)
            hint = f"did you mean {some(near)}?" if near else "check the name after the colon"
            where = printable(getattr(value, "__name__", type(value).__name__))
            raise refuse(Slug.NO_SUCH_ATTRIBUTE, spec, f"{where} has no attribute {printable(name)}", hint)
        value = getattr(value, name)
    return value


def _called(value: object, spec: str) -> object:
    if isinstance(value, nn.Module) or not callable(value):
        return value
    _require_no_arguments(value, spec)
    with _users_code(spec, getattr(value, "__name__", type(value).__name__)):
        return value()


def _require_no_arguments(function: Callable[..., object], spec: str) -> None:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # built-ins without a signature: calling will tell
        return
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    required = [p.name for p in parameters if p.default is inspect.Parameter.empty and p.kind not in variadic]
    if required:
        name = printable(getattr(function, "__name__", type(function).__name__))
        message = f"{name} needs arguments ({some(required)}) and is called without any"
        raise refuse(Slug.NEEDS_ARGUMENTS, spec, message, "write a function without arguments that returns the model")


@contextmanager
def _users_code(spec: str, what: str) -> Iterator[None]:
    """What the user's own code raises, with the place in it; SystemExit too, interrupts not."""
    try:
        yield
    except GradcheckError:
        raise
    except (Exception, SystemExit) as error:
        message = f"{printable(what)} raised {type(error).__name__}: {printable(error, 300)}{_place(error)}"
        hint = "make it run in Python first"
        slug = Slug.ENTRY_POINT_FAILED.value
        raise NotCompleted(slug, message, hint=hint, file=printable(spec, 400)) from error


def _place(error: BaseException) -> str:
    """`` (file:line)`` of the innermost frame that is neither ours, torch's nor the import system's."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({printable(error.filename, 200)}:{error.lineno})"
    directories = (Path(__file__).parent, Path(importlib.__file__).parent, Path(nn.__file__).parents[1])
    ours = ("<frozen", *map(str, directories))
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(ours)]
    return f" ({printable(frames[-1].filename, 200)}:{frames[-1].lineno})" if frames else ""
