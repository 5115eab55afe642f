"""What a loader is, and the table that joins the formats: one line a format that can be loaded."""

from __future__ import annotations

from typing import Protocol

from gradcheck_cli.loaders.formats import Kind
from gradcheck_cli.loaders.source import Source
from gradcheck_cli.records import Subject


class Loader(Protocol):
    """Bytes on disk → `Subject`. Raises only the classes of `gradcheck_cli.errors`."""

    def __call__(self, source: Source, *, trust: bool) -> Subject:
        """Loads the open file; runs code from it only if `trust`."""


def _pickled_module(source: Source, *, trust: bool) -> Subject:
    from gradcheck_cli.loaders import pickled_module  # imports torch

    return pickled_module.load(source, trust=trust)


def _exported_program(source: Source, *, trust: bool) -> Subject:
    from gradcheck_cli.loaders import exported_program  # imports torch

    return exported_program.load(source, trust=trust)


LOADERS: dict[Kind, Loader] = {
    Kind.PICKLED_MODULE: _pickled_module,
    Kind.EXPORTED_PROGRAM: _exported_program,
}
"""Every kind that is not here is in `formats.REFUSALS`."""
