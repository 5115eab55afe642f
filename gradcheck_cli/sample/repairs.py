"""What an error of a trial suggests: the changes of one made-up input that could be the cure, the likeliest first."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import replace

from gradcheck_cli.sample.graph_noise import Adjacency
from gradcheck_cli.sample.leaf_inputs import LENGTHS
from gradcheck_cli.sample.noise import Noise

_MAX_SIZE = 4096
_MAX_VALUES = 1 << 20
"""Of one sample."""
_MAX_DIMS = 5
_MAX_NUMBERS = 8
_NUMBER = re.compile(r"(?<![\w.])\d+|(?<=\dx)\d+")
_KIND = re.compile(
    r"scalar type|dtype|indices|index (tensor|tensors)|int64|\blong\b|integer|Float'|Long'|bincount|Boolean",
    re.IGNORECASE,
)
_RANGE = re.compile(r"out of (range|bounds)|class values must be smaller", re.IGNORECASE)
_RANK = re.compile(
    r"dimensions|unpack|\d-?D\b|must be (of )?\w* ?dim|dims?\b|expected .* dim|permute|einsum\(\): the number",
    re.IGNORECASE,
)

_TOLD = tuple(
    re.compile(pattern)
    for pattern in (
        r"cannot be multiplied \(\d+x(?P<got>\d+) and (?P<want>\d+)x\d+\)",
        r"to have (?P<want>\d+) channels, but got (?P<got>\d+)",
        r"[Ee]xpected (?P<want>\d+),? (?:but )?got (?P<got>\d+)",
        r"size of tensor a \((?P<got>\d+)\) must match the size of tensor b \((?P<want>\d+)\)",
        r"has size (?P<got>\d+) for operand \d+ which does not broadcast with previously seen size (?P<want>\d+)",
        r"Expected size (?P<want>\d+) but got size (?P<got>\d+)",
        r"expected input with shape \[.*?(?P<want>\d+)\], but got input of size\[.*?(?P<got>\d+)\]",
        r"Input batch size (?P<got>\d+) doesn't match .* (?P<want>\d+)",
    )
)
"""What torch's usual messages say of the size that came and the size that was wanted."""


def repairs(noise: Noise, error: str, vocabularies: tuple[int, ...]) -> Iterator[Noise]:
    """Yield other inputs in the place of `noise`, each once; `vocabularies` are the sizes of the model's tables.

    The numbers in the message tell which size met which: a size may become the wanted one, or change by their difference
    or their ratio. Then come other ranks and other kinds of value, first those that the message speaks of.
    """
    if type(noise) not in (Noise, Adjacency) or noise.fill is not None:
        return
    groups = {
        "sizes": _sizes(noise, error),
        "ranks": _ranks(noise, error),
        "kinds": _kinds(noise, vocabularies),
        "range": _ranges(noise, vocabularies),
    }
    if isinstance(noise, Adjacency):
        groups = {
            "ranks": iter([replace(noise, shape=(16, 16) if not noise.shape else ())]),
            "sizes": _squares(noise, error),
        }
    first = "range" if _RANGE.search(error) else "kinds" if _KIND.search(error) else ""
    first = first or ("ranks" if _RANK.search(error) else "sizes")
    order = sorted(groups, key=lambda group: group != first)
    seen = {noise}
    for other in itertools.chain.from_iterable(groups[group] for group in order):
        if other not in seen and _is_sane(other):
            seen.add(other)
            yield other


def numbers_in(error: str) -> list[int]:
    """Return the sizes that the message speaks of, in its order, ``2x42`` as two."""
    found = (int(digits) for digits in _NUMBER.findall(error.replace(",", " ")) if len(digits) < 6)
    return [number for number in dict.fromkeys(found) if 1 <= number <= _MAX_SIZE][:_MAX_NUMBERS]


def gap(error: str) -> int:
    """Return by how much the size that came is off the one that was wanted; where the message tells neither, very much."""
    return min((abs(got - want) for got, want in _told(error)), default=_MAX_SIZE)


def _sizes(noise: Noise, error: str) -> Iterator[Noise]:
    """Yield other sizes, the dimensions in turn: the last first, or the channels of an image where the error names them."""
    order = list(reversed(range(len(noise.shape))))
    if "channel" in error and len(order) > 2:
        order.insert(0, order.pop(2))
    if _is_square(noise):
        yield from (_square(noise, side) for side in _sides(noise.shape[-1], error))
    for turn in itertools.zip_longest(*(_resized(noise, at, error) for at in order)):
        yield from (other for other in turn if other is not None)


def _resized(noise: Noise, at: int, error: str) -> Iterator[Noise]:
    for size in _wanted(noise.shape[at], error):
        yield _with(noise, at, size)
        # Images are mostly square.
        if at == len(noise.shape) - 1 and _is_square(noise):
            yield _square(noise, size)


def _is_square(noise: Noise) -> bool:
    return len(noise.shape) > 2 and noise.shape[-1] == noise.shape[-2]


def _square(noise: Noise, side: int) -> Noise:
    return replace(noise, shape=(*noise.shape[:-2], side, side))


def _wanted(size: int, error: str) -> list[int]:
    """Return what `size` could become: changed as a size in the message differs from another, or one of the sizes.

    First as the message itself tells, then in every way that its numbers allow.
    """
    numbers, told = numbers_in(error), _told(error)
    found: list[int] = []
    for pairs in (told, [(want, got) for got, want in told], list(itertools.permutations(numbers, 2))):
        found += [want for got, want in pairs if got == size]
        found += [size * want // got for got, want in pairs if size * want % got == 0]
        found += [size + want - got for got, want in pairs]
    return [new for new in dict.fromkeys((*found, *numbers)) if 1 <= new <= _MAX_SIZE and new != size]


def _told(error: str) -> list[tuple[int, int]]:
    """Return the size that came and the size that was wanted, where the message is one of the usual ones."""
    found = (pattern.search(error) for pattern in _TOLD)
    return [(int(match["got"]), int(match["want"])) for match in found if match]


def _sides(side: int, error: str) -> list[int]:
    """Return what the side of a square could become where the message tells how many positions came and were wanted."""
    found = []
    for got, want in _told(error):
        # One of them may be a token that is no position.
        for one, other in ((got, want), (want, got), (got - 1, want - 1), (want - 1, got - 1)):
            if one > 0 and other > 0:
                square, rest = divmod(side * side * other, one)
                root = math.isqrt(square)
                found += [root] if not rest and root * root == square else []
    return found


def _squares(noise: Noise, error: str) -> Iterator[Noise]:
    if noise.shape:
        yield from (replace(noise, shape=(size, size)) for size in numbers_in(error))


def _ranks(noise: Noise, error: str) -> Iterator[Noise]:
    shape = noise.shape
    if not shape:
        yield from (replace(noise, shape=(size,)) for size in numbers_in(error))
    else:
        yield replace(noise, shape=shape[1:])
        yield replace(noise, shape=shape[:-1])
    for extra in (LENGTHS[2], 1):
        yield replace(noise, shape=(extra, *shape))
    yield replace(noise, shape=(*shape, 1))
    if len(shape) > 1:
        yield replace(noise, shape=(*shape[:-2], shape[-1], shape[-2]))


def _kinds(noise: Noise, vocabularies: tuple[int, ...]) -> Iterator[Noise]:
    if noise.high:
        yield replace(noise, high=0, avoid=frozenset())
        return
    for high in (*vocabularies, 2):
        whole = replace(noise, high=high)
        yield whole
        # Features become tokens without them: one number, or a text of them.
        yield from (replace(whole, shape=shape) for shape in ((), (LENGTHS[0],)) if shape != noise.shape)


def _ranges(noise: Noise, vocabularies: tuple[int, ...]) -> Iterator[Noise]:
    if not noise.high:
        return
    yield from (replace(noise, high=high, avoid=frozenset()) for high in (*vocabularies, 10, 2) if high < noise.high)
    # Positions have a table, too.
    yield from (_with(noise, -1, size) for size in LENGTHS[1:] if noise.shape and size < noise.shape[-1])


def _with(noise: Noise, at: int, size: int) -> Noise:
    shape = list(noise.shape)
    shape[at] = size
    return replace(noise, shape=tuple(shape))


def _is_sane(noise: Noise) -> bool:
    values = 1
    for size in noise.shape:
        values *= size
    return len(noise.shape) <= _MAX_DIMS and values <= _MAX_VALUES
