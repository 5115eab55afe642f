"""Made-up inputs as a file says that they are: names, dtypes, fixed and free dimensions."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from gradcheck_cli.records import InputSpec, Subject
from gradcheck_cli.sample.noise import Noise, Recipe

_BATCH = ("batch", "n", "b", "bs", "batch_size", "unk", "none")
"""How a free first dimension is called when it is the batch."""
_LENGTHS = (16, 8, 32, 64, 128, 224, 4, 1)
"""Sizes that a free dimension is tried with."""
_MASKS = ("mask",)
_CLASSES = 10
"""Integers of an input that chooses from no table are below it."""


def recipes(subject: Subject) -> Iterator[Recipe]:
    """Recipes for the inputs that the file declares, the likeliest first; none where it declares none."""
    if not subject.inputs:
        return
    symbols = _symbols(subject.inputs)
    batch = _batch_symbol(subject.inputs)
    free = [symbol for symbol in symbols if symbol != batch]
    if not free:
        yield _recipe(subject.inputs, batch, {})
        return
    for length in _LENGTHS:
        yield _recipe(subject.inputs, batch, dict.fromkeys(free, length))
    short = free[:3]
    for sizes in itertools.product(_LENGTHS[:4], repeat=len(short)):
        yield _recipe(subject.inputs, batch, dict.fromkeys(free, 16) | dict(zip(short, sizes, strict=True)))


def fixed_batch(subject: Subject) -> int | None:
    """The only batch size that the file takes; None where it is free or not said."""
    for spec in subject.inputs:
        if spec.shape:
            return spec.shape[0] if isinstance(spec.shape[0], int) else None
    return None


def _symbols(inputs: tuple[InputSpec, ...]) -> list[str]:
    return list(dict.fromkeys(size for spec in inputs for size in spec.shape or () if isinstance(size, str)))


def _batch_symbol(inputs: tuple[InputSpec, ...]) -> str | None:
    """The symbol of B: the first free dimension of the first input, or one that is called so."""
    shapes = [spec.shape for spec in inputs if spec.shape]
    named = [size for shape in shapes for size in shape if isinstance(size, str) and size.lower() in _BATCH]
    first = [shape[0] for shape in shapes if isinstance(shape[0], str)]
    return next(iter(named or first), None)


def _recipe(inputs: tuple[InputSpec, ...], batch: str | None, sizes: dict[str, int]) -> Recipe:
    return Recipe(tuple(_noise(spec, batch, sizes) for spec in inputs))


def _noise(spec: InputSpec, batch: str | None, sizes: dict[str, int]) -> Noise:
    shape = spec.shape if spec.shape is not None else ("d0", 16)
    place = shape.index(batch) if batch in shape else None
    if batch is None and place is None and spec.shape is None:
        place = 0
    fixed = tuple(
        size if isinstance(size, int) else sizes.get(size, 16) for at, size in enumerate(shape) if at != place
    )
    if spec.dtype.startswith(("float", "bfloat", "complex")):
        return Noise(fixed, place, dtype="" if spec.dtype == "float32" else spec.dtype)
    if spec.dtype == "bool":
        return Noise(fixed, place, fill=True)
    dtype = "" if spec.dtype == "int64" else spec.dtype
    if any(word in spec.name.lower() for word in _MASKS):
        return Noise(fixed, place, fill=1, dtype=spec.dtype)
    return Noise(fixed, place, high=spec.below or _CLASSES, dtype=dtype)
