"""Arrays still on disk: shape and dtype are known, and only the rows that the batches ask for are ever read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from gradcheck_cli.errors import NotCompleted
from gradcheck_cli.sample.arrays import check_content
from gradcheck_cli.tensors import map_tensors

ReadRows = Callable[[int], torch.Tensor]
"""``read(count)`` → the first `count` rows, ``(count, …)``, or the one value of an array without dimensions."""


class StoredArray(torch.Tensor):
    """A tensor of the array's shape and dtype that has no values (device ``meta``), and the way to them.

    Nothing is mapped into memory: a mapped file counts in full against a limit of the address space, and one that is cut
    while it is mapped kills the process.
    """

    what: str
    """What messages call it: ``the array``, ``array x``."""
    path: str
    read: ReadRows

    def first(self, count: int | None) -> torch.Tensor:
        """Return the first `count` rows, all of them for None, checked for NaN and infinity.

        Raises:
            SampleError: ``broken-data``, ``non-finite-data``, ``changed-data``.
            NotCompleted: ``out-of-memory``.
        """
        rows = int(self.shape[0]) if self.dim() else 0
        wanted = rows if count is None else min(count, rows)
        try:
            tensor = self.read(wanted)
        except MemoryError as error:
            message = f"no memory for {wanted} of the {rows} rows of {self.what}"
            hint = "use a smaller --batch-size or fewer --batches; inputs whose lengths differ are read whole"
            raise NotCompleted("out-of-memory", message, hint=hint, file=self.path) from error
        check_content(tensor, self.what, self.path)
        return tensor


def stored(shape: tuple[int, ...], dtype: torch.dtype, what: str, path: str, read: ReadRows) -> StoredArray:
    """Return the array of `shape` and `dtype` whose rows `read` gives."""
    empty = torch.empty(shape, dtype=dtype, device="meta")
    array: StoredArray = torch.Tensor._make_subclass(StoredArray, empty)
    array.what, array.path, array.read = what, path, read
    return array


def with_values(obj: Any, rows: int | None = None) -> Any:
    """Return `obj` with every stored array read, at most its first `rows` rows; other tensors are as they are."""
    return map_tensors(lambda tensor: tensor.first(rows) if isinstance(tensor, StoredArray) else tensor, obj)
