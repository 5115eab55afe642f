"""ONNX operators as differentiable torch code: one file per family, joined by the table in `registry`."""

from __future__ import annotations

import functools
import importlib
import pkgutil

from gradcheck_cli.onnx_ops.registry import TABLE, Table


@functools.cache
def table() -> Table:
    """The table with all families in it; imports torch."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return TABLE
