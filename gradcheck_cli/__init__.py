"""gradcheck: can this network learn, and if not, where, why and what to do.

>>> import gradcheck_cli as gradcheck
>>> diagnosis = gradcheck.diagnose(model, data=(x, y), loss="cross-entropy")  # doctest: +SKIP
>>> diagnosis.verdict, diagnosis.culprits  # doctest: +SKIP

Importing this imports no torch; the first use of a name does what it needs.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradcheck_cli import errors as errors
    from gradcheck_cli.load import load as load
    from gradcheck_cli.pipeline import diagnose as diagnose
    from gradcheck_cli.records import Diagnosis as Diagnosis
    from gradcheck_cli.records import Verdict as Verdict

__version__ = "0.1.0"
__all__ = ["Diagnosis", "Verdict", "__version__", "diagnose", "errors", "load"]

_HOME = {"Diagnosis": "records", "Verdict": "records", "diagnose": "pipeline"}
_SUBMODULES = ("errors", "load")


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _CallableLoad(ModuleType):
    def __call__(self, *args: Any, **options: Any) -> Any:
        return self.load(*args, **options)


class _Package(ModuleType):
    """Lets `gradcheck.load(…)` be called: a subpackage has the same name, and its import binds it here."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "load" and type(value) is ModuleType:
            value.__class__ = _CallableLoad
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
