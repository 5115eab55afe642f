"""First guesses at a model's inputs: what forward's names and annotations say, and what its first layers take."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from torch import nn

from gradcheck_cli.sample.leaf_inputs import inputs_of, surroundings_of, telling_layers
from gradcheck_cli.sample.named_inputs import inputs_named, kind_named
from gradcheck_cli.sample.noise import Noise, Recipe
from gradcheck_cli.sample.patterns import Option
from gradcheck_cli.sample.signature import Signature

_UNKNOWN = (Noise((16,)), Noise((3, 32, 32)), Noise((16, 16)))
"""Where no layer tells anything."""
_SCALARS: dict[str, bool | int | float] = {"bool": False, "int": 1, "float": 1.0}
"""What is given for parameters that are no tensors."""
_CHOICES = 12
"""Of each input that are combined with those of the others."""
_MAX_VALUES = 1 << 19
"""Of one sample; what is wide and large at once is slow to try, and less likely than a repair of something smaller."""
_COMBINATIONS = 40
"""How many of these combinations are tried."""
_COMBINED = 4
"""Inputs whose choices are combined; those after them keep their first."""


def guesses(root: nn.Module, signature: Signature) -> Iterator[Recipe]:
    """Yield calls with the inputs that forward needs, the likeliest first; not more than the layers and names suggest."""
    names = signature.required or signature.positional[:1] or (("input",) if signature.any_positional else ())
    options = {name: Option(value=_SCALARS[said]) for name, said in signature.scalars}
    columns: list[list[Noise]] = [
        [options[name]] if name in options else candidates(root, name, position, len(names))
        for position, name in enumerate(names)
    ]
    keywords = {name: options.get(name) or candidates(root, name, 0, 2)[0] for name in signature.needed_keywords}
    for choice in _likeliest_first(columns):
        yield Recipe(choice, keywords)


def candidates(root: nn.Module, name: str, position: int, count: int) -> list[Noise]:
    """Return what the input `name`, at `position` of `count`, could be: by its name, then by the layers in turn."""
    around = surroundings_of(root)
    layers = telling_layers(root)
    named, kind = inputs_named(name, root, around) if count > 1 else [], kind_named(name)
    at = position % len(layers) if layers and count > 1 else 0
    found = [noise for layer in layers[at:] + layers[:at] for noise in inputs_of(layer, around, position)]
    if kind is not None:
        found.sort(key=lambda noise: not kind(noise))
    sane = [noise for noise in dict.fromkeys(named + found) if 0 < math.prod(noise.shape) <= _MAX_VALUES]
    return sane or list(_UNKNOWN)


def _likeliest_first(columns: list[list[Noise]]) -> Iterator[tuple[Noise, ...]]:
    """Yield one candidate for each input: first choices, then one kind for all, then by the sum of ranks."""
    if len(columns) == 1:
        yield from ((noise,) for noise in columns[0])
        return
    yield tuple(column[0] for column in columns)
    for noise in columns[0] if columns else ():
        if all(noise in column for column in columns):
            yield (noise,) * len(columns)
    short = [column[:_CHOICES] for column in columns[:_COMBINED]] + [column[:1] for column in columns[_COMBINED:]]
    ranks = itertools.product(*(range(len(column)) for column in short))
    for rank in sorted(ranks, key=lambda rank: (sum(rank), rank))[:_COMBINATIONS]:
        yield tuple(column[index] for column, index in zip(short, rank, strict=True))
