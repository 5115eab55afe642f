"""Counts of n-grams, which may leave out items, as scikit-learn's vectorisers are exported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from gradcheck_cli.onnx_ops.registry import operator

_MOST = 1 << 26
"""Coordinates are values in the file: more elements of output than this are refused."""


@operator("TfIdfVectorizer", since=9)
def tf_idf_vectorizer(
    x: Any,
    *,
    max_gram_length: int,
    max_skip_count: int,
    min_gram_length: int,
    mode: str,
    ngram_counts: Sequence[int],
    ngram_indexes: Sequence[int],
    pool_int64s: Sequence[int] = (),
    pool_strings: Sequence[str] = (),
    weights: Sequence[float] = (),
) -> Tensor:
    """(C,) or (B, C) → (M,) or (B, M): how often each n-gram of the pool occurs, by mode also or only weighted."""
    if mode not in ("TF", "IDF", "TFIDF"):
        raise ValueError(f"the mode {mode!r} is not TF, IDF or TFIDF")
    if len(x.shape) > 2:
        raise ValueError("the input has more than two dimensions")
    lengths = range(max(min_gram_length, 1), max_gram_length + 1)
    grams = _pool(pool_strings or pool_int64s, ngram_counts)
    if len(grams) != len(ngram_indexes) or len(weights) not in (0, len(grams)):
        raise ValueError(f"{len(grams)} n-grams with {len(ngram_indexes)} coordinates and {len(weights)} weights")
    rows = x.tolist() if len(x.shape) == 2 else [x.reshape(-1).tolist()]
    size = max(ngram_indexes, default=-1) + 1
    if len(rows) * max(size, len(grams)) > _MOST or min(ngram_indexes, default=0) < 0:
        raise ValueError("the coordinates of the n-grams are negative or too large")
    wanted = {gram: number for number, gram in enumerate(grams) if len(gram) in lengths}
    found = _counts(rows, wanted, len(grams), max_skip_count)
    if mode == "IDF":
        found = (found > 0).to(found.dtype)
    if mode != "TF" and weights:
        found = found * torch.tensor(weights)
    places = torch.tensor(ngram_indexes, dtype=torch.int64)
    return torch.zeros(len(rows), size).index_add(1, places, found).reshape(*x.shape[:-1], size)


def _pool(items: Sequence[Any], starts: Sequence[int]) -> list[tuple[Any, ...]]:
    """The n-grams in their order: those of length n are the items from ``starts[n − 1]`` on."""
    grams: list[tuple[Any, ...]] = []
    for length, (start, end) in enumerate(zip(starts, [*starts[1:], len(items)], strict=True), 1):
        if not 0 <= start <= end <= len(items) or (end - start) % length:
            raise ValueError("the pool of n-grams is not cut where whole ones end")
        grams += [tuple(items[at : at + length]) for at in range(start, end, length)]
    return grams


def _counts(rows: Sequence[Sequence[Any]], wanted: dict[tuple[Any, ...], int], count: int, skips: int) -> Tensor:
    """(B, number of n-grams): how often each of those wanted occurs in each row."""
    counts = torch.zeros(len(rows), count)
    lengths = sorted({len(gram) for gram in wanted})
    for number, row in enumerate(rows):
        found = [wanted[gram] for length in lengths for gram in _occurring(row, length, skips) if gram in wanted]
        counts[number] = torch.bincount(torch.tensor(found, dtype=torch.int64), minlength=count)
    return counts


def _occurring(row: Sequence[Any], length: int, skips: int) -> Iterator[tuple[Any, ...]]:
    """All n-grams of a row, with up to `skips` items left out between any two."""
    farthest = 1 if length == 1 else min(skips + 1, (len(row) - 1) // (length - 1))
    for distance in range(1, farthest + 1):
        reach = distance * (length - 1) + 1
        yield from (tuple(row[at : at + reach : distance]) for at in range(len(row) - reach + 1))
