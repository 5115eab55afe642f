"""What a folder holds: images, by class or not, or the test data of an ONNX model."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from gradcheck_cli.errors import SampleError
from gradcheck_cli.sample.files import open_data

IMAGES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})
MAX_ENTRIES = 1_000_000
"""Of one folder."""
_INPUT = re.compile(r"input_(\d+)\.pb")
_SET = re.compile(r"test_data_set_(\d+)")


@dataclass(frozen=True)
class ImageFolder:
    """Images to be read, at most as many as asked for; of each class in turn, so that no batch is of one class only."""

    paths: tuple[str, ...]
    classes: tuple[str, ...]
    """Names of the class folders in order, empty for a flat folder."""
    target: torch.Tensor | None
    """``(B,)`` class indices, in the alphabetical order of the folders' names; None for a flat folder."""


@dataclass(frozen=True)
class TestData:
    """Calls of an ONNX model, each whole: its batch dimension may be fixed."""

    calls: tuple[dict[str, torch.Tensor], ...]
    """Input name (``input_0`` where the file has none) → value, in the model's order."""
    has_outputs: bool


def read_folder(path: str, rows: int) -> ImageFolder | TestData:
    """Return what the folder holds, at most `rows` images or calls.

    Raises:
        SampleError: ``unsupported-data`` for a folder of anything else, ``unreadable-data``, and as the files.
    """
    here = _entries(Path(path))
    sets = sorted((int(found[1]), entry) for entry in here if (found := _SET.fullmatch(entry.name)) and entry.is_dir())
    folders = [entry for _, entry in sets[:rows]] or [Path(path)]
    calls = [call for folder in folders if (call := _call(folder))]
    if calls:
        has_outputs = any(entry.name.startswith("output_") for folder in folders for entry in _entries(folder))
        return TestData(tuple(calls), has_outputs)
    return _images(path, here, rows)


def _entries(folder: Path) -> list[Path]:
    try:
        found = list(itertools.islice(folder.iterdir(), MAX_ENTRIES + 1))
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        message = f"the folder cannot be read: {reason}"
        raise SampleError("unreadable-data", message, hint="check its permissions", file=str(folder)) from error
    if len(found) > MAX_ENTRIES:
        message = f"the folder has over {MAX_ENTRIES} entries"
        raise SampleError("unsupported-data", message, hint="give a part of it", file=str(folder))
    return sorted(entry for entry in found if not entry.name.startswith("."))


def _call(folder: Path) -> dict[str, torch.Tensor]:
    from gradcheck_cli.sample.onnx_tensors import read_tensor

    numbered = sorted((int(found[1]), entry) for entry in _entries(folder) if (found := _INPUT.fullmatch(entry.name)))
    call: dict[str, torch.Tensor] = {}
    for _, entry in numbered:
        with open_data(str(entry)) as file:
            name, tensor = read_tensor(file)
        call[entry.stem if not name or name in call else name] = tensor
    return call


def _images(path: str, here: list[Path], rows: int) -> ImageFolder:
    flat = _pictures(here)
    if flat:
        return ImageFolder(tuple(str(entry) for entry in flat[:rows]), (), None)
    classes = {entry.name: found for entry in here if entry.is_dir() and (found := _pictures(_entries(entry)))}
    if not classes:
        kinds = ", ".join(sorted(kind.removeprefix(".") for kind in IMAGES))
        message = f"the folder has no images ({kinds}), flat or in one folder for each class, and no ONNX test data"
        hint = "pass a file of it, or a module:callable that returns a Dataset of it"
        raise SampleError("unsupported-data", message, hint=hint, file=path)
    chosen = list(itertools.islice(_in_turn(list(classes.values())), rows))
    target = torch.tensor([index for index, _ in chosen])
    return ImageFolder(tuple(str(entry) for _, entry in chosen), tuple(classes), target)


def _pictures(entries: list[Path]) -> list[Path]:
    return [entry for entry in entries if entry.suffix.lower() in IMAGES and not entry.is_dir()]


def _in_turn(classes: list[list[Path]]) -> Iterator[tuple[int, Path]]:
    for round_ in itertools.zip_longest(*classes):
        yield from ((index, entry) for index, entry in enumerate(round_) if entry is not None)
