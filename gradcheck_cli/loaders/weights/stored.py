"""A tensor that lies in a file: what it is, known without reading its values, and how its values get into a network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gradcheck_cli.loaders.archive import Region

if TYPE_CHECKING:
    import torch

ITEMSIZE = {
    **dict.fromkeys(("float64", "int64", "uint64", "complex64"), 8),
    **dict.fromkeys(("float32", "int32", "uint32", "complex32"), 4),
    **dict.fromkeys(("float16", "bfloat16", "int16", "uint16"), 2),
    **dict.fromkeys(("int8", "uint8", "bool", "float8_e4m3fn", "float8_e5m2"), 1),
    "complex128": 16,
}
"""Name of a torch dtype → bytes per element."""
MAX_EXTENT = 1 << 62


@dataclass(frozen=True)
class StoredTensor:
    """A strided view of a storage in a file; made by `stored_tensor`, which checks that it stays inside."""

    dtype: str
    """A key of `ITEMSIZE`."""
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    """In elements, as `offset`."""
    offset: int
    storage: Region

    @property
    def elements(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    def read(self) -> torch.Tensor:
        """A copy of its values on the CPU. Raises a `ModelError` where the file ends early or was changed."""
        import torch

        if not self.elements:
            return torch.empty(self.shape, dtype=getattr(torch, self.dtype))
        span = 1 + _reach(self.shape, self.stride)
        raw = torch.empty(span * ITEMSIZE[self.dtype], dtype=torch.uint8)
        self._read_bytes(raw)
        # A byte that is neither 0 nor 1 is no bool that torch can work with.
        flat = raw.ne(0) if self.dtype == "bool" else raw.view(getattr(torch, self.dtype))
        return flat.as_strided(self.shape, self.stride)

    def read_into(self, target: torch.Tensor) -> None:
        """Gives `target`, of the same shape, its values; without a copy in between where the layouts agree."""
        import torch

        target = target.detach()
        same = str(target.dtype) == f"torch.{self.dtype}" != "torch.bool" and target.device.type == "cpu"
        if same and self.elements and target.is_contiguous() and target.stride() == self.stride:
            self._read_bytes(target.reshape(-1).view(torch.uint8))
        else:
            target.copy_(self.read())

    def _read_bytes(self, flat: torch.Tensor) -> None:
        begin = self.storage.begin + self.offset * ITEMSIZE[self.dtype]
        self.storage.reader.read_into(begin, flat.numpy().data)


def stored_tensor(
    dtype: str, shape: tuple[int, ...], stride: tuple[int, ...], offset: int, storage: Region
) -> StoredTensor | None:
    """The tensor, or None where it is of an unknown dtype, impossible, or reaches beyond its storage."""
    numbers = (offset, *shape, *stride)
    if dtype not in ITEMSIZE or len(shape) != len(stride):
        return None
    if not all(type(number) is int and 0 <= number < MAX_EXTENT for number in numbers):
        return None
    tensor = StoredTensor(dtype, shape, stride, offset, storage)
    if tensor.elements and (offset + _reach(shape, stride) + 1) * ITEMSIZE[dtype] > storage.size:
        return None
    return tensor


def _reach(shape: tuple[int, ...], stride: tuple[int, ...]) -> int:
    """How many elements the last one lies after the first one."""
    return sum((extent - 1) * step for extent, step in zip(shape, stride, strict=True))
