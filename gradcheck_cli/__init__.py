"""gradcheck: can this network learn, and if not, where, why and what to do.

>>> import gradcheck_cli as gradcheck
>>> diagnosis = gradcheck.diagnose(model, data=(x, y), loss="cross-entropy")  # doctest: +SKIP
>>> diagnosis.verdict, diagnosis.culprits  # doctest: +SKIP

Importing this imports no torch; the first use of a name does what it needs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradcheck_cli import errors as errors
    from gradcheck_cli.loaders import load as load
    from gradcheck_cli.pipeline import diagnose as diagnose
    from gradcheck_cli.records import Diagnosis as Diagnosis
    from gradcheck_cli.records import Verdict as Verdict

__version__ = "0.1.0"
__all__ = ["Diagnosis", "Verdict", "__version__", "diagnose", "errors", "load"]

_HOME = {"Diagnosis": "records", "Verdict": "records", "diagnose": "pipeline", "load": "loaders"}


def __getattr__(name: str) -> Any:
    if name == "errors":
        return importlib.import_module(f"{__name__}.errors")
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
