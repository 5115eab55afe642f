"""Finds what a ``module:attribute`` names: the user's own data or loss in Python."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gradcheck_cli.errors import SampleError

_PATTERN = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def is_entry_point(text: str) -> bool:
    """Tell whether `text` is written as ``package.module:attribute``."""
    return _PATTERN.fullmatch(text) is not None


def resolve(text: str) -> Any:
    """Return the object that ``package.module:attribute`` names; the working directory is searched first.

    Raises:
        SampleError: ``missing-entry-point``, or ``entry-point-failed`` where importing raises.
    """
    module_name, _, attribute = text.partition(":")
    with working_directory_first():
        try:
            found: Any = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name is not None and (module_name == error.name or module_name.startswith(error.name + ".")):
                message = f"there is no module {error.name}"
                raise _missing(text, message) from error
            raise failed(text, error) from error
        except Exception as error:  # the user's module may raise anything
            raise failed(text, error) from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise _missing(text, f"module {module_name} has no {attribute}")
        found = getattr(found, part)
    return found


def called(text: str) -> Any:
    """Return what the entry point gives: itself, or the result of calling it without arguments.

    Raises:
        SampleError: as `resolve`, and ``entry-point-failed`` where the call raises.
    """
    found = resolve(text)
    if not callable(found):
        return found
    with working_directory_first():
        try:
            return found()
        except Exception as error:  # the user's code may raise anything
            raise failed(text, error) from error


def failed(text: str, error: Exception) -> SampleError:
    """Return the error for user code that raised."""
    message = f"it raised {type(error).__name__}: {str(error).strip() or '(no message)'}"
    return SampleError("entry-point-failed", message, hint="run it by hand in Python first", file=text)


@contextmanager
def working_directory_first() -> Iterator[None]:
    """Search the working directory for modules inside, as ``python -c`` does."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        if here in sys.path:
            sys.path.remove(here)


def _missing(text: str, message: str) -> SampleError:
    hint = "write it as package.module:attribute, importable from the working directory"
    return SampleError("missing-entry-point", message, hint=hint, file=text)
