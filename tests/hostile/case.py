"""One case of the corpus: a folder with a hostile file in it, and the command line that is given it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

MARKER = "marker"
"""Name of the file that a payload would create in its case's folder."""
GOOD = "../good.pt"
"""An honest model beside the folders of all cases."""
LINEAR = ("--arch", "../architectures.py:linear")
"""The architecture ``Linear(2, 2)``."""

Content = bytes | Callable[[Path], bytes]
"""The bytes of a file, or what makes them of the path of the marker."""


@dataclass(frozen=True)
class Case:
    """One hostile file."""

    family: str
    name: str
    build: Callable[[Path], list[str]]
    """Writes everything into an empty folder, which will be the working directory; returns what follows ``diagnose``."""
    slugs: tuple[str, ...] = ()
    """The refusals that say what is wrong; empty: any refusal of a file."""
    loadable: bool = False
    """The file is no danger in itself: it may be diagnosed, too, if only nothing raw of it reaches the outputs."""
    changes: bool = False
    """The files change while they are read."""
    own_worker: bool = False
    """What matters happens between the command line and its worker: both are needed."""

    @property
    def label(self) -> str:
        return f"{self.family}/{self.name}"


def made(content: Content, folder: Path) -> bytes:
    return content if isinstance(content, bytes) else content(folder / MARKER)


def of_model(
    family: str, name: str, content: Content, *slugs: str, filename: str = "model.pt", options: tuple[str, ...] = ()
) -> Case:
    """A model file with this content."""

    def build(folder: Path) -> list[str]:
        (folder / filename).write_bytes(made(content, folder))
        return [filename, *options]

    return Case(family, name, build, slugs)


def of_data(family: str, name: str, content: Content, *slugs: str, filename: str) -> Case:
    """A file of data with this content, for an honest model."""

    def build(folder: Path) -> list[str]:
        (folder / filename).write_bytes(made(content, folder))
        return [GOOD, "--data", filename]

    return Case(family, name, build, slugs)
